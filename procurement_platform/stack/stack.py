"""The stack as a whole: brings it up, also where a part of it was killed, takes it down, and says how each server is."""

import fcntl
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from procurement_platform.errors import ConfigurationError, StackUnavailable
from procurement_platform.stack import probes
from procurement_platform.stack.artifacts import ARTIFACTS, cache_folder, provide
from procurement_platform.stack.config import render
from procurement_platform.stack.java import Java, find_java
from procurement_platform.stack.maven import fetcher
from procurement_platform.stack.place import HOST, Place
from procurement_platform.stack.processes import holders, last_lines, memory, start, stop
from procurement_platform.stack.servers import OPTIONAL, SERVERS, Programs, Server

SECONDS = 180.0  # from the start to the last answer, on a slow machine
_TURN = 0.1
_UNREACHED = (OSError, probes.NotYet)

Tell = Callable[[str], None]
State = Literal["running", "killed", "not answering", "stopped"]


@dataclass(frozen=True)
class Status:
    """How a server is. `memory` in bytes."""

    server: str
    state: State
    port: int
    pid: int | None
    memory: int
    mend: str


def up(place: Place, tell: Tell, *, registry: bool = False) -> None:
    """Starts what does not run, and returns when a query over all of it was answered.

    Raises:
        StackUnavailable: something cannot be fetched, started, or does not answer; the text names the server and its log.
        ConfigurationError: a port is taken, or the settings changed under running servers.
    """
    place.make()
    with _alone(place):
        wanted = [each for each in SERVERS.values() if each.name not in OPTIONAL or registry or _mark(place, each).exists()]
        java = find_java()
        programs = _programs(place, java, wanted, tell)
        missing = [each for each in wanted if not holders(_mark(place, each))]
        _configure(place, programs, running=len(missing) < len(wanted))
        for server in missing:
            _check_ports(place, server)
        _start(place, programs, wanted, missing, tell)
        tell("writing to HDFS, asking a table there")
        _ask_all(place)


def fetch(place: Place, tell: Tell, *, registry: bool = False) -> None:
    """Fetches what `up` would, and starts nothing.

    Raises:
        StackUnavailable: something cannot be fetched; the text says how to get it.
    """
    place.make()
    _programs(place, find_java(), [each for each in SERVERS.values() if each.name not in OPTIONAL or registry], tell)


def down(place: Place, tell: Tell) -> bool:
    """Ends every server and waits for its end; the data stays. False: none ran."""
    if not place.run.is_dir():
        return False
    with _alone(place):
        rest = [each for each in SERVERS.values() if each.name != "postgres"]
        ended = [*_stop(place, rest, tell), *_stop(place, [SERVERS["postgres"]], tell)]  # the others write to it as they end
        for folder in (place.run, place.temporary):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return bool(ended)


def status(place: Place) -> list[Status]:
    """How each server is that `up` would start. Starts nothing."""
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        found = list(pool.map(lambda server: _status(place, server), SERVERS.values()))
    return [each for each in found if each.server not in OPTIONAL or each.state != "stopped"]


def variables(place: Place) -> dict[str, str]:
    """The settings that point the cluster profile at the stack, and the addresses under which other programs know its servers."""
    ports = place.ports
    found = {
        "PROCUREMENT_PROFILE": "cluster",
        "PROCUREMENT_LAKE": f"hdfs://{HOST}:{ports.hdfs}/lake",
        "PROCUREMENT_DATABASE_URL": place.database("procurement"),
        "HDFS_USER": place.hdfs_user,
        "HADOOP_USER_NAME": place.hdfs_user,  # as Hadoop's clients read it
        "TRINO_HOST": HOST,
        "TRINO_PORT": str(ports.trino),
        "PROCUREMENT_METASTORE_URI": f"thrift://{HOST}:{ports.metastore}",
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports.kafka}",
    }
    if _mark(place, SERVERS["registry"]).exists():
        found["SCHEMA_REGISTRY_URL"] = f"http://{HOST}:{ports.registry}/apis/ccompat/v7"
    return found


def webhdfs(place: Place) -> str:
    """The address of WebHDFS. It is none of the settings: set, files would go through it, which is slower."""
    return f"http://{HOST}:{place.ports.webhdfs}"


def _programs(place: Place, java: Java, servers: list[Server], tell: Tell) -> Programs:
    cache, log = cache_folder(), place.log("maven")
    names = sorted({name for each in servers for name in each.programs})
    return Programs(java, {name: provide(ARTIFACTS[name], cache, fetcher(ARTIFACTS[name], cache, java, log, tell), tell) for name in names})


def _mark(place: Place, server: Server) -> Path:
    return place.run / server.name


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    with (place.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackUnavailable(f"another `procurement stack` is at work on {place.folder}; wait for it, then try again") from None
        yield


def _configure(place: Place, programs: Programs, *, running: bool) -> None:
    before = re.search(r"<value>hdfs://[^:<]+:(\d+)<", _text(place.conf / "hadoop" / "core-site.xml"))
    if before and int(before[1]) != place.ports.hdfs:
        raise ConfigurationError(
            f"the tables in {place.data} are at addresses with port {before[1]} of HDFS: keep PROCUREMENT_STACK_PORTS=hdfs={before[1]},"
            f" or begin anew by removing {place.folder}"
        )
    files = {place.conf / name: text for name, text in render(place, programs["trino"]).items()}
    changed = [path for path, text in files.items() if _text(path) != text]
    if changed and running:
        raise ConfigurationError("the settings changed while servers run: `procurement stack down`, then `procurement stack up`")
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(files[path], encoding="utf-8")
    for name in ("hdfs", "datanode", "static"):  # HDFS refuses to start without them
        (place.conf / "hadoop" / "webapps" / name).mkdir(parents=True, exist_ok=True)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _check_ports(place: Place, server: Server) -> None:
    for name in server.ports:
        port = getattr(place.ports, name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as problem:
                raise ConfigurationError(
                    f"{server.name} cannot listen on port {port} ({problem.strerror}): end what does, or choose another by"
                    f" PROCUREMENT_STACK_PORTS={name}={port + 1}"
                ) from problem


def _start(place: Place, programs: Programs, wanted: list[Server], missing: list[Server], tell: Tell) -> None:
    """Starts each server as soon as those it needs answer; all that can start side by side, do."""
    waiting, started = list(wanted), dict[str, "subprocess.Popen[bytes]"]()
    deadline = time.monotonic() + SECONDS
    answering: set[str] = set()
    why = ""
    while waiting:
        for server in list(waiting):
            if server in missing and server.name not in started:
                if answering.issuperset(server.needs):
                    started[server.name] = _start_one(place, programs, server)
                continue
            if (process := started.get(server.name)) is not None and process.poll() is not None:
                raise StackUnavailable(f"{server.name} ended while starting: {_last_words(place, server)}")
            try:
                server.settle(place)
                server.answers(place)
            except _UNREACHED as problem:
                why = f"{server.name} does not answer: {problem}; its log is {place.log(server.name)}"
                continue
            waiting.remove(server)
            answering.add(server.name)
            tell(f"{server.name} answers" if server in missing else f"{server.name} runs already")
        if time.monotonic() > deadline:
            raise StackUnavailable(why)
        time.sleep(_TURN)


def _start_one(place: Place, programs: Programs, server: Server) -> "subprocess.Popen[bytes]":
    server.prepare(place, programs)
    command = server.command(place, programs)
    return start(_mark(place, server), place.log(server.name), command.arguments, command.environment, place.temporary)


def _last_words(place: Place, server: Server) -> str:
    lines = [line.strip() for line in last_lines(place.log(server.name), 60) if line.strip() and not line.lstrip().startswith("at ")]
    telling = [line for line in lines if any(word in line for word in ("ERROR", "FATAL", "Exception", "Error:", "1) "))]
    return f"{(telling or lines or ['no reason given'])[-1][:300]}; its log is {place.log(server.name)}"


def _ask_all(place: Place) -> None:
    """A file on HDFS, a folder the metastore makes there, then one query that all but Kafka take part in. Raises StackUnavailable.

    The metastore keeps its connection to the NameNode: the first folder it makes after that was killed fails ("End of File Exception").
    """
    deadline = time.monotonic() + SECONDS / 2
    while True:
        try:
            probes.hdfs_writes(place.ports.webhdfs, place.hdfs_user)
            for query in (
                "DROP SCHEMA IF EXISTS iceberg.stack_asked",
                "CREATE SCHEMA iceberg.stack_asked",
                "DROP SCHEMA iceberg.stack_asked",
                "CREATE SCHEMA IF NOT EXISTS iceberg.stack",
                "CREATE TABLE IF NOT EXISTS iceberg.stack.ready AS SELECT * FROM tpch.tiny.region",
            ):
                probes.trino_rows(place.ports.trino, query, 60)
            query = "SELECT count(*) FROM hive.stack.ready CROSS JOIN TABLE(postgresql.system.query(query => 'SELECT 1 AS one'))"
            rows = probes.trino_rows(place.ports.trino, query, 60)
        except _UNREACHED as problem:
            if time.monotonic() > deadline:
                raise StackUnavailable(
                    f"all servers run, but they do not work together: {problem}; Trino's log is {place.log('trino')}"
                ) from None
            time.sleep(_TURN)
        else:
            if rows != [[5]]:
                raise StackUnavailable(f"the table iceberg.stack.ready has {rows} rows, not 5: what is under {place.data} is damaged")
            return


def _stop(place: Place, servers: list[Server], tell: Tell) -> list[str]:
    running = [each for each in servers if holders(_mark(place, each))]
    with ThreadPoolExecutor(max(1, len(running))) as pool:
        list(pool.map(lambda server: stop(_mark(place, server), server.ending), running))
    for server in running:
        tell(f"{server.name} ended")
    return [each.name for each in running]


def _status(place: Place, server: Server) -> Status:
    mark = _mark(place, server)
    pids, port = holders(mark), int(getattr(place.ports, server.ports[0]))
    log = place.log(server.name)
    if not pids:
        if mark.exists():
            return Status(server.name, "killed", port, None, 0, f"procurement stack up starts it again; its log is {log}")
        return Status(server.name, "stopped", port, None, 0, "procurement stack up")
    try:
        server.answers(place)
    except _UNREACHED as problem:
        return Status(server.name, "not answering", port, pids[0], memory(pids), f"{problem}; its log is {log}")
    return Status(server.name, "running", port, pids[0], memory(pids), "")
