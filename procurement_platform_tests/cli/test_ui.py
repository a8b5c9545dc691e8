"""`procurement ui`: what it refuses before Dagster starts, and the command it runs."""

import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from dagster import DefaultSensorStatus

from procurement_platform.instance import dagster_environment
from procurement_platform.procurement.sensors import SENSORS
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement

Started = tuple[Sequence[str], Mapping[str, str]]
SAID = """2026-11-21 04:06:54 +0000 - dagster - DEBUG - RUN_START
2026-11-21 04:06:54 +0000 - dagster - ERROR - STEP_FAILURE
"""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_one_line(procurement: Procurement, home: Settings, taken: int) -> None:
    assert procurement("ui", "--port", taken).error == (
        f"127.0.0.1:{taken} cannot be listened on, something else does: procurement ui --port {taken + 1}"
    )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    calls: list[Started] = []

    def supervise(
        arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None, look: Callable[[], object] | None = None
    ) -> int:
        calls.append((arguments, environment))
        if log is not None and look is not None:
            log.write_text(SAID)
            look()
        return 0

    monkeypatch.setattr("procurement_platform.supervise.supervise", supervise)
    return calls


def test_dagster_is_started_with_everything_set(
    procurement: Procurement, own_home: Settings, started: list[Started], free_port: int
) -> None:
    done = procurement("ui", "--port", free_port)
    log = own_home.dagster_home / "ui.log"
    assert done.err.splitlines() == [
        f"The UI: http://127.0.0.1:{free_port}   (Ctrl-C ends it; its log: {log})",
        "2026-11-21 04:06:54 +0000 - dagster - ERROR - STEP_FAILURE",
    ]
    assert log.read_text() == SAID
    ((arguments, environment),) = started
    assert arguments == [
        sys.executable, "-m", "dagster", "dev", "-m", "procurement_platform.definitions", "--host", "127.0.0.1", "--port", str(free_port),
        "--log-level", "warning",
    ]  # fmt: skip
    assert environment["DAGSTER_HOME"] == dagster_environment(own_home)["DAGSTER_HOME"]
    assert "DAGSTER_MODULE_NAME" not in environment  # with it, the webserver that `dagster dev` starts hangs
    assert environment["PROCUREMENT_HOME"] == str(own_home.home)
    assert Path(environment["DAGSTER_HOME"], "dagster.yaml").is_file()


def test_verbose_shows_all_that_dagster_says(procurement: Procurement, own_home: Settings, started: list[Started], free_port: int) -> None:
    done = procurement("ui", "--port", free_port, "--verbose")
    assert done.err == f"The UI: http://127.0.0.1:{free_port}   (Ctrl-C ends it)\n"
    assert "--log-level" not in started[0][0]
    assert not (own_home.dagster_home / "ui.log").exists()


def test_the_help_names_the_sensors_that_are_on(procurement: Procurement) -> None:
    told = procurement("ui", "--help").out
    for sensor in SENSORS:
        assert sensor.default_status == DefaultSensorStatus.RUNNING
        assert sensor.name in told
    assert "Automation page" in told


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_open_address_is_warned_of(procurement: Procurement, own_home: Settings, started: list[Started], free_port: int) -> None:
    assert "asks nobody for a password" in procurement("ui", "--port", free_port, "--host", "0.0.0.0").err  # noqa: S104 -- nothing listens
    assert started
