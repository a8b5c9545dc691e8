"""A date's lines lie in a file per market's file; once the date is quiet, they are written anew into few, as a run of their own.

The new run has the rows, the content and the inputs of the one it was made from: a day that was made from the one was made from the other,
so that nothing that follows is stale or mixed, and going back to either changes no row. A market's files of earlier days are found by the
ids in their names; a file of many markets has none, and is read for each.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy, InputGone, PromiseBroken
from procurement_platform.lake.maintenance.listing import Line, entries
from procurement_platform.lake.publish import COMPACTED, content_hash
from procurement_platform.lake.runs import TableRun
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement.derive import relation
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.publication import DOMAIN

HOLDER = "procurement maintain compact"
PREFIX = "compact-"
LARGE = 32 * 1024 * 1024  # bytes: files of this size on average are not small
LINES = tuple(feed.lines for feed in FEEDS)


def quiet_dates(platform: Platform, table: Table, before: dt.datetime) -> list[dt.date]:
    """The dates whose rows of a table have not changed since, in order."""
    with platform.database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT run_date FROM control.table_runs
            WHERE table_name = %s AND state = 'committed' AND rows > 0 AND committed_at < %s ORDER BY run_date
            """,
            (table.name, before),
        ).fetchall()
    return [row[0] for row in rows]


def compact_dates(platform: Platform, table: Table, dates: Iterable[dt.date], *, dry_run: bool = False) -> Iterator[Line]:
    """Compacts those of the dates whose rows lie in many small files; a line for each. Lists one folder a date, reads what it writes."""
    for run_date in dates:
        run = platform.registry.current(table.name, run_date)
        if run is None or not (_unfinished(platform, run) or _many_small(platform, run)):
            continue
        try:
            lock = DayLock.acquire(platform.database, DOMAIN, run_date, HOLDER)
        except DayBusy as busy:
            yield Line.busy(f"{table.name} {run_date}", busy.holder)
            continue
        with lock:
            line = _compact(platform, table, run_date, lock, dry_run=dry_run)
        if line is not None:
            yield line


def _compact(platform: Platform, table: Table, run_date: dt.date, lock: DayLock, *, dry_run: bool) -> Line | None:
    run = platform.registry.current(table.name, run_date)  # again, now that nobody else can change it
    if run is None:
        return None
    if isinstance(run.inputs.get(COMPACTED), Mapping):
        if not dry_run:
            _rename(platform, run)  # a kill came before that
        return None
    before = platform.catalog.files(table, run_date)
    known = platform.registry.get(table.name, run_date, PREFIX + run.run_id)
    done = _lie_in(platform, before, table.run_folders(run_date, PREFIX + run.run_id))  # and a kill came before it was recorded
    if not done and not (_many_small(platform, run) and _lie_in(platform, before, run.folders)):
        return None
    sizes = sum(platform.lake.size(platform.lake.relative(path)) for path in before)
    line = Line(f"{table.name} {run_date}", "files written anew", len(before), sizes)
    if dry_run:
        return line
    if known is not None and known.state == "superseded":  # gone back from: its files are there
        platform.publisher.restore(table, known, guard=lock.check)
        _rename(platform, known)
        return line
    files = before if done else _write(platform, table, run, before)
    inputs = {**run.inputs, COMPACTED: {"from": run.run_id, "files": content_hash(platform.lake, sorted(files))}}
    published = platform.publisher.commit(
        table, run_date, PREFIX + run.run_id, files, guard=lock.check, inputs=inputs, content=run.content_hash
    )
    made = platform.registry.get(table.name, run_date, PREFIX + run.run_id)
    if made is not None:
        _rename(platform, made)
    return Line(line.what, line.did, line.count, line.bytes, f"into {len(published.files)}")


def _write(platform: Platform, table: Table, run: TableRun, files: list[str]) -> tuple[str, ...]:
    """Writes the rows into the new run's folder.

    Raises:
        InputGone: the files are not those that the run committed.
        PromiseBroken: not all rows came there; nothing is committed.
    """
    if content_hash(platform.lake, files) != run.content_hash:
        raise InputGone(f"the files of {table.name} {run.run_date} in {', '.join(run.folders)} are not what run {run.run_id} committed")
    folder = platform.publisher.stage(table, run.run_date, PREFIX + run.run_id)[0]
    query = platform.query(f"procurement/{table.name}_compacted")
    written = platform.engine.write(query, {table.name: relation(table, files)}, f"{folder}/part-0.parquet", table.sql_types, {})
    if written.rows != run.rows:
        raise PromiseBroken(
            f"{table.name} {run.run_date}: run {run.run_id} has {run.rows} rows, and {written.rows} were written. Nothing was committed"
        )
    return written.files


def _many_small(platform: Platform, run: TableRun) -> bool:
    files = [e for folder in run.folders for e in entries(platform.lake, folder) if e.name.endswith(".parquet") and not e.folder]
    return len(files) >= platform.settings.compact_files and sum(e.bytes for e in files) < LARGE * len(files)


def _lie_in(platform: Platform, files: Sequence[str], folders: Sequence[str]) -> bool:
    return bool(files) and {platform.lake.relative(path).rpartition("/")[0] for path in files} <= set(folders)


def _unfinished(platform: Platform, run: TableRun) -> bool:
    """Whether the published day still names the run that this one was made from."""
    compacted = run.inputs.get(COMPACTED)
    if not isinstance(compacted, Mapping):
        return False
    day = platform.days.get(DOMAIN, run.run_date)
    return day is not None and day.tables.get(run.table) == compacted["from"]


def _rename(platform: Platform, run: TableRun) -> None:
    """Lets the published day name the run that has its rows now: the one before may go when its time comes."""
    compacted = run.inputs[COMPACTED]
    before = compacted["from"] if isinstance(compacted, Mapping) else run.run_id
    with platform.database.transaction() as connection:
        connection.execute(
            """
            UPDATE control.published_days SET tables = jsonb_set(tables, ARRAY[%(table)s], to_jsonb(%(run)s::text))
            WHERE domain = %(domain)s AND run_date = %(date)s AND tables ->> %(table)s = %(before)s
            """,
            {"table": run.table, "run": run.run_id, "domain": DOMAIN, "date": run.run_date, "before": before},
        )
