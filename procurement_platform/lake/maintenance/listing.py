"""What lies in a folder, links as links; and what a maintenance task did, as lines for people."""

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from procurement_platform.lake.files import Lake


@dataclass(frozen=True)
class Entry:
    """A file, folder or link right below a folder. A link is no folder, whatever it leads to."""

    name: str
    folder: bool
    bytes: int
    modified: dt.datetime


@dataclass(frozen=True)
class Weight:
    """What lies in a folder at any depth: files, bytes, and when any of it changed last."""

    files: int
    bytes: int
    modified: dt.datetime

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(self.files + other.files, self.bytes + other.bytes, max(self.modified, other.modified))


@dataclass(frozen=True)
class Line:
    """What a task did (or, in a dry run, would do) in one place: `count` files, snapshots or runs, and their bytes."""

    what: str
    did: str
    count: int = 0
    bytes: int = 0
    note: str = ""

    @classmethod
    def busy(cls, what: str, holder: str) -> Self:
        """A place that was left alone, because somebody else is at work there."""
        return cls(what, "left for the next time", 1, note=f"{holder} is at work there")


def entries(lake: Lake, folder: str) -> list[Entry]:
    """What lies right below a folder, by name; nothing where there is none. What vanishes meanwhile is left out."""
    path = lake.path(folder)
    found: list[Entry] = []
    if lake.local:
        try:
            with os.scandir(path) as listing:
                for each in listing:
                    found += _local(each)
        except (FileNotFoundError, NotADirectoryError):
            return []
    else:
        try:
            listed = lake.fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        for told in listed:
            name = told["name"].rstrip("/").rpartition("/")[2]
            found.append(Entry(name, told["type"] == "directory", int(told["size"] or 0), told["modified"]))
    return sorted(found, key=lambda entry: entry.name)


def weigh(lake: Lake, path: str, entry: Entry) -> Weight:
    """What would go with an entry at a path."""
    if not entry.folder:
        return Weight(1, entry.bytes, entry.modified)
    inside = entries(lake, path)
    # A folder's own time counts where it is empty: removing what is in it changes it, too.
    weight = Weight(0, 0, dt.datetime.min.replace(tzinfo=dt.UTC) if inside else entry.modified)
    for each in inside:
        weight += weigh(lake, f"{path}/{each.name}", each)
    return weight


def remove(lake: Lake, path: str, entry: Entry) -> None:
    """Removes a file, a link or a folder with all that is in it; none there is fine."""
    if entry.folder:
        lake.remove_folder(path)
    elif lake.local:
        try:
            os.unlink(lake.path(path))  # noqa: PTH108 -- a link itself, also one that leads nowhere
        except FileNotFoundError:
            return
    else:
        lake.remove(path)


def some_dates(dates: Iterable[dt.date], today: dt.date, *, recent: int, old: int) -> list[dt.date]:
    """The dates to look at today: those of the last `recent` days, and `old` older ones, others each day, so that all have their turn."""
    known = sorted(set(dates))
    first = today - dt.timedelta(days=recent)
    before = [date for date in known if date < first]
    return sorted([*_in_turn(before, today.toordinal(), old), *(date for date in known if date >= first)])


def _in_turn(dates: Sequence[dt.date], turn: int, most: int) -> Sequence[dt.date]:
    turns = -(-len(dates) // most) if most else 0
    return dates[turn % turns * most :][:most] if turns else []


def _local(found: "os.DirEntry[str]") -> list[Entry]:
    try:
        told = found.stat(follow_symlinks=False)
    except FileNotFoundError:
        return []
    modified = dt.datetime.fromtimestamp(told.st_mtime, dt.UTC)
    return [Entry(found.name, found.is_dir(follow_symlinks=False), told.st_size, modified)]
