"""From the markets' files to accepted lines: receive, find duplicates and conflicts, record in the ledger, commit.

The order of the commits makes a kill harmless: raw bytes first, then the ledger, then the tables, each of which the next run derives
again from the ledger's files.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from procurement_platform.dayrun import DayRun
from procurement_platform.engines.base import Relation
from procurement_platform.errors import ProcurementError, PromiseBroken
from procurement_platform.inbox.as_sent import ROWS_AS_SENT_TYPES
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.inbox.receive import Place, Received, Receiver
from procurement_platform.inbox.task import DecodeOutcome
from procurement_platform.lake.parquet import read_columns
from procurement_platform.procurement.coherence import DayState
from procurement_platform.procurement.derive import Check, Found, Outcome, commit, find, keep, relation, rows_relation
from procurement_platform.procurement.duplicates import REPEATED_TYPES, WORK, earlier_lines, find_repeated, kept_lines, noun
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.planning import FILES_TYPES, files_relation, files_table, reference
from procurement_platform.procurement.tables import ORDER_LINES

DUPLICATES_TYPES = {
    "file_id": "varchar",
    "row_number": "bigint",
    "file": "varchar",
    "market": "varchar",
    "sku": "varchar",
    "quantity": "decimal(18,3)",
    **{name: REPEATED_TYPES[name] for name in ("other_date", "other_file", "other_row")},
}
CONFLICT = "CONFLICTING_ORDER"


@dataclass(frozen=True)
class Intake:
    """What a day's intake made: tables and violations, the files of the day, those still growing, and what else is worth a warning."""

    outcome: Outcome
    files: tuple[LedgerFile, ...]
    growing: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _FeedDay:
    """A feed's staged day: files of accepted lines and of quarantined rows, the ledger's view of each file, and the duplicates."""

    feed: Feed
    lines: tuple[str, ...]
    quarantine: tuple[str, ...]
    files: tuple[LedgerFile, ...]
    duplicates: Relation
    figures: Mapping[str, object]


def take_in(run: DayRun) -> Intake:
    """Takes in the day's files: raw copies, ledger, accepted lines, quarantine, and the violations found on the way.

    Raises:
        PromiseBroken: rows or units of a file do not add up; nothing is recorded. It names the table, where it is one feed's alone.
        InputGone: the raw copy of a file in use is gone.
    """
    platform, known = run.platform, reference(run)
    places = _places(run)
    receiver = Receiver(
        platform.settings,
        platform.lake,
        platform.ledger,
        platform.decoders,
        run.run_date,
        run.run_id,
        _senders(run, known),
        _one(known["products"]),
    )
    received = receiver.receive(FEEDS, places)
    earlier = earlier_lines(run)  # before they are read: one that changes meanwhile makes the day stale
    days = []
    for feed in FEEDS:
        with _concerning(feed):
            days.append(_without_duplicates(run, receiver, feed, received, places[feed.name]))
    run.guard()
    platform.ledger.record([file for day in days for file in day.files], sent={r.file.file_id for r in received.receipts if r.sent})
    receiver.tidy_raw(FEEDS)
    inputs = {**DayState.of(run).inputs(ORDER_LINES.name), "earlier": earlier}
    tables = []
    for day in days:
        with _concerning(day.feed):
            tables.append(commit(run, day.feed.lines, day.lines, inputs))
    tables.append(commit(run, QUARANTINE, [path for day in days for path in day.quarantine], inputs))
    found = keep(run, _violations(run, days, known), inputs)
    files = tuple(file for day in days for file in day.files)
    made = Outcome(tuple(tables), (found,), {day.feed.name: day.figures for day in days})
    return Intake(made, files, received.growing, show_raw_files(run))


def show_raw_files(run: DayRun) -> tuple[str, ...]:
    """Makes the day's Avro files visible as tables, where the profile has these. What could not be done is told, and fails nothing."""
    tables = run.platform.raw_tables
    if tables is None:
        return ()
    try:
        changes = tables.reconcile(FEEDS, lambda: run.platform.ledger.files(run.run_date), [run.run_date], guard=run.guard)
    except (ProcurementError, OSError) as problem:
        return (f"{run.run_date}: the files as sent are not shown as tables ({problem}). Once that is mended: procurement repair raw",)
    return tuple(f"raw {change.feed} of {change.run_date}: {note}" for change in changes for note in change.notes)


@contextmanager
def _concerning(feed: Feed) -> Iterator[None]:
    """What breaks a promise here concerns this feed's lines, and not the other's."""
    try:
        yield
    except PromiseBroken as broken:
        broken.table = feed.lines.name
        raise


def _places(run: DayRun) -> dict[str, Place]:
    quarantine = dict(zip(QUARANTINE.feeds, run.platform.publisher.stage(QUARANTINE, run.run_date, run.run_id), strict=True))
    return {
        feed.name: Place(run.platform.publisher.stage(feed.lines, run.run_date, run.run_id)[0], quarantine[feed.name]) for feed in FEEDS
    }


def _senders(run: DayRun, known: Mapping[str, Relation]) -> dict[str, str]:
    """The markets active on the day, with their time zones."""
    columns = ["market", "timezone", "active_from", "active_to"]
    markets = read_columns(run.platform.lake, known["markets"].files, columns).to_pylist()
    day = run.run_date
    return {
        m["market"]: m["timezone"]
        for m in markets
        if (m["active_from"] is None or m["active_from"] <= day) and (m["active_to"] is None or day <= m["active_to"])
    }


def _one(known: Relation) -> str:
    return known.files[0]


def _without_duplicates(run: DayRun, receiver: Receiver, feed: Feed, received: Received, place: Place) -> _FeedDay:
    """Takes duplicates and conflicts out of a feed's staged lines."""
    engine, params = run.platform.engine, {"run_date": run.run_date}
    receipts = [r for r in received.receipts if r.file.feed == feed.name]
    decoded = {r.file.file_id: r.outcome for r in receipts if r.outcome is not None and r.outcome.status == "accepted"}
    files = {r.file.file_id: r.file for r in receipts}
    lines = {file_id: outcome.lines_files for file_id, outcome in decoded.items()}
    quarantine = [path for outcome in decoded.values() for path in outcome.quarantine_files]
    sent = rows_relation(run, f"{feed.name}_files", files_table(list(files.values())), FILES_TYPES)

    repeated = find_repeated(run, feed, list(files.values()), lines, sent, place.lines)
    duplicates = Relation(DUPLICATES_TYPES)
    holding: set[str] = set()
    if repeated.files:
        counted = engine.rows(run.platform.query("procurement/repeated_by_file"), {"repeated": repeated}, params)
        for row in counted:
            file = files[str(row["file_id"])]
            files[file.file_id] = _recounted(file, str(row["kind"]), int(str(row["rows"])))
        conflicting = {str(row["file_id"]): int(str(row["rows"])) for row in counted if row["kind"] == CONFLICT}
        as_sent = _rows_as_sent(receiver, feed, files, conflicting, repeated, f"{place.lines}/{WORK}/conflicts")
        checked = relation(feed.lines, [path for paths in lines.values() for path in paths])
        relations = {f"{noun(feed)}_lines_checked": checked, "files": sent, "repeated": repeated, "rows_as_sent": as_sent}
        path = f"{place.lines}/{WORK}/duplicates.parquet"
        query = run.platform.query(f"procurement/{noun(feed)}_duplicate_rows")
        duplicates = Relation(DUPLICATES_TYPES, engine.write(query, relations, path, DUPLICATES_TYPES, params).files)
        conflicts = f"{place.quarantine}/conflicts.parquet"
        query = run.platform.query(f"procurement/{noun(feed)}_conflicts")
        quarantine += engine.write(query, relations, conflicts, QUARANTINE.sql_types, params).files
        holding = {str(row["file_id"]) for row in counted}
    accepted = sum(outcome.accepted for outcome in decoded.values())
    kept = kept_lines(run, feed, lines, accepted, repeated, holding, place.lines)
    figures = _conservation(run, feed, list(files.values()), decoded, (kept, quarantine), duplicates)
    return _FeedDay(feed, kept, tuple(quarantine), tuple(files.values()), duplicates, figures)


def _rows_as_sent(
    receiver: Receiver, feed: Feed, files: dict[str, LedgerFile], conflicting: Mapping[str, int], repeated: Relation, folder: str
) -> Relation:
    """The conflicting rows (how many by file) as they were sent. A file whose rows cannot be shown says so; its values stand for them.

    Raises:
        InputGone: a raw copy is gone or has other bytes; nothing is recorded.
        PromiseBroken: a row was not found again.
    """
    shown: list[str] = []
    asked = [files[file_id] for file_id in conflicting]
    for file, outcome in zip(asked, receiver.rows_as_sent(feed, asked, repeated.files, CONFLICT, folder), strict=True):
        if outcome.status == "rejected":
            note = f"conflicting rows are not shown as they were sent: {outcome.reason}"
            files[file.file_id] = replace(file, notes="\n".join(filter(None, (file.notes, note))))
        elif outcome.rows != conflicting[file.file_id]:
            raise PromiseBroken(
                f"{feed.lines.name}: {file.file_name} has {conflicting[file.file_id]} conflicting rows, {outcome.rows} were found again. "
                "Nothing was recorded"
            )
        shown += outcome.lines_files
    return Relation(ROWS_AS_SENT_TYPES, tuple(shown))


def _recounted(file: LedgerFile, kind: str, rows: int) -> LedgerFile:
    accepted = (file.accepted or 0) - rows
    if kind == CONFLICT:
        return replace(file, accepted=accepted, quarantined=(file.quarantined or 0) + rows)
    return replace(file, accepted=accepted, duplicates=(file.duplicates or 0) + rows)


def _conservation(
    run: DayRun,
    feed: Feed,
    files: Sequence[LedgerFile],
    decoded: Mapping[str, DecodeOutcome],
    staged: tuple[Sequence[str], Sequence[str]],
    duplicates: Relation,
) -> dict[str, object]:
    """Holds the staged rows to the promise that nothing is lost: rows and units in = accepted + quarantined + duplicates.

    `staged` are the files of accepted lines and of quarantined rows.

    Raises:
        PromiseBroken: names the file and the figures.
    """
    lines, quarantine = staged
    relations = {feed.lines.name: relation(feed.lines, lines), "quarantine": relation(QUARANTINE, quarantine), "duplicates": duplicates}
    query = run.platform.query(f"procurement/{noun(feed)}_conservation")
    counted = {str(row["file_id"]): row for row in run.platform.engine.rows(query, relations, {"run_date": run.run_date})}
    total: dict[str, Any] = {"rows": 0, "accepted": 0, "quarantined": 0, "duplicates": 0, "units": Decimal(0)}
    for file in files:
        if file.state != "accepted":
            continue
        row, read = counted.get(file.file_id, {}), decoded[file.file_id]
        found = tuple(int(str(row.get(f"{part}_rows") or 0)) for part in ("accepted", "quarantined", "duplicate"))
        units = sum((Decimal(str(row.get(f"{part}_quantity") or 0)) for part in ("accepted", "quarantined", "duplicate")), Decimal(0))
        sent = Decimal(read.accepted_quantity) + Decimal(read.quarantined_quantity)
        if read.rows != sum(found) or found != (file.accepted, file.quarantined, file.duplicates) or units != sent:
            raise PromiseBroken(
                f"{feed.lines.name}: {file.file_name} has {read.rows} rows, {sent} units; {found} rows (accepted, quarantined, duplicates) "
                f"and {units} units were kept. Nothing was recorded"
            )
        for name, value in zip(total, (read.rows, *found, units), strict=True):
            total[name] += value
    return dict(total)


def _violations(run: DayRun, days: Sequence[_FeedDay], known: Mapping[str, Relation]) -> Found:
    files = files_relation(run)
    checks = []
    for day in days:
        relations = {
            "quarantine": relation(QUARANTINE, day.quarantine),
            "duplicates": day.duplicates,
            "files": files,
            day.feed.lines.name: relation(day.feed.lines, day.lines),
        }
        checks.append(Check(f"procurement/{noun(day.feed)}_file_violations", {"files": files, "markets": known["markets"]}))
        checks.append(Check(f"procurement/{noun(day.feed)}_violations", relations))
    return find(run, "intake", checks)
