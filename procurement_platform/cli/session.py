"""What a sub-command works with: the platform of the settings, closed when the command ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procurement_platform.platform import Platform
    from procurement_platform.settings import Settings


@contextmanager
def platform(*, reading: bool = False) -> "Iterator[Platform]":
    """The platform, with its Dagster home prepared; connections and worker processes end with the block.

    `reading`: the command only reads, and begins no home where there is none.

    Raises:
        ConfigurationError: there is no home to read.
    """
    from procurement_platform.instance import prepare_dagster_home
    from procurement_platform.platform import platform_for
    from procurement_platform.settings import settings

    opened = platform_for(settings())
    if reading:
        _check_there_is_one(settings())
    prepare_dagster_home(settings())
    try:
        yield opened
    finally:
        opened.close()


def _check_there_is_one(settings: "Settings") -> None:
    from procurement_platform.database.postgres_folder import PostgresFolder
    from procurement_platform.errors import ConfigurationError

    if settings.database_url is None and not (PostgresFolder(settings.home).data.exists() or (settings.home / "lake").exists()):
        raise ConfigurationError(
            f"no home here: {settings.home} has no data. Name the one you mean by PROCUREMENT_HOME, or begin one here: "
            "procurement run, simulate or put"
        )
