"""Errors, exit codes, and a start that loads nothing heavy."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from procurement_platform.cli import app as app_module
from procurement_platform.cli.app import app, main
from procurement_platform.errors import DayBusy, ReferenceError_
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay
from procurement_platform_tests.docs_pages import commands

HEAVY = ("dagster", "polars", "pyarrow", "duckdb", "psycopg", "pyiceberg", "sqlglot", "sqlalchemy", "pydantic_settings", "fsspec", "numpy")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command with a sub-command `fail` beside its own."""
    extended = typer.Typer()
    extended.registered_commands = list(app.registered_commands)
    extended.registered_groups = list(app.registered_groups)
    extended.registered_callback = app.registered_callback
    monkeypatch.setattr(app_module, "app", extended)
    return extended


def test_an_error_is_one_line_and_exit_code_1(failing: typer.Typer, procurement: Procurement) -> None:
    @failing.command()
    def fail() -> NoReturn:
        raise DayBusy("2025-12-20 is held by\nsomeone else", "someone else")

    assert procurement("fail").error == "2025-12-20 is held by someone else"


def test_the_problems_of_reference_tables_are_listed_up_to_a_limit(failing: typer.Typer, procurement: Procurement) -> None:
    @failing.command()
    def fail() -> NoReturn:
        raise ReferenceError_("nothing was loaded: row 0", tuple(f"row {n}" for n in range(60)))

    done = procurement("fail")
    lines = done.err.splitlines()
    assert done.code == 1
    assert lines[:2] == ["error: nothing was loaded: row 0", "  row 1"]
    assert lines[-1] == "  … and 9 more"
    assert len(lines) == 52


def test_a_fault_of_the_program_is_named_as_one(failing: typer.Typer, procurement: Procurement) -> None:
    @failing.command()
    def fail() -> NoReturn:
        raise ZeroDivisionError("by zero")

    assert procurement("fail").error == "ZeroDivisionError: by zero (a fault of the program: run again with --debug to see where)"


def test_the_systems_own_errors_are_said_as_they_are(failing: typer.Typer, procurement: Procurement, tmp_path: Path) -> None:
    @failing.command()
    def fail() -> None:
        (tmp_path / "nowhere" / "file").read_text()

    assert procurement("fail").error == f"[Errno 2] No such file or directory: '{tmp_path}/nowhere/file'"


def test_debug_shows_where(failing: typer.Typer) -> None:
    @failing.command()
    def fail() -> NoReturn:
        raise DayBusy("busy", "someone")

    with pytest.raises(DayBusy):
        main(["--debug", "fail"])


@pytest.mark.parametrize("arguments", [["ordres"], ["orders", "yesterday"], ["orders", "--format", "xml"], ["put", "x.csv"], ["--what"]])
def test_wrong_usage_is_exit_code_2(procurement: Procurement, arguments: list[str]) -> None:
    done = procurement(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Usage: procurement" in done.err


def test_a_wrong_setting_is_one_line(procurement: Procurement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_TIMEZONE", "Mars/Olympus")
    monkeypatch.setenv("PROCUREMENT_SQL_THREADS", "many")
    error = procurement("orders", "2025-12-20").error
    assert "PROCUREMENT_TIMEZONE" in error
    assert "PROCUREMENT_SQL_THREADS" in error


def test_a_lake_that_does_not_fit_the_profile_is_one_line(
    procurement: Procurement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path))
    monkeypatch.setenv("PROCUREMENT_PROFILE", "cluster")
    told = "PROCUREMENT_LAKE is not set: the cluster profile keeps its lake on HDFS; write hdfs://namenode:port/folder"
    assert told in procurement("run", "2025-12-20").err


def test_the_version_is_the_projects(procurement: Procurement) -> None:
    from importlib.metadata import version

    assert procurement("--version").out == f"procurement {version('procurement-platform')}\n"


@pytest.mark.parametrize("path", ["procurement", "procurement files", "procurement reference", *(path for path, _ in commands())])
def test_help_names_values_by_what_they_are(procurement: Procurement, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = procurement(*path.split()[1:], "-h")
    assert done.code == 0
    assert f"Usage: {path}" in done.out
    assert re.findall(r"<[^>]*>", done.out) == []  # <bool>, <str>, <int range>
    assert "--help" in done.out


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["files", "withdraw", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom procurement_platform.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
    assert done.stderr == "[]\n"
    assert done.stdout


def test_an_interrupt_is_exit_code_130(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time, typer\nfrom procurement_platform.cli import app as module\n"
        "@module.app.command()\ndef wait():\n    print('waiting', flush=True)\n    time.sleep(60)\n"
        "module.main(['wait'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        os.kill(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=30)
        assert child.returncode == 130
        assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_fault() -> None:
    script = (
        "import sys\nfrom procurement_platform.cli import app as module\nfrom procurement_platform.cli.output import show\n"
        "@module.app.command()\ndef much():\n    show(({'n': n} for n in range(200_000)), ['n'], 'csv')\n"
        "module.main(['much'])\n"
    )
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", '"$0" -c "$1" | head -n 1', sys.executable, script],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "n\n"
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_reader_that_goes_away_is_no_error(ran_day: RanDay, form: str) -> None:
    script = f"{shlex.quote(sys.executable)} -c 'from procurement_platform.cli import main; main()' demand {DAY} --format {form}"
    done = subprocess.run(["bash", "-c", f"{script} | true; echo ${{PIPESTATUS[0]}}"], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize("command", ["orders", "demand", "exceptions", "quarantine", "files"])
def test_a_command_that_only_reads_begins_no_home(
    procurement: Procurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "nothing"))
    assert procurement(command, DAY).error == (
        f"no home here: {tmp_path / 'nothing'} has no data. Name the one you mean by PROCUREMENT_HOME, or begin one here: "
        "procurement run, simulate or put"
    )
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("url", ["s3://bucket/lake", "nosuch://place"])
def test_a_lake_that_is_no_local_folder_is_one_line(
    procurement: Procurement, home: Settings, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PROCUREMENT_LAKE", url)
    for command in (["orders", DAY], ["simulate", DAY], ["files", DAY]):
        assert procurement(*command).error == (
            f"PROCUREMENT_LAKE={url} is no local folder, which is what the embedded profile keeps its lake in: write a path or file://…"
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", DAY, "--orders", "0"], "Invalid value for '--orders': must be greater than or equal to 1"),
        (["simulate", DAY, "--orders", "many"], "Invalid value for '--orders': must be a valid integer"),
        (["orders", "--format", "xml"], "Invalid value for '--format': 'xml' is not one of 'table', 'csv', 'json'."),
    ],
)
def test_wrong_usage_is_told_without_words_of_python(procurement: Procurement, arguments: list[str], words: str) -> None:
    done = procurement(*arguments)
    assert done.code == 2
    assert words in " ".join(done.err.replace("│", " ").split())
