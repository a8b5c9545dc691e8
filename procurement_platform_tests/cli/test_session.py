"""The platform of a command."""

import pytest

from procurement_platform.cli import session
from procurement_platform.errors import ConfigurationError
from procurement_platform.settings import Settings, settings


def test_the_home_is_prepared_and_connections_end_with_the_block(home: Settings) -> None:
    with session.platform() as platform:
        assert (home.dagster_home / "dagster.yaml").is_file()
        with platform.database.transaction() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert connection.closed


def test_connections_end_where_the_command_fails(home: Settings) -> None:
    with pytest.raises(ZeroDivisionError), session.platform() as platform, platform.database.transaction() as connection:
        _ = 1 / 0
    assert connection.closed


def test_a_home_that_cannot_be_written_opens_nothing(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    home.home.parent.mkdir(parents=True, exist_ok=True)
    home.home.write_text("")
    settings.cache_clear()
    with pytest.raises(ConfigurationError, match="PROCUREMENT_HOME"), session.platform():
        pass
