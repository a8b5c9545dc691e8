"""Runs a command of many processes so that none of them outlives this one, however either ends."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_SECONDS_TO_END = 20.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_LOOKS = 0.5  # seconds between two calls of `look`


def supervise(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None, look: Callable[[], object] | None = None
) -> int:
    """Runs a command in a process group of its own until it ends; returns its exit code (128 + n where signal n ended it).

    What it says goes to the end of `log`, where one is given; `look` is called while it runs, and once after.

    Ctrl-C and a request to end reach the command once, as Ctrl-C. Where this process is killed, the kernel tells the command; where the
    command is killed, what it started is ended here. A process that left the group (the embedded PostgreSQL) is nobody's here.
    """
    # A file, and no pipe: what outlives this process, by however little, can still write.
    with log.open("ab") if log is not None else contextlib.nullcontext() as output:
        process = subprocess.Popen(
            list(arguments),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=_as_its_own,  # noqa: PLW1509 -- one thread
        )

    def forward(_: int, __: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, forward) for number in _ENDING}
    try:
        code = _wait(process, look)
    finally:
        _end_group(process.pid)
        for number, handler in before.items():
            signal.signal(number, handler)
    if look is not None:
        look()
    return code if code >= 0 else 128 - code


def _wait(process: "subprocess.Popen[bytes]", look: Callable[[], object] | None) -> int:
    while look is not None:
        try:
            return process.wait(_LOOKS)
        except subprocess.TimeoutExpired:
            look()
    return process.wait()


def _as_its_own() -> None:
    """In the child: it ends with its parent, and can be asked to end though a shell that started us in the background ignored that."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _end_group(group: int) -> None:
    """Ends what is left of a process group whose leader is gone: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            if number == signal.SIGKILL or _gone(group):
                return


def _gone(group: int) -> bool:
    """Whether a process group ends within a while."""
    deadline = time.monotonic() + _SECONDS_TO_END
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
