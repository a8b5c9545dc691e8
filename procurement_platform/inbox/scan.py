"""What lies in the inbox for a feed and a run date: files to take, files still growing, and files that cannot be taken."""

import datetime as dt
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from procurement_platform.errors import NotPermitted
from procurement_platform.inbox.identity import FileIdentity, Unfit, is_ignored, ledger_name, parse_name, printable


@dataclass(frozen=True)
class FoundFile:
    """A market's file. `path` is a local path, or a URL where the inbox is one; `modified_at` is UTC."""

    identity: FileIdentity
    path: str
    size: int
    modified_at: dt.datetime


@dataclass(frozen=True)
class UnfitFile:
    """Something in the inbox that is not taken; `file_name` can be shown as it is; `reason` says why, and what to do where need be."""

    feed: str
    run_date: dt.date
    file_name: str
    path: str
    size: int
    modified_at: dt.datetime
    reason: str


@dataclass(frozen=True)
class Scan:
    """`files` are settled and can be taken; `growing` changed while they were watched; `unfit` cannot be taken. All by file name.

    Several files may have one identity (`DE.csv`, `DE.avro`): which of them counts is not to be seen from here.
    """

    files: tuple[FoundFile, ...] = ()
    growing: tuple[FoundFile, ...] = ()
    unfit: tuple[UnfitFile, ...] = ()


@dataclass(frozen=True)
class _Entry:
    name: str
    path: str
    size: int
    modified: float
    trouble: str | None = None

    @property
    def modified_at(self) -> dt.datetime:
        try:
            return dt.datetime.fromtimestamp(self.modified, dt.UTC)
        except (OverflowError, ValueError):  # a time stamp no calendar holds
            return dt.datetime.fromtimestamp(0, dt.UTC)


def scan(
    inbox: str,
    feed: str,
    run_date: dt.date,
    settle_seconds: float,
    *,
    files: fsspec.AbstractFileSystem | None = None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Scan:
    """Lists `{inbox}/{feed}/{run_date}/`, by `files` where the inbox is a URL; a folder that does not exist is empty.

    Files younger than `settle_seconds` (or dated in the future) are waited for once, `settle_seconds` for all of them; those
    whose size or time changed meanwhile are `growing`.

    Raises:
        NotPermitted: the platform may not list the folder.
    """
    folder = f"{_local(inbox)}/{feed}/{run_date.isoformat()}"
    entries = {entry.name: entry for entry in _entries(folder, files)}
    start = now()
    young = {name for name, entry in entries.items() if entry.trouble is None and entry.modified > start - settle_seconds}
    unsettled: set[str] = set()
    if young and settle_seconds > 0:
        sleep(settle_seconds)
        again = {entry.name: entry for entry in _entries(folder, files)}
        unsettled = {name for name in young if again.get(name) != entries[name]}
        # One that is gone is gone; one that came meanwhile waits for the next scan.
        entries = {name: again[name] for name in entries if name in again}
    settled: list[FoundFile] = []
    growing: list[FoundFile] = []
    unfit: list[UnfitFile] = []
    for entry in sorted(entries.values(), key=lambda each: each.name):
        identity = Unfit(entry.trouble) if entry.trouble else parse_name(feed, run_date, entry.name)
        if isinstance(identity, Unfit):
            unfit.append(_unfit(feed, run_date, entry, identity.reason))
        else:
            found = FoundFile(identity, entry.path, entry.size, entry.modified_at)
            (growing if entry.name in unsettled else settled).append(found)
    return Scan(tuple(settled), tuple(growing), tuple(sorted(unfit, key=lambda each: each.file_name)))


def newest_first(files: Iterable[FoundFile]) -> list[FoundFile]:
    """The files in the order in which they are tried: by time, those of one time by name, the last first."""
    return sorted(files, key=lambda each: (each.modified_at, each.identity.file_name), reverse=True)


def _unfit(feed: str, run_date: dt.date, entry: _Entry, reason: str) -> UnfitFile:
    return UnfitFile(feed, run_date, ledger_name(entry.name), entry.path, entry.size, entry.modified_at, reason)


def _local(url: str) -> str:
    """A local path for a file: URL or a path; any other URL as it is; without a trailing slash."""
    return (unquote(urlsplit(url).path) if url.startswith("file:") else url).rstrip("/")


def _entries(folder: str, files: fsspec.AbstractFileSystem | None) -> list[_Entry]:
    listing = _remote_entries(folder, files) if "://" in folder else _local_entries(folder)
    try:
        return [entry for entry in listing if not is_ignored(entry.name)]
    except PermissionError as problem:
        # Taken for an empty folder, its files would be missing without a word.
        reason = problem.strerror or "no permission"
        raise NotPermitted(f"{folder} cannot be listed ({reason}): give the platform the right to read and enter this folder") from problem


def link_in_place_of(folder: str) -> tuple[str, str] | None:
    """The link that a local date's folder is, or its feed's where a stranger made it, and what is wrong with it; None where all is well.

    A feed's folder may be a link of root's or of the platform's own user: who sets a lake up may have its files elsewhere.
    """
    if Path(folder).is_symlink():
        return folder, "is a symbolic link, which is never followed"
    feed = folder.rpartition("/")[0]
    if Path(feed).is_symlink() and os.lstat(feed).st_uid not in (0, os.geteuid()):
        return feed, "is a symbolic link that somebody else made, which is not followed"
    return None


def _local_entries(folder: str) -> Iterator[_Entry]:
    if link := link_in_place_of(folder):
        path, wrong = link
        status, name = os.lstat(path), path.rpartition("/")[2]
        remedy = "put the files themselves into a folder of that name"
        yield _Entry(name, path, status.st_size, status.st_mtime, f"{printable(name)} {wrong}: {remedy}")
        return
    try:
        items = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for item in items:
        try:
            status = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        trouble = None
        if stat.S_ISLNK(status.st_mode):
            trouble = f"{printable(item.name)} is a symbolic link, which is never followed: put the file itself here"
        elif stat.S_ISDIR(status.st_mode):
            trouble = f"{printable(item.name)} is a folder: put its files straight into the date's folder"
        elif not stat.S_ISREG(status.st_mode):
            trouble = f"{printable(item.name)} is no regular file: put a file here"
        yield _Entry(item.name, item.path, status.st_size, status.st_mtime, trouble)


def _remote_entries(folder: str, files: fsspec.AbstractFileSystem | None) -> Iterator[_Entry]:
    files = files or fsspec.core.url_to_fs(folder)[0]
    try:
        items = files.ls(folder, detail=True, refresh=True)
    except FileNotFoundError:
        return
    for item in items:
        name = str(item["name"]).rstrip("/").rsplit("/", 1)[-1]
        modified = _modified(item)
        trouble = None if item["type"] == "file" else f"{printable(name)} is no file: put files straight into the date's folder"
        yield _Entry(name, f"{folder}/{name}", int(item.get("size") or 0), modified, trouble)


def _modified(item: dict[str, Any]) -> float:
    """When a listed file changed last, in seconds since 1970; HDFS tells milliseconds."""
    for name in ("modification_time", "modificationTime"):
        if name in item:
            return float(item[name]) / 1000
    changed = item.get("mtime") or item.get("LastModified") or item.get("modified") or item.get("created") or 0.0
    return changed.timestamp() if isinstance(changed, dt.datetime) else float(changed)
