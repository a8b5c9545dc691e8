"""The real servers for tests marked `cluster`, of any folder: one stack for all tests of a session, started by the first that asks.

- `cluster`: the stack, with every server of it running as the test begins.
- `session_cluster`: the same for fixtures that live longer than a test.
- `cluster_home`: settings of an empty home that has a lake on HDFS and a database of its own there; the environment names them.

PROCUREMENT_TEST_STACK=HOME takes the stack of that home (on the ports of PROCUREMENT_STACK_PORTS), starts what of it does not run, and
leaves it running: quick while tests are written.
"""

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from psycopg import sql

from procurement_platform.settings import Settings
from procurement_platform.stack import place as places
from procurement_platform.stack import postgres, probes, stack
from procurement_platform.stack.place import HOST, Place, Ports
from procurement_platform.stack.processes import holders
from procurement_platform.stack.servers import OPTIONAL, SERVERS

GIVEN = os.environ.get("PROCUREMENT_TEST_STACK")  # read now: tests see no PROCUREMENT_* from outside
GIVEN_PORTS = os.environ.get("PROCUREMENT_STACK_PORTS")
DEADLINE = 60.0
_handed_out: set[int] = set()  # a server that is asked for later finds its port free


def free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to clients, so that no connection takes one before its server does; none twice."""
    found: list[int] = []
    with ExitStack() as taken:
        for port in range(20000 + os.getpid() % 500 * 20, 32000):  # two sessions at once begin at different ones
            if port in _handed_out:
                continue
            probe = taken.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                _handed_out.update(found)
                return found
    raise AssertionError("no free ports")


def free_place(folder: Path) -> Place:
    """A stack's place whose ports nobody listens on."""
    names = [field.name for field in fields(Ports)]
    return Place(folder, Ports(**dict(zip(names, free_ports(len(names)), strict=True))), "root", 1024)


def until(condition: Callable[[], object]) -> None:
    """Waits for a condition; fails after a minute."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Cluster:
    """The stack, up. `cold_seconds` is how long its start took, from programs that were there; `load_before` what else the machine did."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.load_before = os.getloadavg()[0]
        self.cold_seconds = self.up()

    @property
    def variables(self) -> dict[str, str]:
        """What `procurement stack env` prints: PROCUREMENT_PROFILE, TRINO_HOST, … by name; and HDFS_BASE_URL, which is a comment there."""
        return {**stack.variables(self.place), "HDFS_BASE_URL": stack.webhdfs(self.place)}

    @property
    def hdfs(self) -> str:
        """HDFS by RPC, `hdfs://host:port`."""
        return f"hdfs://{HOST}:{self.place.ports.hdfs}"

    def up(self) -> float:
        """Starts what does not run; the seconds that took after the programs were there."""
        began = [time.monotonic()]

        def tell(step: str) -> None:
            if any(word in step for word in (": fetching", ": checking", ": unpacking")):
                began.append(time.monotonic())

        stack.up(self.place, tell)
        return time.monotonic() - began[-1]

    def heal(self) -> None:
        """Starts what a test before left killed or stopped."""
        if not all(holders(self.place.run / each.name) for each in SERVERS.values() if each.name not in OPTIONAL):
            self.up()

    def kill(self, name: str) -> None:
        """Ends a server as the kernel does when memory is short."""
        pid = holders(self.place.run / name)[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in holders(self.place.run / name))

    def states(self) -> dict[str, str]:
        """Server → what `procurement stack status` says of it."""
        return {each.server: each.state for each in stack.status(self.place)}

    def query(self, text: str) -> list[list[object]]:
        """All rows of a query of Trino; decimals and dates come as texts."""
        return probes.trino_rows(self.place.ports.trino, text, DEADLINE)

    def webhdfs(self, method: str, path: str, operation: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One operation of WebHDFS as the superuser; a redirection to the DataNode is followed with the body."""
        return probes.webhdfs(self.place.ports.webhdfs, self.place.hdfs_user, method, path, operation, body)


def own_variables() -> dict[str, str]:
    """The environment's variables that are settings: for commands in processes of their own."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PROCUREMENT_", "HDFS_", "TRINO_"))}


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if GIVEN:
        yield Cluster(places.place(Settings(_env_file=None, home=Path(GIVEN), stack_ports=GIVEN_PORTS)))
        return
    place = free_place(tmp_path_factory.mktemp("clüster-home") / "stack")
    try:
        yield Cluster(place)
    finally:
        stack.down(place, lambda _: None)


@pytest.fixture
def cluster(session_cluster: Cluster) -> Cluster:
    session_cluster.heal()
    return session_cluster


@contextmanager
def home_of_its_own(cluster: Cluster, home: Path) -> Iterator[dict[str, str]]:
    """The environment of an empty home with a lake, a schema and a database of its own on the cluster; they go in the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with postgres.connect(cluster.place, "postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    own = {
        "PROCUREMENT_HOME": str(home),
        "PROCUREMENT_LAKE": f"{cluster.hdfs}/tests/{name}",
        "PROCUREMENT_DATABASE_URL": cluster.place.database(name),
        "PROCUREMENT_TABLE_SCHEMA": name,
        "PROCUREMENT_RAW_SCHEMA": f"{name}_raw",
    }
    yield {**stack.variables(cluster.place), **own}  # files go by the NameNode's own protocol
    cluster.heal()
    cluster.webhdfs("DELETE", f"/tests/{name}", "DELETE&recursive=true")
    with postgres.connect(cluster.place, "postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def cluster_home(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with home_of_its_own(cluster, tmp_path / "home") as variables:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        yield Settings(_env_file=None)
