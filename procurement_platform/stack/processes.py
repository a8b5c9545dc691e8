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
from pathlib import Path

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
    """The processes that have the file open, the one that leads its session first. None: the server does not run."""
    try:
        wanted = mark.stat()
    except FileNotFoundError:
        return []
    found = [pid for pid in _processes() if pid != os.getpid() and _has_open(pid, wanted)]
    return sorted(found, key=lambda pid: (not _leads(pid), pid))


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


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- a Path for each would double the time


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        with os.scandir(f"/proc/{pid}/fd") as descriptors:
            for each in descriptors:
                with contextlib.suppress(OSError):
                    found = each.stat()
                    if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return True
    except OSError:  # it ended, or is another user's
        pass
    return False


def _leads(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
