"""Which process is at something, in a word that others can ask about: on the same machine it is known whether it is still there."""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Host, process space, process id, and when it started in the kernel's ticks: an id is given again, with another start."""
    return f"{socket.gethostname()} {process_space()} {os.getpid()} {_started(os.getpid())}"


def is_gone(process: str) -> bool | None:
    """Whether a process has ended; None where that cannot be known: it is another machine's, or the word says nothing."""
    host, _, rest = process.partition(" ")
    space, _, rest = rest.partition(" ")
    number, _, started = rest.partition(" ")
    return _started(int(number)) != started if number.isdecimal() and is_here(host, space) else None


def is_here(host: str, space: str) -> bool:
    """Whether the processes of a host and a process space are those that this one sees."""
    return (host, space) == (socket.gethostname(), process_space())


def process_space() -> str:
    """What tells this machine's process numbers from those of a container of the same name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return "?"


def _started(number: int) -> str:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
