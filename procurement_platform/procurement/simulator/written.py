"""What the simulator wrote into the inbox, so that it never takes the place of what a market sent.

`inbox/_simulated/{date}.sha256` has a line for each file it wrote for the date, as `sha256sum -c` takes them in the inbox. A line is
written before its file can be seen; a file of that name with another hash is somebody else's.
"""

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from procurement_platform.inbox.ledger import IN_USE, Ledger
from procurement_platform.inbox.scan import FoundFile, UnfitFile, scan
from procurement_platform.inbox.waiting import name_of
from procurement_platform.lake.files import Lake
from procurement_platform.procurement.feeds import FEEDS

_PIECE = 4 * 1024 * 1024


def note(lake: Lake, path: str, sha256: str) -> None:
    """Notes a file, by its path relative to the inbox (`{feed}/{date}/{name}`) and the hash of its content, as the simulator's."""
    register = _register(path.split("/")[1])
    line = f"{sha256}  {path}\n".encode()
    known = lake.read(register) if lake.exists(register) else b""
    if line not in known.splitlines(keepends=True):
        lake.write(register, known + line)


def sent_by_markets(lake: Lake, ledger: Ledger, days: Sequence[dt.date]) -> list[str]:
    """The days' files that the simulator did not write: in the inbox, or accepted or rejected by a run, by path relative to the inbox."""
    recorded = defaultdict(list)
    for known in ledger.files(min(days), max(days), states=IN_USE):
        recorded[known.run_date].append(known)
    found = set()
    for day in days:
        own = noted(lake, day)
        for feed in FEEDS:
            there = scan(lake.path("inbox"), feed.name, day, 0, files=lake.fs)
            lying: list[FoundFile | UnfitFile] = [*there.files, *there.unfit]
            for file in lying:
                path = f"{feed.name}/{day.isoformat()}/{Path(file.path).name}"
                if path not in own or sha256_if_readable(lake, path) not in own[path]:
                    found.add(f"{feed.name}/{day.isoformat()}/{name_of(file)}")
        for known in recorded[day]:
            path = f"{known.feed}/{day.isoformat()}/{known.file_name}"
            # Of what is no file, or may not be read, the ledger has no hash of a content.
            if known.raw_path and known.sha256 not in own.get(path, ()):
                found.add(path)
    return sorted(found)


def sha256_of(lake: Lake, path: str) -> str:
    """The hash of a file in the lake; of a link, that of where it leads."""
    local = Path(lake.path(path))
    if lake.local and local.is_symlink():
        return hashlib.sha256(str(local.readlink()).encode()).hexdigest()
    digest = hashlib.sha256()
    with lake.fs.open(lake.path(path), "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def sha256_if_readable(lake: Lake, path: str) -> str | None:
    """The hash of a file of the inbox, by its path relative to that; None where there is none that can be read."""
    try:
        return sha256_of(lake, f"inbox/{path}")
    except OSError:  # a folder, or a file that may not be read
        return None


def noted(lake: Lake, day: dt.date) -> dict[str, set[str]]:
    """Path relative to the inbox → the hashes of what the simulator ever wrote there."""
    register = _register(day.isoformat())
    own: dict[str, set[str]] = defaultdict(set)
    for line in lake.read(register).decode().splitlines() if lake.exists(register) else ():
        sha256, _, path = line.partition("  ")
        own[path].add(sha256)
    return own


def _register(day: str) -> str:
    return f"inbox/_simulated/{day}.sha256"
