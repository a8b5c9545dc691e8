import datetime as dt
from pathlib import Path

import pytest

from procurement_platform.errors import ConfigurationError
from procurement_platform.settings import Settings, file_variable, load_settings, secret_fields, unknown_variables, variable


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


NUMBERS = [name for name, field in Settings.model_fields.items() if any(kind in str(field.annotation) for kind in ("int", "float"))]


@pytest.mark.parametrize("field", NUMBERS)
def test_every_number_has_a_lowest_and_a_highest_value(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """Without one, what counts in numbers that are too small for it would fail, or would find fault with files."""
    for value in ("-1", "9223372036854775807", "99999999999999999999999"):
        monkeypatch.setenv(variable(field), value)
        with pytest.raises(ConfigurationError, match=variable(field)):
            load_settings()


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
        (
            "PROCUREMENT_START_DATE",
            "0001-01-01",
            "PROCUREMENT_START_DATE='0001-01-01' is not allowed: write a date such as 2025-12-20, 1970-01-01 or later",
        ),
        ("PROCUREMENT_SQL_THREADS", "0", "PROCUREMENT_SQL_THREADS='0' is not allowed: write a whole number from 1 to 256"),
        ("PROCUREMENT_SQL_THREADS", "many", "PROCUREMENT_SQL_THREADS='many' is not allowed: write a whole number from 1 to 256"),
        ("PROCUREMENT_PREVIEW_ROWS", "1.5", "PROCUREMENT_PREVIEW_ROWS='1.5' is not allowed: write a whole number from 0 to 1000"),
        ("PROCUREMENT_SETTLE_SECONDS", "-1", "PROCUREMENT_SETTLE_SECONDS='-1' is not allowed: write a number from 0 to 86400"),
        ("PROCUREMENT_SETTLE_SECONDS", "inf", "PROCUREMENT_SETTLE_SECONDS='inf' is not allowed: write a number from 0 to 86400"),
        (
            "PROCUREMENT_LAKE",
            "file://lake/here",
            "PROCUREMENT_LAKE='file://lake/here': names the computer 'lake'; a folder of this one has three slashes: file:///lake/here",
        ),
        ("TRINO_PORT", "http", "TRINO_PORT='http' is not allowed: write a whole number from 1 to 65535"),
        ("PROCUREMENT_PROFILE", "cloud", "PROCUREMENT_PROFILE='cloud' is not allowed: write 'embedded' or 'cluster'"),
    ],
)
def test_a_malformed_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as problem:
        load_settings()
    assert str(problem.value) == told


@pytest.mark.parametrize("field", [name for name in Settings.model_fields if name.endswith(("_days", "_hours", "_seconds"))])
def test_no_time_is_so_long_that_no_date_comes_of_it(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setenv(variable(field), "1000000000")
    with pytest.raises(ConfigurationError, match=rf"^{variable(field)}='1000000000' is not allowed: write a (whole )?number from "):
        load_settings()


@pytest.mark.parametrize("url", ["file:///lake/here", "file://localhost/lake/here", "/lake/here", "here"])
def test_a_lake_of_this_computer_may_be_written_in_several_ways(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PROCUREMENT_LAKE", url)
    assert load_settings().lake_url == url


def test_several_malformed_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_SQL_THREADS", "x")
    monkeypatch.setenv("PROCUREMENT_START_DATE", "y")
    with pytest.raises(ConfigurationError) as problem:
        load_settings()
    assert str(problem.value) == (
        "PROCUREMENT_START_DATE='y' is not allowed: write a date such as 2025-12-20, 1970-01-01 or later; "
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


def test_every_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert secret_fields() == ("database_url", "trino_password", "alert_urls")
    for name in secret_fields():
        (tmp_path / name).write_text(f"postgresql://{name}:hunter2@host/db\n")
        monkeypatch.setenv(file_variable(name), str(tmp_path / name))
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://database_url:hunter2@host/db"
    assert settings.trino_password is not None
    assert settings.trino_password.get_secret_value() == "postgresql://trino_password:hunter2@host/db"
    assert [each.get_secret_value() for each in settings.alert_urls] == ["postgresql://alert_urls:hunter2@host/db"]
    assert "hunter2" not in repr(settings)
    assert unknown_variables() == []


def test_a_file_of_several_alert_addresses_has_one_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("json://one\njson://two\n")
    monkeypatch.setenv("PROCUREMENT_ALERT_URLS_FILE", str(tmp_path / "alerts"))
    assert [each.get_secret_value() for each in load_settings().alert_urls] == ["json://one", "json://two"]


def test_dot_env_may_name_a_secrets_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / ".env").write_text("PROCUREMENT_TRINO_PASSWORD_FILE=secret\n")
    monkeypatch.chdir(tmp_path)
    password = load_settings().trino_password
    assert password is not None
    assert password.get_secret_value() == "hunter2"


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_an_empty_secrets_file_is_a_setting_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    without = load_settings()
    for name in secret_fields():
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(file_variable(name), str(tmp_path / name))
    assert load_settings() == without


@pytest.mark.parametrize(
    ("kind", "why"), [("missing", "No such file or directory"), ("folder", "Is a directory"), ("bytes", "it is not UTF-8 text")]
)
def test_an_unreadable_secrets_file_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, why: str
) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    if kind == "bytes":
        path.write_bytes(b"hunter2\xff")
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL_FILE", str(path))
    with pytest.raises(ConfigurationError) as problem:
        load_settings()
    assert str(problem.value) == f"PROCUREMENT_DATABASE_URL_FILE='{path}': the file cannot be read ({why})"


def test_a_secret_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgresql://me:hunter2@host/db")
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", "postgresql://me:hunter2@other/db")
    with pytest.raises(ConfigurationError, match=r"^PROCUREMENT_DATABASE_URL and PROCUREMENT_DATABASE_URL_FILE are both set: unset one$"):
        load_settings()


def test_a_file_for_what_is_no_secret_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME_FILE", "x")
    assert [name for name, _, _ in unknown_variables()] == ["PROCUREMENT_HOME_FILE"]


def test_today_is_of_the_platforms_time_zone() -> None:
    east, west = (Settings(_env_file=None, timezone=zone).today() for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"))
    assert east - west in (dt.timedelta(days=1), dt.timedelta(days=2))
