"""Whole folders of files as sent that have had their time: by their run date, and by when they came."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line, entries, remove, weigh

Forget = Callable[[dt.date, Callable[[], None]], None]


@dataclass(frozen=True)
class Layer:
    """Folders `{folder}/{run date}[/{below}]` that are kept for `days` days.

    `forget`, given a run date and the guard of its day's lock, makes others forget the folder: it is called right before that goes.
    """

    folder: str
    days: int
    below: str = ""
    forget: Forget | None = None


def remove_old_files(
    database: Database, lake: Lake, domain: str, layers: Iterable[Layer], now: dt.datetime, today: dt.date, *, dry_run: bool = False
) -> Iterator[Line]:
    """Removes the folders of run dates more than a layer's days ago in which nothing changed since; a line for each.

    Lists each layer's dates, and the folders of those that are old enough. What is removed is not there any more the next time.
    """
    for layer in layers:
        for entry in entries(lake, layer.folder):
            run_date = _date(entry.name)
            if not entry.folder or run_date is None or run_date >= today - dt.timedelta(days=layer.days):
                continue
            path = f"{layer.folder}/{entry.name}" + (f"/{layer.below}" if layer.below else "")
            before = now - dt.timedelta(days=layer.days)
            if line := _remove(database, lake, domain, path, run_date, before, layer.forget, dry_run=dry_run):
                yield line


def _remove(
    database: Database, lake: Lake, domain: str, path: str, run_date: dt.date, before: dt.datetime, forget: Forget | None, *, dry_run: bool
) -> Line | None:
    parent, _, name = path.rpartition("/")
    found = next((entry for entry in entries(lake, parent) if entry.name == name and entry.folder), None)
    if found is None or weigh(lake, path, found).modified > before:
        return None
    try:
        lock = DayLock.acquire(database, domain, run_date, "procurement maintain retention")
    except DayBusy as busy:
        return Line.busy(path, busy.holder)
    with lock:
        weight = weigh(lake, path, found)  # again: a run may have put a file there
        if weight.modified > before:
            return None
        if not dry_run:
            if forget is not None:
                forget(run_date, lock.check)
            lock.check()
            remove(lake, path, found)
    return Line(path, "files removed", weight.files, weight.bytes)


def _date(name: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(name)
    except ValueError:
        return None
