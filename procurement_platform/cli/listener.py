"""Which process listens on a port of this machine, as far as /proc shows it."""

import stat
from contextlib import suppress
from pathlib import Path

from procurement_platform.open_files import has_open, processes

_LISTENS = "0A"  # the state, in /proc/net/tcp
_MOST_TEXT = 100


def listener(port: int) -> tuple[int, str] | None:
    """The id and the command line of the process that listens on a TCP port; None where that cannot be seen (another user's, no /proc).

    Of several, which share the port, the one with the smallest id: as a rule the others are its children.
    """
    sockets = {inode for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, port)}
    with suppress(OSError):
        for process in sorted(processes()) if sockets else ():
            if has_open(process, lambda found: stat.S_ISSOCK(found.st_mode) and found.st_ino in sockets):
                return process, _command(process)
    return None


def _listening(table: Path, port: int) -> list[int]:
    """The inodes of sockets that listen on the port."""
    try:
        lines = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [int(line[9]) for line in lines if line[3] == _LISTENS and int(line[1].rpartition(":")[2], 16) == port]


def _command(process: int) -> str:
    from procurement_platform.texts import shorten

    return shorten(" ".join(Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")).strip(), _MOST_TEXT)
