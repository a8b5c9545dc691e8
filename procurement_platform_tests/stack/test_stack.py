"""The stack as a whole, with small real servers in place of the large ones."""

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from procurement_platform.errors import ConfigurationError, StackUnavailable
from procurement_platform.stack import stack
from procurement_platform.stack.java import Java
from procurement_platform.stack.place import HOST, Place
from procurement_platform.stack.probes import NotYet
from procurement_platform.stack.processes import holders
from procurement_platform.stack.servers import Command, Programs, Server

SERVES = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""
DIES = "import sys; sys.exit('ERROR the disk is full')"


def small(name: str, program: str = SERVES, needs: tuple[str, ...] = (), programs: tuple[str, ...] = ()) -> Server:
    def answers(place: Place) -> None:
        socket.create_connection((HOST, getattr(place.ports, name))).close()

    def command(place: Place, _: Programs) -> Command:
        return Command([sys.executable, "-I", "-c", program, str(getattr(place.ports, name))], {})

    return Server(name, (name,), answers, command, needs=needs, programs=programs)


Servers = Callable[..., None]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Servers:
    """Puts these servers in place of the stack's."""

    def are(*given: Server) -> None:
        monkeypatch.setattr(stack, "SERVERS", {each.name: each for each in given})

    monkeypatch.setattr(stack, "find_java", lambda: Java(tmp_path, 25, frozenset()))
    monkeypatch.setattr(stack, "provide", lambda artifacts, *_: tmp_path / artifacts.name)
    monkeypatch.setattr(stack, "_ask_all", lambda _: None)
    are(small("postgres"), small("trino", needs=("postgres",), programs=("trino",)), small("registry", needs=("postgres",)))
    return are


def states(place: Place) -> dict[str, str]:
    return {each.server: each.state for each in stack.status(place)}


def pids(place: Place) -> dict[str, int | None]:
    return {each.server: each.pid for each in stack.status(place)}


def kill(place: Place, name: str) -> None:
    (pid,) = holders(place.run / name)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def silent(_: str) -> None:
    pass


def test_fetching_starts_nothing_and_leaves_out_what_is_optional(servers: Servers, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    servers(small("trino", programs=("trino", "hadoop")), small("kafka", programs=("hadoop",)), small("registry", programs=("registry",)))
    fetched = list[str]()
    monkeypatch.setattr(stack, "provide", lambda artifacts, *_: fetched.append(artifacts.name))
    stack.fetch(place, silent)
    assert fetched == ["hadoop", "trino"]
    stack.fetch(place, silent, registry=True)
    assert fetched[2:] == ["hadoop", "registry", "trino"]
    assert set(states(place).values()) == {"stopped"}


def test_it_comes_up_in_order_and_goes_down_without_a_trace(servers: Servers, place: Place) -> None:
    told: list[str] = []
    assert states(place) == {"postgres": "stopped", "trino": "stopped"}
    stack.up(place, told.append)
    assert told == ["postgres answers", "trino answers", "writing to HDFS, asking a table there"]
    assert states(place) == {"postgres": "running", "trino": "running"}
    found = pids(place)

    told.clear()
    (place.temporary / "left.sock").touch()
    assert stack.down(place, told.append) is True
    assert told == ["trino ended", "postgres ended"]
    assert states(place) == {"postgres": "stopped", "trino": "stopped"}
    assert list(place.run.iterdir()) == list(place.temporary.iterdir()) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in found.values())
    assert stack.down(place, silent) is False


def test_a_killed_server_is_named_and_started_again_alone(servers: Servers, place: Place) -> None:
    stack.up(place, silent)
    before = pids(place)
    kill(place, "trino")
    assert states(place) == {"postgres": "running", "trino": "killed"}
    (found,) = (each for each in stack.status(place) if each.server == "trino")
    assert "procurement stack up starts it again" in found.mend
    assert str(place.log("trino")) in found.mend

    told: list[str] = []
    stack.up(place, told.append)
    assert told[:2] == ["postgres runs already", "trino answers"]
    after = pids(place)
    assert after["postgres"] == before["postgres"]
    assert after["trino"] != before["trino"]
    stack.down(place, silent)


def test_the_registry_is_started_when_asked_for_and_healed_like_the_others(servers: Servers, place: Place) -> None:
    stack.up(place, silent)
    assert "SCHEMA_REGISTRY_URL" not in stack.variables(place)
    stack.up(place, silent, registry=True)
    assert states(place)["registry"] == "running"
    assert stack.variables(place)["SCHEMA_REGISTRY_URL"].startswith(f"http://127.0.0.1:{place.ports.registry}/")
    kill(place, "registry")
    assert states(place)["registry"] == "killed"
    stack.up(place, silent)
    assert states(place)["registry"] == "running"
    stack.down(place, silent)


def test_a_server_that_dies_while_starting_is_told_with_its_last_words(servers: Servers, place: Place) -> None:
    servers(small("postgres"), small("trino", DIES, ("postgres",), ("trino",)))
    with pytest.raises(StackUnavailable) as problem:
        stack.up(place, silent)
    assert str(problem.value) == f"trino ended while starting: ERROR the disk is full; its log is {place.log('trino')}"
    assert states(place) == {"postgres": "running", "trino": "killed"}
    stack.down(place, silent)


def test_a_server_that_never_answers_is_told(servers: Servers, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: Place) -> None:
        raise NotYet("it is in safe mode")

    first = small("postgres", programs=("trino",))
    servers(Server("postgres", first.ports, never, first.command, programs=first.programs))
    monkeypatch.setattr(stack, "SECONDS", 0.2)
    with pytest.raises(StackUnavailable, match=r"postgres does not answer: it is in safe mode; its log is"):
        stack.up(place, silent)
    (found,) = stack.status(place)
    assert (found.state, found.mend) == ("not answering", f"it is in safe mode; its log is {place.log('postgres')}")
    stack.down(place, silent)


def test_a_port_that_is_taken_is_told_before_anything_starts(servers: Servers, place: Place) -> None:
    with socket.create_server((HOST, place.ports.trino)), pytest.raises(ConfigurationError) as problem:
        stack.up(place, silent)
    port = place.ports.trino
    assert f"trino cannot listen on port {port} (Address already in use)" in str(problem.value)
    assert f"PROCUREMENT_STACK_PORTS=trino={port + 1}" in str(problem.value)
    assert states(place) == {"postgres": "stopped", "trino": "stopped"}


def test_the_port_that_tables_have_in_their_addresses_stays(servers: Servers, place: Place) -> None:
    stack.up(place, silent)
    stack.down(place, silent)
    moved = Place(place.folder, replace(place.ports, hdfs=place.ports.hdfs + 100, trino=place.ports.trino + 100), "root", 1024)
    with pytest.raises(ConfigurationError, match=f"keep PROCUREMENT_STACK_PORTS=hdfs={place.ports.hdfs}, or begin anew"):
        stack.up(moved, silent)
    assert set(states(place).values()) == {"stopped"}


def test_settings_that_changed_under_running_servers_are_refused(servers: Servers, place: Place) -> None:
    stack.up(place, silent)
    changed = Place(place.folder, place.ports, place.hdfs_user, place.trino_mib + 1)
    with pytest.raises(ConfigurationError, match="the settings changed while servers run: `procurement stack down`"):
        stack.up(changed, silent)
    stack.down(changed, silent)
    stack.up(changed, silent)
    stack.down(changed, silent)


def test_two_commands_do_not_work_on_it_at_once(servers: Servers, place: Place) -> None:
    with (place.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for act in (lambda: stack.up(place, silent), lambda: stack.down(place, silent)):
            with pytest.raises(StackUnavailable, match="another `procurement stack` is at work"):
                act()


def test_files_with_the_password_are_their_owners(servers: Servers, place: Place) -> None:
    stack.up(place, silent)
    stack.down(place, silent)
    modes = {path.stat().st_mode & 0o777 for path in place.conf.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_the_variables_point_at_the_servers_and_hold_no_password(place: Place) -> None:
    found = stack.variables(place)
    assert found["PROCUREMENT_PROFILE"] == "cluster"
    assert found["PROCUREMENT_METASTORE_URI"] == f"thrift://127.0.0.1:{place.ports.metastore}"
    assert "HDFS_BASE_URL" not in found
    assert stack.webhdfs(place) == f"http://127.0.0.1:{place.ports.webhdfs}"
    assert (found["TRINO_HOST"], found["TRINO_PORT"]) == ("127.0.0.1", str(place.ports.trino))
    assert found["HDFS_USER"] == found["HADOOP_USER_NAME"] == place.hdfs_user
    assert not any(place.password() in value for value in found.values())
