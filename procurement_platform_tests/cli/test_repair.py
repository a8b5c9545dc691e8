"""`procurement repair` where there is nothing to repair; what it repairs: inbox/test_raw_tables.py."""

from pathlib import Path

import pytest

from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement
from procurement_platform_tests.stack.live import free_ports


def test_the_embedded_profile_has_nothing_to_repair(procurement: Procurement, quick: Settings) -> None:
    assert procurement("simulate", DAY, "--orders", 50, "--faults", "none").code == 0
    done = procurement("repair", "raw")
    assert (done.code, done.out) == (0, "")
    assert done.err == "There is nothing to repair: the embedded profile has no raw tables\n"
    assert procurement("repair", "raw", "--format", "json").out == "[]\n"
    assert procurement("repair", "raw", "--format", "csv").out == "feed,run_date,done,location,notes\n"


def test_a_home_that_is_not_there_is_not_begun(procurement: Procurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "none"))
    assert "procurement run" in procurement("repair", "raw").error
    assert not (tmp_path / "none").exists()


def test_a_metastore_that_is_away_is_one_line(procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hive_metastore", reason="the packages of the cluster profile are not installed")
    pytest.importorskip("hdfs_native", reason="the packages of the cluster profile are not installed")
    address = f"thrift://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setattr("procurement_platform.profiles.METASTORE_PATIENCE", 0.0)
    for name, value in {"PROFILE": "cluster", "LAKE": "hdfs://127.0.0.1:9/lake", "METASTORE_URI": address}.items():
        monkeypatch.setenv(f"PROCUREMENT_{name}", value)
    assert address in procurement("repair", "raw").error
