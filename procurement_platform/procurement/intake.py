"""From the markets' files to accepted lines: receive, find duplicates and conflicts, record in the ledger, commit.

The order of the commits makes a kill harmless: raw bytes first, then the ledger, then the tables, each of which the next run derives
again from the ledger's files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

from procurement_platform.dayrun import DayRun
from procurement_platform.engines.base import Relation
from procurement_platform.errors import PromiseBroken
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.inbox.receive import Place, Received, Receiver
from procurement_platform.procurement.derive import Check, Found, Outcome, commit, current, find, relation, rows_relation
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.planning import FILES_TYPES, files_relation, files_table, inputs_of, reference
from procurement_platform.procurement.tables import ORDER_LINES

REPEATED_TYPES = {"file_id": "varchar", "row_number": "bigint", "kind": "varchar"}
DUPLICATES_TYPES = {
    "file_id": "varchar",
    "row_number": "bigint",
    "file": "varchar",
    "market": "varchar",
    "sku": "varchar",
    "quantity": "decimal(18,3)",
}
CONFLICT = "CONFLICTING_ORDER"


@dataclass(frozen=True)
class Intake:
    """What a day's intake made: the tables, and the files it accepted, rejected, or left to grow."""

    outcome: Outcome
    files: tuple[LedgerFile, ...]
    growing: tuple[str, ...]


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
        PromiseBroken: rows or units of a file do not add up; nothing is recorded.
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
    days = [_without_repeats(run, feed, received, places[feed.name]) for feed in FEEDS]
    run.guard()
    platform.ledger.record([file for day in days for file in day.files])
    receiver.tidy_raw(FEEDS)
    inputs = {**inputs_of(run), "files": [f.file_id for day in days for f in day.files if f.state == "accepted"]}
    tables = [commit(run, day.feed.lines, day.lines, inputs) for day in days]
    tables.append(commit(run, QUARANTINE, [path for day in days for path in day.quarantine], inputs))
    found = _violations(run, days, known)
    files = tuple(file for day in days for file in day.files)
    return Intake(Outcome(tuple(tables), tuple(found), {day.feed.name: day.figures for day in days}), files, received.growing)


def _places(run: DayRun) -> dict[str, Place]:
    quarantine = dict(zip(QUARANTINE.feeds, run.platform.publisher.stage(QUARANTINE, run.run_date, run.run_id), strict=True))
    return {
        feed.name: Place(run.platform.publisher.stage(feed.lines, run.run_date, run.run_id)[0], quarantine[feed.name]) for feed in FEEDS
    }


def _senders(run: DayRun, known: Mapping[str, Relation]) -> dict[str, str]:
    """The markets active on the day, with their time zones."""
    markets = pq.read_table(_one(known["markets"]), columns=["market", "timezone", "active_from", "active_to"]).to_pylist()
    day = run.run_date
    return {
        m["market"]: m["timezone"]
        for m in markets
        if (m["active_from"] is None or m["active_from"] <= day) and (m["active_to"] is None or day <= m["active_to"])
    }


def _one(known: Relation) -> str:
    return known.files[0]


def _without_repeats(run: DayRun, feed: Feed, received: Received, place: Place) -> _FeedDay:
    """Takes duplicates and conflicts out of a feed's staged lines. Only the files that hold any are written again."""
    receipts = [r for r in received.receipts if r.file.feed == feed.name]
    files = {r.file.file_id: r.file for r in receipts}
    lines = {r.file.file_id: r.outcome.lines_files for r in receipts if r.outcome is not None and r.outcome.status == "accepted"}
    quarantine = [path for r in receipts if r.outcome is not None and r.outcome.status == "accepted" for path in r.outcome.quarantine_files]
    engine, params = run.platform.engine, {"run_date": run.run_date}
    checked = relation(feed.lines, [path for paths in lines.values() for path in paths])
    sent = rows_relation(run, f"{feed.name}_files", files_table(list(files.values())), FILES_TYPES)
    relations = {f"{_noun(feed)}_lines_checked": checked, "files": sent}
    if feed.lines is ORDER_LINES:
        relations["earlier_order_lines"] = _earlier_lines(run)
    repeated_path = f"{place.lines}/_repeated.parquet"
    repeated_rows = engine.write(
        run.platform.query(f"procurement/{_noun(feed)}_duplicates"), relations, repeated_path, REPEATED_TYPES, params
    )
    repeated = Relation(REPEATED_TYPES, (repeated_path,) if repeated_rows else ())
    duplicates_path = f"{place.lines}/_duplicates.parquet"
    inputs = {f"{_noun(feed)}_lines_checked": checked, "repeated": repeated, "files": sent}
    figures: dict[str, object] = {"duplicates": 0, "conflicts": 0}
    duplicates = Relation(DUPLICATES_TYPES, ())
    if repeated_rows:
        count = engine.write(
            run.platform.query(f"procurement/{_noun(feed)}_duplicate_rows"), inputs, duplicates_path, DUPLICATES_TYPES, params
        )
        duplicates = Relation(DUPLICATES_TYPES, (duplicates_path,) if count else ())
        conflicts_path = f"{place.quarantine}/conflicts.parquet"
        conflicts = engine.write(
            run.platform.query(f"procurement/{_noun(feed)}_conflicts"), inputs, conflicts_path, QUARANTINE.sql_types, params
        )
        if conflicts:
            quarantine.append(conflicts_path)
        figures = {"duplicates": count, "conflicts": conflicts}
        for row in engine.rows(run.platform.query("procurement/repeated_by_file"), {"repeated": repeated}, params):
            file = files[str(row["file_id"])]
            of_kind = int(str(row["rows"]))
            accepted, quarantined, duplicate = file.accepted or 0, file.quarantined or 0, file.duplicates or 0
            if row["kind"] == CONFLICT:
                files[file.file_id] = replace(file, accepted=accepted - of_kind, quarantined=quarantined + of_kind)
            else:
                files[file.file_id] = replace(file, accepted=accepted - of_kind, duplicates=duplicate + of_kind)
            lines[file.file_id] = _rewritten(run, feed, lines[file.file_id], repeated)
    kept = [path for paths in lines.values() for path in paths]
    figures |= _agreed(run, feed, receipts_of(received, feed), tuple(files.values()), kept, quarantine, duplicates)
    return _FeedDay(feed, tuple(kept), tuple(quarantine), tuple(files.values()), duplicates, figures)


def receipts_of(received: Received, feed: Feed) -> list[Decimal]:
    """The sums of valid quantities that the feed's accepted files held when they were decoded, accepted and quarantined."""
    return [
        Decimal(r.outcome.accepted_quantity) + Decimal(r.outcome.quarantined_quantity)
        for r in received.receipts
        if r.file.feed == feed.name and r.outcome is not None and r.outcome.status == "accepted"
    ]


def _rewritten(run: DayRun, feed: Feed, paths: Sequence[str], repeated: Relation) -> tuple[str, ...]:
    """A file's lines without its repeated rows, in place of the lines as decoded."""
    written = []
    for path in paths:
        target = path if path.endswith(".kept.parquet") else path.removesuffix(".parquet") + ".kept.parquet"
        if target == path:
            return tuple(paths)  # written again already, for the file's other kind of repeated rows
        relations = {f"{_noun(feed)}_lines_checked": relation(feed.lines, [path]), "repeated": repeated}
        query = run.platform.query(f"procurement/{_noun(feed)}_lines_kept")
        rows = run.platform.engine.write(query, relations, target, feed.lines.sql_types, {"run_date": run.run_date})
        Path(path).unlink()
        if rows:
            written.append(target)
    return tuple(written)


def _agreed(
    run: DayRun,
    feed: Feed,
    sent: Sequence[Decimal],
    files: Sequence[LedgerFile],
    lines: Sequence[str],
    quarantine: Sequence[str],
    duplicates: Relation,
) -> dict[str, object]:
    """Holds the staged rows to the promise that nothing is lost: rows and units in = accepted + quarantined + duplicates.

    Raises:
        PromiseBroken: names the file, or the feed, and the figures.
    """
    relations = {
        f"{_noun(feed)}_lines": relation(feed.lines, lines),
        "quarantine": relation(QUARANTINE, quarantine),
        "duplicates": duplicates,
    }
    query = run.platform.query(f"procurement/{_noun(feed)}_conservation")
    counted = {str(row["file_id"]): row for row in run.platform.engine.rows(query, relations, {"run_date": run.run_date})}
    units = Decimal(0)
    for file in files:
        if file.state != "accepted":
            continue
        row = counted.get(file.file_id, {})
        found = {name: int(str(row.get(f"{name}_rows") or 0)) for name in ("accepted", "quarantined", "duplicate")}
        expected = {"accepted": file.accepted, "quarantined": file.quarantined, "duplicate": file.duplicates}
        if file.rows != sum(found.values()) or found != expected:
            raise PromiseBroken(
                f"{feed.name}: {file.file_name} has {file.rows} rows and {found} were kept, {expected} expected: nothing was recorded"
            )
        units += sum((Decimal(str(row.get(f"{name}_quantity") or 0)) for name in found), Decimal(0))
    if units != sum(sent, Decimal(0)):
        raise PromiseBroken(f"{feed.name}: {sum(sent, Decimal(0))} units were sent and {units} kept: nothing was recorded")
    rows = sum(f.rows or 0 for f in files if f.state == "accepted")
    return {"rows": rows, "units": units}


def _earlier_lines(run: DayRun) -> Relation:
    from datetime import timedelta

    days = run.platform.settings.duplicate_window_days
    if not days:
        return relation(ORDER_LINES, ())
    return current(run, ORDER_LINES, run.run_date - timedelta(days=days), run.run_date - timedelta(days=1))


def _violations(run: DayRun, days: Sequence[_FeedDay], known: Mapping[str, Relation]) -> list[Found]:
    files = files_relation(run)
    quarantine = current(run, QUARANTINE)
    found = []
    for day in days:
        relations = {
            "quarantine": quarantine,
            "duplicates": day.duplicates,
            "files": files,
            f"{_noun(day.feed)}_lines": relation(day.feed.lines, day.lines),
        }
        found.append(
            find(
                run,
                f"raw_{day.feed.name}",
                [Check(f"procurement/{_noun(day.feed)}_file_violations", {"files": files, "markets": known["markets"]})],
            )
        )
        found.append(find(run, day.feed.lines.name, [Check(f"procurement/{_noun(day.feed)}_violations", relations)]))
    return found


def _noun(feed: Feed) -> str:
    """The word that the feed's SQL files begin with."""
    return feed.lines.name.removesuffix("_lines")
