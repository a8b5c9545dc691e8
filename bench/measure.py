"""Runs a command and measures it: wall time, processor time, and the peak memory of all its processes together."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
_SECONDS_BETWEEN = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """One run: seconds on the clock, seconds of processors, the peak of memory (MiB) over the process and those below it together.

    Memory that processes may share counts once. `server_mib` is the peak of the platform's PostgreSQL, which outlives the command and is no
    part of `peak_mib`.
    """

    wall: float
    cpu: float
    peak_mib: float
    server_mib: float = 0.0


def measure(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, home: Path | None = None) -> Measured:
    """Runs a command to its end; what it says goes to `log`. `home` is the platform's, whose PostgreSQL is measured apart.

    Raises:
        SystemExit: the command failed; the text ends with its last words.
    """
    # Bytecode is cached as on any machine, whatever this one's habits.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | dict(environment or {})
    peaks, done = [0.0, 0.0], threading.Event()
    with log.open("wb") as sink:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=env)

        def watch() -> None:
            server = _server(home)
            while not done.is_set():
                peaks[0] = max(peaks[0], _together(_tree(process.pid)))
                server = server or _server(home)
                if server is not None:
                    peaks[1] = max(peaks[1], _together(_tree(server)))
                done.wait(_SECONDS_BETWEEN)

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        done.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-2000:]}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, peaks[0] / MIB, peaks[1] / MIB)


def _tree(pid: int) -> list[int]:
    """A process and those below it; a database server that a process started is not its own."""
    found = [pid]
    for each in found:
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found if _is_server(pid) else [each for each in found if not _is_server(each)]


def _is_server(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _server(home: Path | None) -> int | None:
    """The PostgreSQL of a platform home: its process id stands in its data folder."""
    if home is None:
        return None
    for found in home.glob("postgres/**/postmaster.pid"):
        try:
            return int(found.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            continue
    return None


def _together(pids: list[int]) -> int:
    """Bytes that processes hold in memory: what is each one's own, and once what they may share (libraries, PostgreSQL's buffers).

    Exact shares (`smaps_rollup`) cost the processes a tenth of their time while they are looked at.
    """
    own, shared = 0, 0
    for pid in pids:
        try:
            _, resident, common, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        except (OSError, ValueError):
            continue
        own, shared = own + resident - common, max(shared, common)
    return (own + shared) * _PAGE
