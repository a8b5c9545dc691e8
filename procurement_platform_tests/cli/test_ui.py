"""`procurement ui`: what it refuses before Dagster starts, and the command it runs."""

import socket
import subprocess
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


LISTENER = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET):
    print("listens", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_one_line_that_names_the_process(
    procurement: Procurement, home: Settings, free_port: int, host: str
) -> None:
    command = [sys.executable, "-c", LISTENER, host, str(free_port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"listens\n"
        told = procurement("ui", "--host", host, "--port", free_port).error
        holder.kill()
    assert told.startswith(f"{host}:{free_port} cannot be listened on, process {holder.pid} does ({sys.executable} -c import socket, sys ")
    assert told.endswith(f"): end it (kill {holder.pid}), or procurement ui --port {free_port + 1}")


def test_a_port_whose_holder_cannot_be_seen_is_one_line(
    procurement: Procurement, home: Settings, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("procurement_platform.cli.listener.listener", lambda _: None)  # it is another user's
    assert procurement("ui", "--port", taken).error == (
        f"127.0.0.1:{taken} cannot be listened on, something else does: procurement ui --port {taken + 1}"
    )


def test_an_address_of_another_machine_is_told_apart(procurement: Procurement, home: Settings) -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):
        assert procurement("ui", "--host", host).error == (
            f"{host} is no address of this machine: leave --host out, or give one of its own (0.0.0.0: all of them)"
        )


HOLDER = """
import sys
from pathlib import Path
from procurement_platform.cli.ui import only_one
with only_one(Path(sys.argv[1]), "http://127.0.0.1:3999"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_ui_of_a_home_is_refused_until_the_first_is_gone(
    procurement: Procurement, own_home: Settings, started: list[Started], free_port: int
) -> None:
    own_home.dagster_home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(own_home.dagster_home / "ui.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert procurement("ui", "--port", free_port).error == (
            f"this home has a UI that runs: http://127.0.0.1:3999 (process {holder.pid}). Use that one, or end it first; "
            "another home is another PROCUREMENT_HOME"
        )
        assert started == []
        holder.kill()
    assert procurement("ui", "--port", free_port).code == 0
    assert len(started) == 1


def test_the_ui_is_named_ready_once_it_answers(
    procurement: Procurement, own_home: Settings, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    def supervise(_: Sequence[str], __: Mapping[str, str], ___: Path | None, look: Callable[[], object]) -> int:
        look()
        with socket.create_server(("127.0.0.1", free_port)):
            look()
            look()
        return 0

    monkeypatch.setattr("procurement_platform.supervise.supervise", supervise)
    assert procurement("ui", "--port", free_port).err.splitlines()[1:] == [f"The UI is ready: http://127.0.0.1:{free_port}"]


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
        f"Starting Dagster's UI and daemon (Ctrl-C ends them; their log: {log})",
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
    assert done.err == "Starting Dagster's UI and daemon (Ctrl-C ends them)\n"
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
