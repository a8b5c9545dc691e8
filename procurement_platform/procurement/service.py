"""What the command line, sensors and tests ask of the domain: run a day, and read what is published. No printing here."""

import datetime as dt
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from heapq import merge
from importlib import import_module
from operator import itemgetter

from procurement_platform.errors import ConfigurationError, ProcurementError
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.lake.days import PublishedDay
from procurement_platform.lake.parquet import read_rows
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform, platform_for
from procurement_platform.procurement.publication import DOMAIN, KEPT_ROWS, report_agrees, report_path, show_crash, shows
from procurement_platform.procurement.reference.tables import MARKETS, PRODUCTS, SUPPLIERS, ReferenceTable
from procurement_platform.procurement.tables import NET_DEMAND, SUPPLIER_ORDERS
from procurement_platform.quality.crashes import Crash, RunLog
from procurement_platform.quality.report import crash_row
from procurement_platform.settings import Settings

Rows = Iterator[dict[str, object]]


@dataclass(frozen=True)
class DayResult:
    """How a day's run ended: `error` is one line where it failed, `published` the day if this run has published it, `seconds` wall time."""

    run_date: dt.date
    run_id: str
    error: str | None
    seconds: float
    published: PublishedDay | None
    growing: tuple[str, ...] = ()  # feed and name of files that were left out, because they were still being written

    @property
    def succeeded(self) -> bool:
        return self.error is None


def check_run_date(settings: Settings, run_date: dt.date) -> None:
    """Raises ConfigurationError where the platform has no partition for a date."""
    if run_date < settings.start_date:
        raise ConfigurationError(
            f"{run_date} is before the first run date {settings.start_date}: set PROCUREMENT_START_DATE to an earlier date"
        )
    if run_date > settings.today():
        raise ConfigurationError(f"{run_date} is in the future: the last run date is today, {settings.today()} ({settings.timezone})")


def run_day(
    settings: Settings, run_date: dt.date, *, refresh_reference: bool = False, on_step: Callable[[str], None] | None = None
) -> DayResult:
    """Runs the day's job in this process, as one Dagster run in the event log of the home.

    Raises:
        DayBusy: another run holds the day; nothing was done.
    """
    check_run_date(settings, run_date)
    platform_for(settings).decoders.start()  # while Dagster is imported: either takes a second or more
    _import_for_good()
    from procurement_platform.procurement import running  # commands that only read do without

    return running.run_day(settings, run_date, refresh_reference=refresh_reference, on_step=on_step)


@lru_cache(maxsize=1)
def _import_for_good() -> None:
    """Imports Dagster and the day's steps. They stay: the garbage collector would look through them time and again, and at the end."""
    gc.disable()
    try:
        import_module("procurement_platform.procurement.running")
    finally:
        gc.enable()
    gc.freeze()


def published_day(platform: Platform, run_date: dt.date) -> PublishedDay:
    """The day as buyers see it.

    Raises:
        ProcurementError: the day was never published.
    """
    day = platform.days.get(DOMAIN, run_date)
    if day is None:
        crash = RunLog(platform.database, DOMAIN).standing_crash(run_date)
        why = f"its last run crashed ({crash.message})" if crash else "it was never run"
        # A command in another folder may have another home.
        raise ProcurementError(
            f"{run_date} is not published: {why}. Run it: procurement run {run_date} (the home is {platform.settings.home})"
        )
    return day


def orders(platform: Platform, run_date: dt.date, supplier: str | None = None) -> Rows:
    """The published supplier orders of a day, in the order of supplier and SKU.

    Raises:
        ProcurementError: the day was never published, or knows no such supplier.
    """
    day = published_day(platform, run_date)
    yield from _chosen(platform, day, _rows(platform, day, SUPPLIER_ORDERS), ("supplier_id", supplier, SUPPLIERS))


def demand(platform: Platform, run_date: dt.date, market: str | None = None, sku: str | None = None) -> Rows:
    """The published net demand of a day, in the order of market and SKU.

    Raises:
        ProcurementError: the day was never published, or knows no such market or SKU.
    """
    day = published_day(platform, run_date)
    yield from _chosen(platform, day, _rows(platform, day, NET_DEMAND), ("market", market, MARKETS), ("sku", sku, PRODUCTS))


def quarantine(platform: Platform, run_date: dt.date, feed: str | None = None, market: str | None = None) -> Rows:
    """The rejected rows of a published day, in the order of feed, file and row number.

    Raises:
        ProcurementError: the day was never published, or knows no such market.
    """
    day = published_day(platform, run_date)
    # One table has the rows of many files, each in order: they are merged, so that none has to be held whole.
    paths = platform.publisher.run_files(QUARANTINE, run_date, day.tables[QUARANTINE.name])
    rows = merge(*(read_rows(platform.lake, path) for path in paths), key=itemgetter("feed", "file", "row_number"))
    yield from _chosen(platform, day, rows, ("feed", feed, None), ("market", market, MARKETS))


@dataclass(frozen=True)
class BelowMinimum:
    """A supplier whose orders come to less than its `min_order_value`; both sums are in its currency."""

    supplier: str
    total: Decimal
    least: Decimal
    currency: str


def below_minimum(platform: Platform, run_date: dt.date, lines: Iterable[Mapping[str, object]]) -> list[BelowMinimum]:
    """Suppliers whose orders are worth less than the reference that the day was run with asks for.

    That is told, and not applied: the orders are as they are.
    """
    from procurement_platform.procurement.reference.of_day import rows_of

    sums: dict[str, Decimal] = {}
    for line in lines:
        if isinstance(amount := line["amount"], Decimal):
            sums[str(line["supplier_id"])] = sums.get(str(line["supplier_id"]), Decimal(0)) + amount
    suppliers = {str(row["supplier_id"]): row for row in rows_of(platform, published_day(platform, run_date), SUPPLIERS)} if sums else {}
    below = []
    for supplier, total in sorted(sums.items()):
        least = suppliers[supplier]["min_order_value"]
        if isinstance(least, Decimal) and total < least:
            below.append(BelowMinimum(supplier, total, least, str(suppliers[supplier]["currency"])))
    return below


def exceptions(platform: Platform, run_date: dt.date) -> Rows:
    """The day's report: what its published run found, and the crash of its last run where that failed or was killed."""
    log = RunLog(platform.database, DOMAIN)
    notice_killed(platform, run_date)
    crash = log.standing_crash(run_date)
    day = platform.days.get(DOMAIN, run_date)
    if day is None:
        if crash is None:
            published_day(platform, run_date)
        rows: Rows = iter(())
    else:
        report = next(file for file in day.manifest if file.stable == report_path(run_date))
        rows = read_rows(platform.lake, platform.lake.path(report.path.rsplit("/", 1)[0], KEPT_ROWS))
    line = crash_row(crash, showing=shows(day, crash)) if crash else None
    for row in rows:
        if line is not None and (str(row["rule"]), str(row["severity"])) > (str(line["rule"]), str(line["severity"])):
            yield line
            line = None
        yield row
    if line is not None:
        yield line


def crashes(platform: Platform, run_date: dt.date | None = None) -> list[Crash]:
    """Every crash there ever was, or those of a day."""
    return list(RunLog(platform.database, DOMAIN).history(run_date))


def notice_killed(platform: Platform, run_date: dt.date | None = None) -> list[tuple[dt.date, str]]:
    """Records runs (of a day, or of all days) that say they run while nobody holds their day's lock: they were killed.

    Returns the run dates and ids of those it found. Their days' reports say so from then on. Of a day that is asked for, the report is
    brought up to how its last run ended also where whoever recorded that was killed in turn.
    """
    log, found = RunLog(platform.database, DOMAIN), []
    for day, run_id in log.running(run_date):
        with _free(platform, day) as free:
            if free and log.killed(day, run_id):
                found.append((day, run_id))
                show_crash(platform, day)
    if run_date is not None and not report_agrees(platform, run_date):
        with _free(platform, run_date) as free:
            if free:
                show_crash(platform, run_date)
    return found


@contextmanager
def _free(platform: Platform, run_date: dt.date) -> Iterator[bool]:
    """Whether nobody held the day; then it is held for as long as the block lasts."""
    from procurement_platform.database.locks import DayLock
    from procurement_platform.errors import DayBusy

    try:
        lock = DayLock.acquire(platform.database, DOMAIN, run_date, "procurement: looking for killed runs")
    except DayBusy:
        yield False
        return
    with lock:
        yield True


def _rows(platform: Platform, day: PublishedDay, table: Table) -> Rows:
    for path in platform.publisher.run_files(table, day.run_date, day.tables[table.name]):
        yield from read_rows(platform.lake, path)


def _chosen(platform: Platform, day: PublishedDay, rows: Rows, *choices: tuple[str, str | None, ReferenceTable | None]) -> Rows:
    """The rows that have the chosen codes (column, code, its table); where none has, a code that the day does not know is named."""
    chosen = [(column, code, table) for column, code, table in choices if code is not None]
    none = True
    for row in rows:
        if all(row[column] == code for column, code, _ in chosen):
            none = False
            yield row
    for _, code, table in chosen if none else ():
        if table is not None:
            from procurement_platform.procurement.reference.of_day import check_known

            check_known(platform, day, table, code)
