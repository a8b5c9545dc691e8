"""Which of a day's rows were sent before: found by SQL over the lines that the decoding processes wrote, a few markets at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from procurement_platform.dayrun import DayRun
from procurement_platform.engines.base import Relation
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.platform import Platform
from procurement_platform.procurement.derive import relation, rows_relation
from procurement_platform.procurement.feeds import ORDERS
from procurement_platform.procurement.planning import FILES_TYPES, files_table
from procurement_platform.procurement.publication import published_lines
from procurement_platform.procurement.tables import ORDER_LINES

REPEATED_TYPES = {
    "file_id": "varchar",
    "row_number": "bigint",
    "kind": "varchar",
    # Another row of its key: that which counts, or one with other content.
    "other_date": "date",
    "other_file": "varchar",
    "other_row": "bigint",
}
WORK = "_work"  # the folder, below a run's own, of files that are no part of the table; Trino sees no file whose own name begins with _


def noun(feed: Feed) -> str:
    """The word that the feed's SQL files begin with."""
    return feed.lines.name.removesuffix("_lines")


def find_repeated(
    run: DayRun, feed: Feed, files: Sequence[LedgerFile], lines: Mapping[str, Sequence[str]], sent: Relation, folder: str
) -> Relation:
    """The rows that are duplicates or conflict: file, row number, kind (DUPLICATE_ORDER or CONFLICTING_ORDER), another row of the key.

    `lines` are each file's Parquet files by its id, `sent` the files' names, `folder` where the result is staged.
    """
    query = run.platform.query(f"procurement/{noun(feed)}_duplicates")
    earlier = _earlier(run) if feed.lines is ORDER_LINES else _Earlier()
    known = Relation(sent.columns, (*sent.files, *earlier.names))
    found: list[str] = []
    own_files = [f for f in files if f.file_id in lines]
    # A key names its market, so that markets can be looked at one after the other: what does not fit in memory at once need not spill.
    for number, markets in enumerate(batches(own_files, earlier.files, run.platform.settings.duplicate_batch_rows)):
        own = [path for f in files if f.market in markets for path in lines.get(f.file_id, ())]
        relations = {f"{noun(feed)}_lines_checked": relation(feed.lines, own), "files": known}
        if feed.lines is ORDER_LINES:
            before = [path for path, market in earlier.lines.items() if market in markets or market is None]
            relations["earlier_order_lines"] = relation(ORDER_LINES, before)
        target = f"{folder}/{WORK}/repeated-{number}.parquet"
        found += run.platform.engine.write(query, relations, target, REPEATED_TYPES, {"run_date": run.run_date}).files
    return Relation(REPEATED_TYPES, tuple(found))


def batches(files: Sequence[LedgerFile], earlier: Sequence[LedgerFile], most: int) -> Iterator[set[str]]:
    """The files' markets in groups of at most `most` rows, earlier ones counted; a market with more is a group of its own."""
    rows = dict.fromkeys({file.market for file in files}, 0)
    for file in (*files, *earlier):
        if file.market in rows:
            rows[file.market] += file.accepted or 0
    group: set[str] = set()
    size = 0
    for market in sorted(rows):
        if group and size + rows[market] > most:
            yield group
            group, size = set(), 0
        group.add(market)
        size += rows[market]
    if group:
        yield group


def kept_lines(
    run: DayRun, feed: Feed, lines: Mapping[str, Sequence[str]], accepted: int, repeated: Relation, holding: Collection[str], folder: str
) -> tuple[str, ...]:
    """A feed's lines without its duplicates and conflicts, in place of the lines as decoded.

    `lines` are each file's Parquet files by its id, `accepted` how many rows they have together, `holding` the files that hold repeated
    rows. A small day's lines (`PROCUREMENT_SMALL_DAY_ROWS`) come to lie in one file: every query of the day, and of the days that are
    compared with it, opens that one instead of one for each market. Of a large day only the files that hold repeated rows are written
    again.
    """
    listed = [path for paths in lines.values() for path in paths]
    if len(listed) > 1 and accepted <= run.platform.settings.small_day_rows:
        return _written_again(run, feed, listed, repeated, f"{folder}/part-0.parquet")
    kept: list[str] = []
    for file_id, paths in lines.items():
        for path in paths:
            target = path.removesuffix(".parquet") + ".kept.parquet"
            kept += _written_again(run, feed, [path], repeated, target) if file_id in holding else [path]
    return tuple(kept)


def _written_again(run: DayRun, feed: Feed, paths: Sequence[str], repeated: Relation, target: str) -> tuple[str, ...]:
    query = run.platform.query(f"procurement/{feed.lines.name}_kept")
    relations = {f"{noun(feed)}_lines_checked": relation(feed.lines, paths), "repeated": repeated}
    written = run.platform.engine.write(query, relations, target, feed.lines.sql_types, {"run_date": run.run_date}).files
    for path in paths:
        run.platform.lake.remove(run.platform.lake.relative(path))
    return written


def earlier_lines(run: DayRun) -> dict[str, str]:
    """What the day's orders are compared with: for each day of the window the content of its published lines, empty where it has none."""
    days = [run.run_date - timedelta(days=n) for n in range(1, run.platform.settings.duplicate_window_days + 1)]
    known = published_lines(run.platform, days[-1], days[0]) if days else {}
    return {day.isoformat(): (known[day].content_hash or "") if day in known else "" for day in days}


@dataclass(frozen=True)
class _Earlier:
    """The days before: their files, the Parquet files of accepted lines, each with its market where it is of one alone, and names.

    `names` is, where there are any lines, the Parquet file of the names under which they were sent.
    """

    files: Sequence[LedgerFile] = ()
    lines: Mapping[str, str | None] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def _earlier(run: DayRun) -> _Earlier:
    days = run.platform.settings.duplicate_window_days
    if not days:
        return _Earlier()
    first, last = run.run_date - timedelta(days=days), run.run_date - timedelta(days=1)
    files = [f for f in run.platform.ledger.files(first, last) if f.feed == ORDERS.name]
    market_of = {f.file_id: f.market for f in files}
    lines = {  # a file of lines has the ledger's id in its name
        path: next((market_of[part] for part in Path(path).name.split(".") if part in market_of), None)
        for path in _published_files(run.platform, first, last)
    }
    names = rows_relation(run, "earlier_orders_files", files_table(files), FILES_TYPES).files if lines else ()
    return _Earlier([f for f in files if f.state == "accepted"], lines, names)


def _published_files(platform: Platform, first: date, last: date) -> list[str]:
    """The published Parquet files of order lines, in order. The table names most of them, and tells more cheaply than the folders."""
    named = platform.catalog.by_folder(ORDER_LINES, first, last)
    found: list[str] = []
    for day, run in published_lines(platform, first, last).items():
        current = [path for folder in run.folders for path in named.get(folder, ())]
        found += platform.catalog.there(ORDER_LINES, current) or platform.publisher.run_files(ORDER_LINES, day, run.run_id)
    return found
