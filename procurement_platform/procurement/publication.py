"""The end of a day: the exceptions report, the suppliers' CSV files, and the one row that makes the day visible."""

import datetime as dt
import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from psycopg import Connection, sql

from procurement_platform.csvs import cells, csv_of_cells
from procurement_platform.dayrun import DayRun
from procurement_platform.engines.base import Relation
from procurement_platform.errors import InputGone, ProcurementError
from procurement_platform.lake.days import ManifestFile, PublishedDay
from procurement_platform.lake.files import pieces_of
from procurement_platform.lake.parquet import read_batches, read_rows
from procurement_platform.lake.retention import by_tags, remove_old_runs
from procurement_platform.lake.runs import TableRun
from procurement_platform.platform import Platform
from procurement_platform.procurement.coherence import SOURCES, DayState
from procurement_platform.procurement.derive import current
from procurement_platform.procurement.frames import checked_exceptions, checked_orders
from procurement_platform.procurement.tables import ORDER_LINES, SUPPLIER_ORDERS, TABLES
from procurement_platform.quality.crashes import Crash, RunLog
from procurement_platform.quality.report import has_crash, report_csv, with_crash
from procurement_platform.quality.violations import VIOLATIONS

DOMAIN = "procurement"
REPORT = "exceptions"
KEPT_ROWS = "_exceptions.parquet"
ORDER_COLUMNS = tuple(c.name for c in SUPPLIER_ORDERS.columns)


def published_lines(platform: Platform, first: dt.date, last: dt.date) -> dict[dt.date, TableRun]:
    """The runs whose order lines count for other days: those that buyers see.

    A line that only a run has which never published it is in no supplier order: what sent it again must not lose it.
    """
    return platform.registry.published(DOMAIN, ORDER_LINES.name, first, last)


def exceptions_folder(run_date: dt.date) -> str:
    """The stable folder of a day's report."""
    return f"logs/exceptions/date={run_date.isoformat()}"


def report_path(run_date: dt.date) -> str:
    """The stable path of a day's report."""
    return f"{exceptions_folder(run_date)}/exceptions.csv"


def orders_folder(run_date: dt.date) -> str:
    """The stable folder of a day's supplier files."""
    return SUPPLIER_ORDERS.folder(run_date)


def make_exceptions(run: DayRun) -> ManifestFile:
    """Unites what the day's steps found into the report, in the run's folder. It shows once the day is published."""
    platform = run.platform
    day = DayState.of(run).check(*SOURCES[REPORT].outcomes)
    found = [folder for name in SOURCES[REPORT].outcomes for folder in day.outcomes[name].folders]
    files = [platform.lake.path(folder, name) for folder in found for name in platform.lake.files(folder)]
    folder = f"{exceptions_folder(run.run_date)}/{run.run_id}"
    platform.registry.stage(REPORT, run.run_date, run.run_id, (folder,))
    kept = f"{platform.lake.empty_folder(folder)}/{KEPT_ROWS}"
    relations = {"violations": Relation(VIOLATIONS.sql_types, tuple(files))}
    query = run.platform.query("procurement/exceptions")
    rows = platform.engine.write(query, relations, kept, VIOLATIONS.sql_types, {"run_date": run.run_date}).rows
    report = report_csv(checked_exceptions(read_batches(platform.lake, kept)))
    file = platform.days.put(f"{folder}/exceptions.csv", report_path(run.run_date), report, rows)
    run.guard()
    platform.registry.commit(REPORT, run.run_date, run.run_id, rows=rows, content_hash=file.sha256, inputs=day.inputs(REPORT))
    return file


def publish_day(run: DayRun) -> PublishedDay:
    """Writes the suppliers' CSV files into the run's folder, makes the day visible by one row, and brings the stable paths up to it."""
    platform = run.platform
    state = DayState.of(run).check(*(table.name for table in TABLES), REPORT)
    report = state.outcomes[REPORT]
    tables = {table.name: state.outcomes[table.name].run_id for table in TABLES}
    manifest = [*_supplier_files(run), _report_file(run, report)]
    inputs = {
        "files": list(state.files),
        "reference": dict(state.reference),
        "earlier": state.outcomes[ORDER_LINES.name].inputs.get("earlier", {}),
    }
    day = platform.days.publish(
        DOMAIN, run.run_date, run.run_id, tables, manifest, inputs, run.guard, lambda connection: _remember(connection, run, report.run_id)
    )
    settle(platform, day)
    keep = platform.settings
    quiet = dt.timedelta(days=keep.orphan_grace_days)
    days, runs, held = keep.run_retention_days, keep.run_retention_runs, by_tags(platform.catalog, TABLES)
    remove_old_runs(platform.database, platform.lake, run.run_date, days=days, runs=runs, quiet=quiet, held=held)
    return day


def settle(platform: Platform, day: PublishedDay) -> list[str]:
    """Brings the stable paths up to a published day; returns those that were mended."""
    orders, report = orders_folder(day.run_date), exceptions_folder(day.run_date)
    if platform.lake.local:
        return [*platform.days.lead_through(day, report, orders), *_switch(platform, day)]
    return [*platform.days.settle(day, orders), *platform.days.settle(day, report)]  # HDFS has no links: the files follow one by one


def _switch(platform: Platform, day: PublishedDay) -> list[str]:
    """What leads to the suppliers' files and, where it shows no crash, to the report: one rename."""
    return platform.days.link(day, orders_folder(day.run_date), _csv_folder(day.run_id), exceptions_folder(day.run_date))


def report_crash(run: DayRun) -> None:
    """Puts the crash of the day's last run into its report, beside what was published before."""
    show_crash(run.platform, run.run_date)


def show_crash(platform: Platform, run_date: dt.date) -> bool:
    """Brings a day's stable files up to its published row and its report up to how its last run ended: with the crash's line, or without.

    Returns whether there is such a line.
    """
    crash = RunLog(platform.database, DOMAIN).standing_crash(run_date)
    day = platform.days.get(DOMAIN, run_date)
    stable = report_path(run_date)
    if crash is not None:
        if day is not None:  # the run may have been killed right after it published
            _switch(platform, day) if platform.lake.local else platform.days.settle(day, orders_folder(run_date))
        published = next((platform.days.pieces(f) for f in day.manifest if f.stable == stable), iter(())) if day else ()
        platform.lake.write_pieces(stable, with_crash(published, crash, showing=shows(day, crash)))  # a file of its own in the link's place
    elif day is not None:
        settle(platform, day)
    else:
        platform.lake.remove(stable)
    return crash is not None


def report_agrees(platform: Platform, run_date: dt.date) -> bool:
    """Whether a day's stable report says how its last run ended; it does not where whoever recorded that was killed before `show_crash`."""
    crash = RunLog(platform.database, DOMAIN).standing_crash(run_date)
    day = platform.days.get(DOMAIN, run_date)
    stable = report_path(run_date)
    there = platform.lake.exists(stable)
    if crash is None:
        published = next((file.bytes for file in day.manifest if file.stable == stable), None) if day else None
        return (platform.lake.size(stable) if there else None) == published
    if not there:
        return False
    with platform.lake.open(stable) as report:
        return has_crash(pieces_of(report), crash, showing=shows(day, crash))


def shows(day: PublishedDay | None, crash: Crash) -> bool:
    """Whether the run that crashed had published the day by then."""
    return day is not None and day.run_id == crash.run_id


def supplier_file_name(supplier_id: str) -> str:
    """A supplier's CSV file name: its id, with what file systems refuse as `_`, and never hidden."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", supplier_id).lstrip(".") + ".csv"


def _supplier_files(run: DayRun) -> list[ManifestFile]:
    own_folder = f"{orders_folder(run.run_date)}/{_csv_folder(run.run_id)}"
    run.platform.registry.stage("published_day", run.run_date, run.run_id, (own_folder,))
    return run.platform.days.put_all(_of_each_supplier(run, own_folder))


def _of_each_supplier(run: DayRun, own_folder: str) -> Iterator[tuple[str, str, bytes, int]]:
    """A CSV file for each supplier, one after the other: path in the run's folder, stable path, bytes, rows."""
    stable: set[str] = set()
    for supplier, lines in groupby(_lines_of_suppliers(run), itemgetter(0)):
        own = [line for _, line in lines]
        name = supplier_file_name(supplier)
        if name in stable:
            raise ProcurementError(f"two suppliers' files would be named {name}: rename supplier {supplier} in the reference")
        stable.add(name)
        yield f"{own_folder}/{name}", f"{orders_folder(run.run_date)}/{name}", csv_of_cells(ORDER_COLUMNS, own), len(own)


def _lines_of_suppliers(run: DayRun) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each order's supplier and CSV cells. The table has them in the order in which buyers read them: by supplier, then SKU."""
    for path in current(run, SUPPLIER_ORDERS).files:
        for orders in checked_orders(read_batches(run.platform.lake, path)):
            yield from zip(orders["supplier_id"].to_pylist(), cells(orders.select(ORDER_COLUMNS)), strict=True)


def _csv_folder(run_id: str) -> str:
    """Where a run's supplier files lie, below the stable folder."""
    return f"{run_id}/csv"


def _report_file(run: DayRun, report: TableRun) -> ManifestFile:
    folder = exceptions_folder(run.run_date)
    path = f"{folder}/{report.run_id}/exceptions.csv"
    file = run.platform.days.describe(path, report_path(run.run_date), report.rows or 0)
    if file.sha256 != report.content_hash:  # the stable path leads there: somebody may have written through it
        raise InputGone(f"{path} is not what run {report.run_id} wrote (its SHA-256 differs): run the day again")
    return file


def _remember(connection: Connection, run: DayRun, report_run_id: str) -> None:
    """Keeps the report's lines in the database, where they stay after the files have gone: with the published row, or not at all."""
    names = [c.name for c in VIOLATIONS.columns]
    kept = run.platform.lake.path(exceptions_folder(run.run_date), report_run_id, KEPT_ROWS)
    copy_in = sql.SQL("COPY control.exceptions_history (domain, run_id, recorded_at, {}) FROM STDIN").format(
        sql.SQL(", ").join(map(sql.Identifier, names))
    )
    now = dt.datetime.now(dt.UTC)
    connection.execute(
        "DELETE FROM control.exceptions_history WHERE domain = %s AND run_date = %s AND run_id = %s", (DOMAIN, run.run_date, run.run_id)
    )
    with connection.cursor().copy(copy_in) as copy:
        for row in read_rows(run.platform.lake, kept, 10_000):
            copy.write_row([DOMAIN, run.run_id, now, *(row[name] for name in names)])
