"""`procurement doctor`: each thing that can be wrong is found, and said how to mend."""

import os
from pathlib import Path
from typing import Any

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.instance import dagster_environment
from procurement_platform.procurement.reference.sample import ensure_sample
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Done, Procurement


def finding(done: Done, what: str) -> dict[str, Any]:
    (found,) = [line for line in done.json if line["what"] == what]
    return dict(found)


def test_a_sound_home_has_nothing_wrong(procurement: Procurement, home: Settings, database: Database) -> None:
    ensure_sample(database)
    done = procurement("doctor", "--format", "json")
    assert done.code == 0
    assert {line["state"] for line in done.json} <= {"ok", "look"}
    assert {"python", "dagster", "settings", "home", "lake", "database", "reference", "machine"} <= {line["what"] for line in done.json}
    assert str(home.home) in finding(done, "home")["found"]
    assert finding(done, "reference")["state"] == "ok"
    assert finding(done, "database")["found"].startswith("PROCUREMENT_DATABASE_URL, PostgreSQL 18")


def test_an_empty_home_says_what_comes_next(procurement: Procurement, home: Settings) -> None:
    done = procurement("doctor", "--format", "json")
    assert done.code == 0
    assert finding(done, "lake")["state"] == "look"
    assert "procurement simulate DATE" in finding(done, "lake")["mend"]
    assert "reference load" in finding(done, "reference")["mend"]


def test_tables_that_are_half_there_are_wrong(procurement: Procurement, database: Database) -> None:
    ensure_sample(database)
    with database.transaction() as connection:
        connection.execute("DELETE FROM reference.supplier_products")
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert finding(done, "reference") == {
        "what": "reference",
        "state": "wrong",
        "found": "empty: supplier_products",
        "mend": "procurement reference load DIR, with those tables",
    }


def test_a_database_that_does_not_answer_is_wrong(procurement: Procurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path))
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/none")
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert finding(done, "database")["state"] == "wrong"
    assert "PROCUREMENT_DATABASE_URL" in finding(done, "database")["mend"]
    assert "hunter2" not in done.out + done.err


def test_a_database_of_another_lake_is_wrong(
    procurement: Procurement, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_sample(database)
    with database.transaction() as connection:
        connection.execute("INSERT INTO control.reference_pins (run_date, table_name, version) VALUES ('2025-12-20', 'markets', 'ab')")
    assert procurement("doctor").code == 0
    (tmp_path / "link").symlink_to(os.environ["PROCUREMENT_HOME"])
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "link"))  # the same lake by another name
    assert procurement("doctor").code == 0
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "second"))
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert finding(done, "database")["found"].startswith(f"the database speaks of the lake {tmp_path}")
    done = procurement("run", "2025-12-20")
    assert done.code == 1
    assert "set PROCUREMENT_LAKE=" in done.err


def test_a_home_that_cannot_be_written_is_wrong(
    procurement: Procurement, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "file" / "home"))
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert finding(done, "home")["state"] == "wrong"


def test_wrong_settings_are_all_that_is_told(procurement: Procurement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_SQL_THREADS", "many")
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert "PROCUREMENT_SQL_THREADS" in finding(done, "settings")["found"]
    assert done.json[-1]["what"] == "settings"


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(
    procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROCUREMENT_SQL_THREAD", "2")
    monkeypatch.setenv("PROCUREMENT_RUN_DATE", "2025-12-20")
    monkeypatch.setenv("procurement_settle_seconds", "1")  # capital letters or not is the same
    (tmp_path / ".env").write_text("PROCUREMENT_TIMEZON=UTC\nPROCUREMENT_COLOUR=red\nOTHER=1\n")
    done = procurement("doctor", "--format", "json")
    assert done.code == 0
    assert [(line["state"], line["found"], line["mend"]) for line in done.json if "is no setting" in line["found"]] == [
        ("look", "PROCUREMENT_RUN_DATE in the environment is no setting, nothing reads it", "did you mean RUN_DATE?"),
        ("look", "PROCUREMENT_SQL_THREAD in the environment is no setting, nothing reads it", "did you mean PROCUREMENT_SQL_THREADS?"),
        ("look", "PROCUREMENT_COLOUR in .env is no setting, nothing reads it", "remove it; docs/settings.md has all there are"),
        ("look", "PROCUREMENT_TIMEZON in .env is no setting, nothing reads it", "did you mean PROCUREMENT_TIMEZONE?"),
    ]


def test_a_profile_and_a_lake_that_cannot_work_are_wrong(procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_PROFILE", "cluster")
    monkeypatch.setenv("PROCUREMENT_LAKE", "nosuch://place")
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert finding(done, "lake")["state"] == "wrong"
    assert finding(done, "lake")["found"].startswith("PROCUREMENT_LAKE=nosuch://place is no folder on HDFS")


def test_limits_beyond_the_machine_are_worth_a_look(procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_SQL_MEMORY_MIB", "1000000")
    done = procurement("doctor", "--format", "json")
    assert done.code == 0
    assert "PROCUREMENT_SQL_MEMORY_MIB" in finding(done, "machine")["mend"]


def test_the_shells_dagster_is_compared_with_the_homes(procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> dict[str, Any]:
        return dict([line for line in procurement("doctor", "--format", "json").json if line["what"] == "dagster"][-1])

    assert "not set in this shell" in told()["found"]
    for name, value in dagster_environment(home).items():
        monkeypatch.setenv(name, value)
    assert told() == {"what": "dagster", "state": "ok", "found": f"{home.dagster_home}; set in this shell", "mend": ""}
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    assert told()["state"] == "look"


def test_an_address_for_alerts_that_is_none_is_wrong(procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_ALERT_URLS", "json://localhost:9/x nosuch://hunter2@place")
    done = procurement("doctor", "--format", "json")
    assert done.code == 1
    assert finding(done, "alerts")["state"] == "wrong"
    assert finding(done, "alerts")["found"] == "PROCUREMENT_ALERT_URLS: address 2 (nosuch://…): no Apprise address"
    assert "hunter2" not in done.out + done.err
    monkeypatch.setenv("PROCUREMENT_ALERT_URLS", "json://localhost:9/x")
    assert finding(procurement("doctor", "--format", "json"), "alerts")["state"] == "ok"
