"""What a sub-command works with: the platform of the settings, closed when the command ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procurement_platform.platform import Platform


@contextmanager
def platform() -> "Iterator[Platform]":
    """The platform, with its Dagster home prepared; connections and worker processes end with the block."""
    from procurement_platform.instance import prepare_dagster_home
    from procurement_platform.platform import platform_for
    from procurement_platform.settings import settings

    prepare_dagster_home(settings())
    opened = platform_for(settings())
    try:
        yield opened
    finally:
        opened.close()
