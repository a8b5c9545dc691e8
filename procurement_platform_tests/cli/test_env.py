"""`procurement env`: a shell that takes its output has the same settings, and no secret was printed."""

import subprocess
import sys
from pathlib import Path

import pytest

from procurement_platform.cli.env import is_secret
from procurement_platform.instance import dagster_environment
from procurement_platform.settings import Settings, variable
from procurement_platform_tests.cli.conftest import Procurement


def test_a_shell_gets_the_same_settings(procurement: Procurement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "it's a $HOME"))
    monkeypatch.setenv("PROCUREMENT_LAKE", (tmp_path / "lake").as_uri())
    monkeypatch.setenv("PROCUREMENT_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0.25")
    monkeypatch.setenv("RUN_DATE", "2025-12-20")
    here = Settings(_env_file=None)
    printed = procurement("env").out
    show = "from procurement_platform.settings import load_settings; print(repr(load_settings()))"
    there = subprocess.run(
        [
            "/bin/bash",
            "-euc",
            'eval "$1"; echo "$DAGSTER_HOME"; echo "$DAGSTER_MODULE_NAME"; "$2" -c "$3"',
            "bash",
            printed,
            sys.executable,
            show,
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert there.stdout.splitlines() == [*dagster_environment(here).values(), repr(here)]
    assert (here.dagster_home / "dagster.yaml").is_file()


def test_no_secret_is_printed(procurement: Procurement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path))
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", "postgresql://me:hunter2@db/x")
    monkeypatch.setenv("PROCUREMENT_ALERT_URLS", "mailto://me:hunter2@example.com json://example.com")
    monkeypatch.setenv("HDFS_BASE_URL", "http://me:hunter2@namenode:9870")
    out = procurement("env").out
    assert "hunter2" not in out
    assert out.splitlines()[-3:] == [
        f"# {name} is set, and not shown" for name in ("PROCUREMENT_DATABASE_URL", "HDFS_BASE_URL", "PROCUREMENT_ALERT_URLS")
    ]


def test_every_setting_is_printed_or_has_no_value(procurement: Procurement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path))
    lines = procurement("env").out.splitlines()
    printed = {line.removeprefix("export ").partition("=")[0] for line in lines}
    unset = {variable(name) for name, field in Settings.model_fields.items() if field.default in (None, ())}
    assert printed - {"DAGSTER_HOME", "DAGSTER_MODULE_NAME"} == {variable(name) for name in Settings.model_fields} - unset


@pytest.mark.parametrize(
    ("value", "secret"), [("http://namenode:9870", False), ("s3://key:secret@bucket", True), ("plain", False), (3, False), (None, False)]
)
def test_an_address_with_a_login_is_a_secret(value: object, secret: bool) -> None:
    assert is_secret(value) is secret
