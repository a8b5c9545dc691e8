"""The runs of a table, and going back to one: a run date's rows are those of a run, and a run's files stay for a while.

Which run's rows a date has, the table itself says: a run that was killed after its commit has recorded nothing of it.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import ProcurementError
from procurement_platform.lake.publish import Published
from procurement_platform.lake.runs import TableRun
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.tables import TABLES


@dataclass(frozen=True)
class Version:
    """A run's rows of a table for a run date.

    `state`: `current` (they are the date's rows), `earlier` (they can be gone back to), `unfinished` (never committed), `gone` (their files
    are). `published`: buyers see them.
    """

    run_date: dt.date
    run_id: str
    state: str
    published: bool
    rows: int | None
    committed_at: dt.datetime | None
    content: str | None


def table_named(name: str) -> Table:
    """The table of that name.

    Raises:
        ProcurementError: there is none; the line has all that there are.
    """
    for table in TABLES:
        if table.name == name:
            return table
    raise ProcurementError(f"{name} is no table; there are {', '.join(table.name for table in TABLES)}")


def history(platform: Platform, table: Table, run_date: dt.date | None = None) -> Iterator[Version]:
    """A table's runs that are still known, by run date, the current one first and then the newest commit."""
    runs = platform.registry.history(table.name, run_date)
    if not runs:
        return
    first, last = min(run.run_date for run in runs), max(run.run_date for run in runs)
    days = {day.run_date: day for day in platform.days.between(DOMAIN, first, last)}
    current = _current(platform, table, runs, first, last)
    for run in sorted(runs, key=lambda each: (each.run_date, each not in current)):
        day = days.get(run.run_date)
        yield Version(
            run.run_date,
            run.run_id,
            "current" if run in current else _state(platform, run),
            day is not None and day.tables.get(table.name) == run.run_id,
            run.rows,
            run.committed_at,
            run.content_hash and run.content_hash[:12],
        )


def roll_back(platform: Platform, table: Table, run_date: dt.date, run_id: str) -> Published:
    """Makes a run's files the date's rows of one table again. Other dates, other tables and what is published stay as they are.

    `run_id` may be shortened, as long as it is one run's alone.

    Raises:
        ProcurementError: no run of the date is called that, or several are; or it never committed the table.
        InputGone: its files are gone or changed.
        DayBusy: a run of the day is under way.
    """
    lock = DayLock.acquire(platform.database, DOMAIN, run_date, f"procurement rollback {table.name}")
    try:
        runs = platform.registry.history(table.name, run_date)
        meant = [run for run in runs if run.run_id == run_id] or [run for run in runs if run.run_id.startswith(run_id)]
        if len(meant) != 1:
            known = ", ".join(run.run_id for run in (meant or runs)) or "none"
            what = "several runs begin with" if meant else "has no run"
            raise ProcurementError(f"{table.name} {run_date}: {what} {run_id}; there are: {known} (`procurement history {table.name}`)")
        run = meant[0]
        if run in _current(platform, table, runs, run_date, run_date):
            raise ProcurementError(f"{table.name} {run_date} already has the rows of run {run.run_id}")
        if run.state == "staged" or run.rows is None:
            raise ProcurementError(f"run {run.run_id} never committed {table.name} {run_date}: go back to another")
        return platform.publisher.restore(table, run, guard=lock.check)
    finally:
        lock.release()


def rolled_back(platform: Platform, run_date: dt.date) -> Iterator[TableRun]:
    """The runs that tables of a published day were taken back to since: older than what is published, and with other rows."""
    day = platform.days.get(DOMAIN, run_date)
    if day is None:
        return
    for run in platform.registry.committed(run_date, day.tables).values():
        if run.run_id == day.tables[run.table]:
            continue
        published = platform.registry.get(run.table, run_date, day.tables[run.table])
        if published is not None and run.staged_at < published.staged_at and run.content_hash != published.content_hash:
            yield run


def _current(platform: Platform, table: Table, runs: Sequence[TableRun], first: dt.date, last: dt.date) -> list[TableRun]:
    """The run of each date whose files the table names; where it names none: the one that left the date empty."""
    named = platform.catalog.by_folder(table, first, last).keys()
    found = [run for run in runs if not named.isdisjoint(run.folders)]
    filled = {run.run_date for run in found}
    return found + [run for run in runs if run.run_date not in filled and run.state == "committed" and not run.rows]


def _state(platform: Platform, run: TableRun) -> str:
    if run.state == "staged" or run.rows is None:
        return "unfinished"
    there = not run.rows or any(platform.lake.files(folder) for folder in run.folders)
    return "earlier" if there else "gone"
