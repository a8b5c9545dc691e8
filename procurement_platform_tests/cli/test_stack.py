"""`procurement stack` where nothing runs; with the real servers: stack/test_cluster.py."""

import shlex
import subprocess
from pathlib import Path

import pytest

from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "a home"))
    return tmp_path / "a home"


def test_down_where_nothing_runs_is_no_error_and_makes_nothing(procurement: Procurement, home: Path) -> None:
    done = procurement("stack", "down")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1] == "the stack was not running"
    assert not home.exists()


def test_status_names_every_server_and_its_exit_code_says_that_none_runs(procurement: Procurement, home: Path) -> None:
    done = procurement("stack", "status", "--format", "json")
    assert done.code == 1
    assert [row["server"] for row in done.json] == ["postgres", "trino", "namenode", "datanode", "metastore", "kafka"]
    assert {row["state"] for row in done.json} == {"stopped"}
    assert {row["mend"] for row in done.json} == {"procurement stack up"}
    assert not home.exists()


def test_env_is_lines_that_a_shell_and_the_settings_take(procurement: Procurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_STACK_PORTS", "trino=8090")
    out = procurement("stack", "env").out
    shell = subprocess.run(
        ["/bin/bash", "-euc", f"set -a; eval {shlex.quote(out)}; env"], env={}, check=True, capture_output=True, text=True
    ).stdout
    there = dict(line.partition("=")[::2] for line in shell.splitlines())
    assert (there["PROCUREMENT_PROFILE"], there["TRINO_PORT"], there["HDFS_USER"]) == (
        "cluster",
        "8090",
        Settings(_env_file=None).hdfs_user,
    )
    (tmp_path / "given.env").write_text(out)
    found = Settings(_env_file=tmp_path / "given.env")
    assert (found.profile, found.trino_port, found.metastore_uri) == ("cluster", 8090, "thrift://127.0.0.1:9083")
    assert found.hdfs_base_url is None  # WebHDFS is slower: its address is a comment
    assert out.splitlines()[-1] == "# HDFS_BASE_URL=http://127.0.0.1:9870 (set it to go through WebHDFS)"
    assert found.database_url is not None
    assert found.database_url.get_secret_value() == there["PROCUREMENT_DATABASE_URL"]


def test_a_setting_that_cannot_be_is_one_line(procurement: Procurement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_STACK_PORTS", "trino=none")
    for command in ("up", "down", "status", "env"):
        assert "PROCUREMENT_STACK_PORTS: 'trino=none' has no port" in procurement("stack", command).err


def test_logs_are_the_last_lines_of_each_server(procurement: Procurement, home: Path) -> None:
    assert procurement("stack", "logs").out == ""
    folder = home / "stack" / "logs"
    folder.mkdir(parents=True)
    (folder / "kafka.log").write_text("one\ntwo\n\tthree \x1b[31m\n")
    (folder / "trino.log").write_text("other\n")
    done = procurement("stack", "logs", "kafka", "--lines", "2")
    assert done.out == f"==> {folder / 'kafka.log'}\ntwo\n        three \\x1b[31m\n"
    assert procurement("stack", "logs").out.count("==> ") == 2


def test_logs_of_a_server_that_is_none_are_refused(procurement: Procurement) -> None:
    done = procurement("stack", "logs", "hive")
    assert done.code == 2
    assert "'hive' is no server" in done.err


def test_what_cannot_be_fetched_is_one_line(procurement: Procurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    (java / "bin").mkdir(parents=True)
    (java / "bin" / "java").touch(mode=0o755)
    (java / "release").write_text('JAVA_VERSION="25.0.1"\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mvn").write_text("#!/bin/sh\necho '[ERROR] the network is unreachable'; exit 1\n")
    (tmp_path / "bin" / "mvn").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(java))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "home"))
    done = procurement("stack", "fetch")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("error: Maven could not fetch hadoop: the network is unreachable; its whole text is ")
