import datetime as dt
from pathlib import Path

import pytest

from procurement_platform.errors import ConfigurationError
from procurement_platform.settings import Settings, load_settings, variable


def test_everything_is_under_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "my home"))
    settings = load_settings()
    assert settings.home == tmp_path / "my home"
    assert settings.lake_url == f"file://{tmp_path}/my%20home/lake"
    assert settings.dagster_home == tmp_path / "my home" / "dagster"


def test_the_source_documents_variables_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RUN_DATE": "2025-12-20",
        "HDFS_BASE_URL": "http://namenode:9870",
        "HDFS_USER": "someone",
        "TRINO_HOST": "trino",
        "TRINO_PORT": "8081",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.default_run_date() == dt.date(2025, 12, 20)
    assert (settings.hdfs_base_url, settings.hdfs_user, settings.trino_host, settings.trino_port) == (
        "http://namenode:9870",
        "someone",
        "trino",
        8081,
    )


@pytest.mark.parametrize("field", Settings.model_fields)
def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, field: str) -> None:
    monkeypatch.chdir(tmp_path)
    without = load_settings()
    monkeypatch.setenv(variable(field), "")
    assert load_settings() == without
    (tmp_path / ".env").write_text(f"{variable(field)}=\n")
    monkeypatch.delenv(variable(field))
    assert load_settings() == without


def test_a_blank_variable_of_what_may_have_no_value_is_not_set_either(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUN_DATE", "PROCUREMENT_LAKE", "PROCUREMENT_DATABASE_URL", "PROCUREMENT_USER"):
        monkeypatch.setenv(name, " ")
    settings = load_settings()
    assert (settings.run_date, settings.lake, settings.database_url, settings.user) == (None, None, None, None)


def test_dot_env_is_read_and_the_environment_goes_before_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PROCUREMENT_TIMEZONE=Asia/Tokyo\nPROCUREMENT_PREVIEW_ROWS=3\nSOMETHING_ELSE=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROCUREMENT_PREVIEW_ROWS", "4")
    settings = load_settings()
    assert (settings.timezone, settings.preview_rows) == ("Asia/Tokyo", 4)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PROCUREMENT_TIMEZONE", "Middle/Earth", "PROCUREMENT_TIMEZONE='Middle/Earth': no IANA time zone; write one such as Europe/Berlin"),
        (
            "PROCUREMENT_TIMEZONE",
            "../../etc/passwd",
            "PROCUREMENT_TIMEZONE='../../etc/passwd': no IANA time zone; write one such as Europe/Berlin",
        ),
        ("RUN_DATE", "20.12.2025", "RUN_DATE='20.12.2025' is not allowed: write a date such as 2025-12-20"),
        ("PROCUREMENT_SQL_THREADS", "0", "PROCUREMENT_SQL_THREADS='0' is not allowed: write a whole number from 1 to 256"),
        ("PROCUREMENT_SQL_THREADS", "many", "PROCUREMENT_SQL_THREADS='many' is not allowed: write a whole number from 1 to 256"),
        ("PROCUREMENT_PREVIEW_ROWS", "1.5", "PROCUREMENT_PREVIEW_ROWS='1.5' is not allowed: write a whole number from 0 to 1000"),
        ("PROCUREMENT_SETTLE_SECONDS", "-1", "PROCUREMENT_SETTLE_SECONDS='-1' is not allowed: write a number of at least 0"),
        ("TRINO_PORT", "http", "TRINO_PORT='http' is not allowed: write a whole number from 1 to 65535"),
        ("PROCUREMENT_PROFILE", "cloud", "PROCUREMENT_PROFILE='cloud' is not allowed: write 'embedded' or 'cluster'"),
    ],
)
def test_a_malformed_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as problem:
        load_settings()
    assert str(problem.value) == told


def test_several_malformed_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_SQL_THREADS", "x")
    monkeypatch.setenv("PROCUREMENT_START_DATE", "y")
    with pytest.raises(ConfigurationError) as problem:
        load_settings()
    assert str(problem.value) == (
        "PROCUREMENT_START_DATE='y' is not allowed: write a date such as 2025-12-20; "
        "PROCUREMENT_SQL_THREADS='x' is not allowed: write a whole number from 1 to 256"
    )


@pytest.mark.parametrize("field", [name for name, info in Settings.model_fields.items() if info.annotation in (int, float, dt.date)])
def test_every_number_and_date_says_what_it_may_be(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setenv(variable(field), "nonsense")
    with pytest.raises(ConfigurationError, match=rf"^{variable(field)}='nonsense' is not allowed: write a (whole number|number|date) "):
        load_settings()


def test_the_user_is_the_settings_else_the_logins_else_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_USER", " Ann Example ")
    assert load_settings().who == "Ann Example"
    monkeypatch.setenv("PROCUREMENT_USER", "")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOGNAME", "bob")
    assert load_settings().who == "bob"
    monkeypatch.delenv("LOGNAME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)  # a user that no system has
    assert load_settings().who == "user 4000000"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("PROCUREMENT_ALERT_URLS", "json://u:hunter2@host json://other")
    settings = load_settings()
    assert len(settings.alert_urls) == 2
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_today_is_of_the_platforms_time_zone() -> None:
    east, west = (Settings(_env_file=None, timezone=zone).today() for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"))
    assert east - west in (dt.timedelta(days=1), dt.timedelta(days=2))
