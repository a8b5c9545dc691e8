import pytest

from procurement_platform.errors import ConfigurationError
from procurement_platform.platform import Platform, platform_for
from procurement_platform.settings import Settings


def test_making_a_platform_connects_to_nothing_and_writes_nothing(home: Settings) -> None:
    unreachable = home.model_copy(update={"database_url": None})
    Platform(unreachable).close()
    assert not home.home.exists()


def test_a_process_has_one_platform_per_settings(home: Settings) -> None:
    assert platform_for(home) is platform_for(home)
    assert platform_for(home) is not platform_for(home.model_copy(update={"preview_rows": 3}))


def test_a_lake_that_is_no_local_folder_is_refused_in_words(home: Settings) -> None:
    with pytest.raises(ConfigurationError, match="PROCUREMENT_LAKE=memory://lake is no local folder"):
        _ = Platform(home.model_copy(update={"lake": "memory://lake"})).lake


def test_a_lake_may_be_given_as_a_plain_path(home: Settings) -> None:
    assert Platform(home.model_copy(update={"lake": str(home.home / "a lake")})).lake.path("x") == str(home.home / "a lake" / "x")
