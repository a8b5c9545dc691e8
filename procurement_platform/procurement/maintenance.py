"""Keeping the lake small: many small files, old runs, old snapshots, files that nothing names, files as sent that have had their time.

Each task may be killed at any line and done again; what it removes is nobody's by then. One task at a time, whoever starts it. What
belongs to a day is done under that day's lock: a day that is being worked on is left for the next time, and told.
"""

import datetime as dt
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy
from procurement_platform.inbox.hand_in import sweep as sweep_inbox
from procurement_platform.inbox.receive import SUPERSEDED
from procurement_platform.lake.committing import MAINTENANCE
from procurement_platform.lake.maintenance.layers import Layer, remove_old_files
from procurement_platform.lake.maintenance.listing import Line, entries, some_dates, weigh
from procurement_platform.lake.maintenance.metadata import remove_unreachable
from procurement_platform.lake.maintenance.orphans import Orphans, Place
from procurement_platform.lake.maintenance.snapshots import expire_snapshots
from procurement_platform.lake.retention import by_tags, dates_with_old_runs, old_runs, remove_run
from procurement_platform.platform import Platform
from procurement_platform.procurement.compaction import LINES, compact_dates, quiet_dates
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.reference.pins import remove_unpinned
from procurement_platform.procurement.tables import TABLES

OLD_DATES = 30  # older dates that a scheduled task looks at, others each day: its cost does not grow with the years
PLACES = (
    *(Place(folder, table=table) for table in TABLES for folder in [f"{table.location}/{f}" for f in table.feeds] or [table.location]),
    *(Place(f"quarantine/files/{feed.name}", of_ledger=True) for feed in FEEDS),
    *(Place(f"raw/{feed.name}", kept=True) for feed in FEEDS),
    Place("logs/violations"),
    Place("logs/inputs"),
    Place("logs/exceptions", prefix="date="),
)


def expire(platform: Platform, *, dry_run: bool = False, everything: bool = True) -> list[Line]:  # noqa: ARG001 -- all tables, always
    """Leaves each table its newest `PROCUREMENT_SNAPSHOT_RETENTION` snapshots. No file is removed."""
    keep = platform.settings.snapshot_retention
    with _alone(platform, "expire") as lock:
        return list(expire_snapshots(platform.lake, platform.catalog, TABLES, keep=keep, guard=lock.check, dry_run=dry_run))


def orphans(platform: Platform, *, dry_run: bool = False, everything: bool = True) -> list[Line]:
    """Removes what no run, day, table or ledger row has named for `PROCUREMENT_ORPHAN_GRACE_DAYS`, in all layers but the inbox and raw.

    Of these what a `procurement put` or a run that was killed left half copied. Not `everything`: of run dates before the late window, a
    share, another one each day.
    """
    lake, catalog, now = platform.lake, platform.catalog, dt.datetime.now(dt.UTC)
    grace = dt.timedelta(days=platform.settings.orphan_grace_days)
    with _alone(platform, "orphans"):
        sweep = Orphans(platform.database, lake, catalog, DOMAIN, now, grace, dry_run)
        lines = list(sweep.sweep(PLACES, _dates(platform, sweep.dates(PLACES), everything=everything)))
        lines += remove_unpinned(platform, now - grace, dry_run=dry_run)
        feeds = [feed.name for feed in FEEDS]
        lines += sweep_inbox(lake, feeds, now - grace, lambda dates: _dates(platform, dates, everything=everything), dry_run=dry_run)
        return [*lines, *remove_unreachable(lake, catalog, TABLES, now, grace, dry_run=dry_run)]


def retention(platform: Platform, *, dry_run: bool = False, everything: bool = True) -> list[Line]:
    """Removes old runs of all dates as each run does of its own date, and files as sent by the settings `PROCUREMENT_…_RETENTION_DAYS`.

    Nothing that a published day or a table's current state names, nor rows of the ledger. Not `everything`: as `orphans`.
    """
    with _alone(platform, "retention"):
        dates = dates_with_old_runs(platform.database, days=platform.settings.run_retention_days)
        lines = [line for date in _dates(platform, dates, everything=everything) for line in _old_runs(platform, date, dry_run=dry_run)]
        now, today = dt.datetime.now(dt.UTC), platform.settings.today()
        return [*lines, *remove_old_files(platform.database, platform.lake, DOMAIN, layers(platform), now, today, dry_run=dry_run)]


def compact(platform: Platform, *, dry_run: bool = False, everything: bool = True) -> list[Line]:
    """Writes the order and stock lines of dates that have many small files anew into few, once their rows have not changed for a while.

    That while is `PROCUREMENT_ORPHAN_GRACE_DAYS`: by then late files have come. Not `everything`: as `orphans`.
    """
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=platform.settings.orphan_grace_days)
    with _alone(platform, "compact"):
        return [
            line
            for table in LINES
            for line in compact_dates(
                platform, table, _dates(platform, quiet_dates(platform, table, before), everything=everything), dry_run=dry_run
            )
        ]


Task = Callable[..., list[Line]]
TASKS: dict[str, Task] = {
    "compact": compact,
    "retention": retention,
    "expire": expire,
    "orphans": orphans,
}  # in the order in which each helps the next


def layers(platform: Platform) -> Iterator[Layer]:
    """What the settings let go: never of dates that a late file may still change, nor of days that are compared with such."""
    settings, tables = platform.settings, platform.raw_tables
    least = settings.late_window_days + settings.duplicate_window_days
    superseded = [days for days in (settings.superseded_retention_days, settings.raw_retention_days) if days is not None]
    for feed in FEEDS:
        if superseded:
            yield Layer(f"raw/{feed.name}", max(least, min(superseded)), SUPERSEDED)
        if settings.raw_retention_days is not None:
            forget = partial(tables.unregister, feed) if tables is not None else None
            yield Layer(f"raw/{feed.name}", max(least, settings.raw_retention_days), forget=forget)
        if settings.rejected_retention_days is not None:
            yield Layer(f"quarantine/files/{feed.name}", max(least, settings.rejected_retention_days))


def _alone(platform: Platform, task: str) -> DayLock:
    return DayLock.named(platform.database, MAINTENANCE, f"maintain {task}, process {os.getpid()} on {socket.gethostname()}")


def _dates(platform: Platform, dates: Iterable[dt.date], *, everything: bool) -> list[dt.date]:
    settings = platform.settings
    return sorted(dates) if everything else some_dates(dates, settings.today(), recent=settings.late_window_days, old=OLD_DATES)


def _old_runs(platform: Platform, run_date: dt.date, *, dry_run: bool) -> Iterator[Line]:
    settings, lake = platform.settings, platform.lake
    days, runs = settings.run_retention_days, settings.run_retention_runs
    quiet, held = dt.timedelta(days=settings.orphan_grace_days), by_tags(platform.catalog, TABLES)
    old = partial(old_runs, platform.database, run_date, days=days, runs=runs, quiet=quiet, held=held)
    if not old():
        return
    try:
        lock = DayLock.acquire(platform.database, DOMAIN, run_date, "procurement maintain retention")
    except DayBusy as busy:
        yield Line.busy(f"{DOMAIN} {run_date}", busy.holder)
        return
    with lock:
        for run in old():  # asked anew, now that nobody else is at the day
            inside = [(f"{folder}/{entry.name}", entry) for folder in run.folders for entry in entries(lake, folder)]
            weights = [weigh(lake, path, entry) for path, entry in inside]
            if not dry_run:
                lock.check()
                remove_run(platform.database, lake, run)
            what = f"{run.table} {run_date} run {run.run_id}"
            yield Line(what, "files removed", sum(w.files for w in weights), sum(w.bytes for w in weights))
