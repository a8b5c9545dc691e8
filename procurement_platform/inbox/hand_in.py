"""Putting a file into the inbox, as a market would: under the name that says whose it is, and whole or not at all."""

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from procurement_platform.errors import InvalidFile, NotPermitted
from procurement_platform.inbox.identity import FORMATS, FileIdentity, Unfit, file_id, is_ignored, parse_date, parse_name, printable
from procurement_platform.inbox.scan import link_in_place_of
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line, entries, remove

_UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part")
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class HandedIn:
    """A file that lies in the inbox now. `path` is relative to the lake.

    `lay_there` are the SHA-256 of what the inbox held under the same identity, by file name; the same name and hash: nothing was written.
    """

    identity: FileIdentity
    path: str
    sha256: str
    size: int
    lay_there: dict[str, str]

    @property
    def file_id(self) -> str:
        """The id it has, or will have, in the ledger."""
        return file_id(self.identity.feed, self.identity.run_date, self.identity.file_name, self.sha256)


def hand_in(lake: Lake, source: Path, feed: str, market: str, run_date: dt.date, suffix: str = "") -> HandedIn:
    """Copies a file to `inbox/{feed}/{run_date}/{market}[__{suffix}].{extension}`.

    What the inbox holds under the same identity, in whatever format, is replaced. The content is not looked at: a run does that.

    Raises:
        InvalidFile: the name it would get is no market file's.
        NotPermitted: in the folder's place there is a link to another.
    """
    form = next((each for each in FORMATS if source.name.lower().endswith(f".{each}")), None)
    if form is None:
        raise InvalidFile(f"{printable(source.name)} ends in no known format: hand in .avro, .parquet, .csv, .csv.gz or .jsonl")
    name = f"{market}__{suffix}" if suffix else market
    identity = parse_name(feed, run_date, f"{name}.{form}")
    if isinstance(identity, Unfit):
        raise InvalidFile(identity.reason)
    if identity.market != market:
        raise InvalidFile(f"{printable(market)} is no market code: '__' parts the code from what follows; use the suffix for that")
    folder = f"inbox/{feed}/{run_date.isoformat()}"
    target = f"{folder}/{identity.file_name}"
    beside = f"{folder}/.{identity.file_name}.{uuid4().hex[:8]}.part"  # ignored by the scan, for its dot and its ending
    if lake.local and (link := link_in_place_of(lake.path(folder))):
        raise NotPermitted(f"{link[0]} {link[1]}: make it a folder, then put the file in again")
    if identity.file_name in lake.folders(folder):
        raise NotPermitted(f"{target} is no file: remove it, then put the file in again")
    lake.make_folder(folder)
    lay_there = {each: _sha256(lake, f"{folder}/{each}") for each in lake.files(folder) if _same_identity(identity, each)}
    try:
        sha256, size = _copy(lake, source, beside)
        if lay_there.get(identity.file_name) == sha256:
            lake.remove(beside)
        else:
            lake.sync([lake.path(beside)])
            lake.move(beside, target)
    except BaseException:
        lake.remove(beside)
        raise
    for other in lay_there:
        if other != identity.file_name:
            lake.remove(f"{folder}/{other}")
    return HandedIn(identity, target, sha256, size, lay_there)


def sweep(
    lake: Lake,
    feeds: Collection[str],
    before: dt.datetime,
    of: Callable[[Iterable[dt.date]], Iterable[dt.date]],
    *,
    dry_run: bool = False,
) -> Iterator[Line]:
    """Removes what a hand-in that was killed left half copied and has not changed since `before`; a line for each folder that had any.

    `of` tells which of the inbox's dates are looked at. Nothing but files named as `hand_in` names them goes.
    """
    for feed in feeds:
        dates = (parse_date(entry.name) for entry in entries(lake, f"inbox/{feed}") if entry.folder)
        for run_date in of(date for date in dates if date is not None):
            folder = f"inbox/{feed}/{run_date.isoformat()}"
            found = [e for e in entries(lake, folder) if not e.folder and e.modified <= before and _is_unfinished(feed, run_date, e.name)]
            for entry in found if not dry_run else ():
                remove(lake, f"{folder}/{entry.name}", entry)
            if found:
                yield Line(folder, "unfinished files removed", len(found), sum(entry.bytes for entry in found))


def _is_unfinished(feed: str, run_date: dt.date, name: str) -> bool:
    match = _UNFINISHED.fullmatch(name)
    return match is not None and isinstance(parse_name(feed, run_date, match[1]), FileIdentity)


def _same_identity(identity: FileIdentity, file_name: str) -> bool:
    found = parse_name(identity.feed, identity.run_date, file_name)
    return isinstance(found, FileIdentity) and found.key == identity.key and not is_ignored(file_name)


def _copy(lake: Lake, source: Path, target: str) -> tuple[str, int]:
    """Copies a file; the SHA-256 and size of what was written."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as read, lake.fs.open(lake.path(target), "wb") as write:
        while piece := read.read(_PIECE):
            digest.update(piece)
            size += write.write(piece)
    return digest.hexdigest(), size


def _sha256(lake: Lake, path: str) -> str:
    """A file's hash; empty where it may not be read."""
    digest = hashlib.sha256()
    try:
        with lake.fs.open(lake.path(path), "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()
