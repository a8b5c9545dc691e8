"""`procurement ui`: what it refuses before Dagster starts, and the process it becomes."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from procurement_platform.instance import dagster_environment
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement


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
def became(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[str], Mapping[str, str]]]:
    calls: list[tuple[str, Sequence[str], Mapping[str, str]]] = []

    def execve(path: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        calls.append((path, arguments, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    return calls


def test_the_process_becomes_dagster_with_everything_set(
    procurement: Procurement, own_home: Settings, became: list[tuple[str, Sequence[str], Mapping[str, str]]], free_port: int
) -> None:
    done = procurement("ui", "--port", free_port)
    assert done.err == f"The UI: http://127.0.0.1:{free_port}   (Ctrl-C ends it)\n"
    ((path, arguments, environment),) = became
    assert path == sys.executable
    assert arguments[1:] == [
        "-m", "dagster", "dev", "-m", "procurement_platform.definitions", "--host", "127.0.0.1", "--port", str(free_port),
    ]  # fmt: skip
    assert environment["DAGSTER_HOME"] == dagster_environment(own_home)["DAGSTER_HOME"]
    assert "DAGSTER_MODULE_NAME" not in environment  # with it, the webserver that `dagster dev` starts hangs
    assert environment["PROCUREMENT_HOME"] == str(own_home.home)
    assert Path(environment["DAGSTER_HOME"], "dagster.yaml").is_file()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_open_address_is_warned_of(
    procurement: Procurement, own_home: Settings, became: list[tuple[str, Sequence[str], Mapping[str, str]]], free_port: int
) -> None:
    assert "asks nobody for a password" in procurement("ui", "--port", free_port, "--host", "0.0.0.0").err  # noqa: S104 -- nothing listens
    assert became
