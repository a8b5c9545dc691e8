"""Of what Dagster says, people see warnings and errors, whole; the file has everything."""

from pathlib import Path

import pytest

from procurement_platform.cli.dagster_log import DagsterLog

TIME = "\x1b[32m2026-11-21 04:06:54 +0000\x1b[0m - "


def line(level: str, text: str) -> str:
    return f"{TIME}dagster - \x1b[34m{level}\x1b[0m - {text}\n"


@pytest.fixture
def log(tmp_path: Path) -> DagsterLog:
    return DagsterLog(tmp_path / "ui.log")


def write(log: DagsterLog, *lines: str) -> None:
    with log.path.open("a") as file:
        file.write("".join(lines))


def test_nothing_is_shown_of_a_run_that_goes_well(log: DagsterLog) -> None:
    write(log, line("INFO", "Serving dagster-webserver"), line("DEBUG", "RUN_START"), "more of it\n", line("DEBUG", "RUN_SUCCESS"))
    assert list(log.news()) == []


def test_warnings_and_errors_are_shown_whole_and_without_colours(log: DagsterLog) -> None:
    trace = ["Traceback (most recent call last):\n", '  File "x.py", line 1\n', "ValueError: no\n"]
    write(log, line("INFO", "a"), line("ERROR", "STEP_FAILURE"), *trace, line("DEBUG", "b"), "c\n", line("WARNING", "d"))
    prefix = "2026-11-21 04:06:54 +0000 - dagster - "
    assert list(log.news()) == [f"{prefix}ERROR - STEP_FAILURE", *(each.rstrip() for each in trace), f"{prefix}WARNING - d"]
    assert list(log.news()) == []


def test_that_the_checkout_has_the_instances_settings_too_is_no_news(log: DagsterLog) -> None:
    write(log, line("WARNING", "Found a dagster instance configuration value (dagster.yaml) in the current folder, but your …"))
    assert list(log.news()) == []


@pytest.mark.parametrize(
    "text", ["Traceback (most recent call last):", "x.py:1: DeprecationWarning: old", "procurement_platform.errors.ConfigurationError: no"]
)
def test_what_is_said_past_dagsters_logging_is_shown(log: DagsterLog, text: str) -> None:
    write(log, line("INFO", "a"), f"{text}\n", "  more\n", line("INFO", "b"), "hidden\n")
    assert list(log.news()) == [text, "  more"]


def test_a_line_is_shown_once_it_is_whole(log: DagsterLog) -> None:
    whole = line("ERROR", "broken ☃")
    data = whole.encode()
    for part in (data[:20], data[20:-3]):
        with log.path.open("ab") as file:
            file.write(part)
        assert list(log.news()) == []
    with log.path.open("ab") as file:
        file.write(data[-3:])
    assert [text[-8:] for text in log.news()] == ["broken ☃"]


def test_the_log_before_is_kept_beside(log: DagsterLog) -> None:
    write(log, "first\n")
    DagsterLog(log.path)
    assert log.path.read_text() == ""
    assert log.path.with_name("ui.log.1").read_text() == "first\n"
