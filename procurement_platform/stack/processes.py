"""Servers as processes that outlive the command that started them.

A server is known by a file of its own, `run/NAME`, which it inherits open: it lives as long as a process has that file open. The
kernel keeps this account, so that a kill at any moment, a reboot or a process number used twice leaves nothing to guess. A file that
nobody has open tells of a server that ended without being asked to.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from procurement_platform.open_files import has_open, processes

LOG_BYTES = 8 * 1024 * 1024
_TURN = 0.02
_started: list["subprocess.Popen[bytes]"] = []  # by this process: their ends are taken note of, so that none stays as a zombie


def start(
    mark: Path, log: Path, arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Starts a server that holds `mark` open; what it says goes to the end of `log`."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with mark.open("ab") as held, log.open("ab") as output:
        process = subprocess.Popen(
            list(arguments),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(held.fileno(),),
            start_new_session=True,  # Ctrl-C is the command's, not the server's
            cwd=folder or "/",
        )
    _started[:] = [each for each in _started if each.poll() is None] + [process]
    return process


def holders(mark: Path) -> list[int]:
    """The processes that have the file open, the server itself before those it started. None: the server does not run."""
    try:
        wanted = mark.stat()
    except FileNotFoundError:
        return []
    found = [pid for pid in processes() if pid != os.getpid() and has_open(pid, partial(os.path.samestat, wanted))]
    return server_first({pid: parent(pid) for pid in found})


def server_first(parents: Mapping[int, int]) -> list[int]:
    """A server's processes, each with its parent: first the one that none of them started.

    Neither its number nor its session tells it: the kernel begins anew at small numbers, and each process of PostgreSQL leads a
    session of its own.
    """
    return sorted(parents, key=lambda pid: (parents[pid] in parents, pid))


def stop(mark: Path, number: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> bool:
    """Ends a server: asked first, then killed. Returns once its last process is gone. False: it did not run."""
    found = holders(mark)
    if not found:
        return False
    _send(found[:1], number)
    deadline = time.monotonic() + seconds
    while found := holders(mark):
        if time.monotonic() > deadline:
            _send(found, signal.SIGKILL)
        time.sleep(_TURN)
    for each in _started:
        each.poll()
    return True


def memory(pids: Sequence[int]) -> int:
    """Resident bytes of processes together; a page that several share counts once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 400 * count - 400))
            return file.read().decode(errors="replace").splitlines()[-count:] if count else []
    except FileNotFoundError:
        return []


def parent(pid: int) -> int:
    """The process that started it, or that takes care of it since that one ended; 0 of one that is gone."""
    try:
        # the name before it, in parentheses, can hold anything; its state comes between
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
