"""What the markets sent for a day, what became of it, and what is still expected: for people, from the ledger and the inbox as it is."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from procurement_platform.inbox.identity import with_suffix_apart
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.inbox.scan import FoundFile, UnfitFile, newest_first, scan
from procurement_platform.inbox.strays import strays_in_words
from procurement_platform.inbox.task import NO_USE
from procurement_platform.inbox.waiting import Seen, is_readable, name_of
from procurement_platform.lake.files import Lake
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.settings import Settings

AHEAD = dt.timedelta(days=7)  # files may come before their day; one that is for a day further off is for a day that was mistyped


@dataclass(frozen=True)
class FileLine:
    """A file a market sent for a day, or one it should have sent. `file_id` is the ledger's: a file no run has seen has none."""

    run_date: dt.date
    feed: str
    market: str
    file: str
    state: str
    sent_at: dt.datetime | None = None
    rows: int | None = None
    accepted: int | None = None
    quarantined: int | None = None
    duplicates: int | None = None
    file_id: str = ""
    note: str = ""


@dataclass(frozen=True)
class Expected:
    """A file that a day should have. `due` is the market's cut-off, in its own time zone."""

    market: str
    feed: str
    due: dt.datetime

    def __str__(self) -> str:
        return f"{self.due:%Y-%m-%d %H:%M} ({self.due.tzinfo})"


def misplaced_files(lake: Lake, settings: Settings) -> str | None:
    """What lies in the inbox where no run looks, in a sentence; None where nothing does."""
    return strays_in_words(lake, [feed.name for feed in FEEDS], settings.start_date, settings.today() + AHEAD)


def market_files(platform: Platform, run_date: dt.date) -> list[FileLine]:
    """The day's files, in use or not, those that wait in the inbox, and those still expected (`missing` once their cut-off has passed).

    Raises:
        NotPermitted: a folder of the inbox cannot be listed.
    """
    known = platform.ledger.files(run_date)
    lines = [FileLine(run_date, f.feed, f.market, f.file_name, f.state, f.sent_at, *_counts(f), f.file_id, _note(f)) for f in known]
    seen = Seen(known)
    in_use = {(f.feed, f.name): f.file_name for f in known if f.state == "accepted"}
    markets = _active_markets(platform, run_date)
    active = {market for market, *_ in markets}
    for feed in FEEDS:
        found = scan(platform.lake.path("inbox"), feed.name, run_date, 0, files=platform.lake.fs)
        waiting = [file for file in newest_first(found.files) if not seen.has(file)]
        first = {file.identity.name: file for file in reversed(waiting)}  # of rivals the newest
        lines += [_waiting(platform, feed.name, run_date, file, first[file.identity.name], in_use, active) for file in waiting]
        lines += [_unfit(feed.name, run_date, unfit) for unfit in found.unfit if not seen.has(unfit)]
    have = {(file.feed, file.market) for file in known if file.is_usable}
    have |= {(line.feed, line.market) for line in lines if line.state == "waiting"}
    for each in _expected(markets, run_date):
        if (each.feed, each.market) not in have:
            late = dt.datetime.now(dt.UTC) >= each.due
            note = f"was due by {each}" if late else f"expected by {each}"
            lines.append(FileLine(run_date, each.feed, each.market, "", "missing" if late else "expected", note=note))
    return sorted(lines, key=lambda line: (line.feed, line.market, line.file, line.state))


def expected(platform: Platform, run_date: dt.date) -> list[Expected]:
    """Which files a day should have, each due at its market's time of day after the run date; in the order of the markets."""
    return _expected(_active_markets(platform, run_date), run_date)


def _expected(markets: Sequence[tuple[Any, ...]], run_date: dt.date) -> list[Expected]:
    # The day's orders are complete when the day is over: the cut-off is on the day after.
    after = run_date + dt.timedelta(days=1)
    return [
        Expected(market, feed, dt.datetime.combine(after, cutoff, ZoneInfo(zone)))
        for market, zone, sends_orders, sends_stock, orders_cutoff, stock_cutoff in markets
        for feed, sends, cutoff in (("orders", sends_orders, orders_cutoff), ("stock", sends_stock, stock_cutoff))
        if sends
    ]


def _active_markets(platform: Platform, run_date: dt.date) -> list[tuple[Any, ...]]:
    """The markets that are active on a day, in their order: code, time zone, whether it sends orders and stock, and until when."""
    with platform.database.transaction() as connection:
        return connection.execute(
            """
            SELECT market, timezone, sends_orders, sends_stock, orders_cutoff, stock_cutoff FROM reference.markets
            WHERE (active_from IS NULL OR active_from <= %(day)s) AND (active_to IS NULL OR active_to >= %(day)s) ORDER BY market
            """,
            {"day": run_date},
        ).fetchall()


def _waiting(
    platform: Platform,
    feed: str,
    run_date: dt.date,
    file: FoundFile,
    first: FoundFile,
    in_use: dict[tuple[str, str], str],
    active: set[str],
) -> FileLine:
    """A file in the inbox that no run has seen as it is now. `first` is the newest of its identity, perhaps itself."""
    before = in_use.get((feed, file.identity.name))
    if not is_readable(file.path):
        note = "in the inbox, and cannot be read: give the platform read access"
    elif active and file.identity.market not in active:  # without any the sample set is loaded first
        meant = with_suffix_apart(file.identity.file_name, active)
        remedy = f"name it {meant}" if meant else "correct the name, or load the market"
        note = f"in the inbox; {file.identity.market} is no market that is active on {run_date}: {remedy}"
    elif (seconds := (dt.datetime.now(dt.UTC) - file.modified_at).total_seconds()) < platform.settings.settle_seconds:
        note = f"in the inbox, written to {max(seconds, 0):.1f} s ago; the next run takes it once it does not change any more"
    elif first is not file:
        note = f"in the inbox; the next run takes it only where the newer {name_of(first)}, the same file by name, cannot be used"
    elif before is not None:
        note = f"in the inbox; the next run takes it in place of the {before} in use"
    else:
        note = "in the inbox; the next run takes it"
    return FileLine(run_date, feed, file.identity.market, name_of(file), "waiting", file.modified_at, note=note)


def _unfit(feed: str, run_date: dt.date, file: UnfitFile) -> FileLine:
    return FileLine(run_date, feed, "", file.file_name, "waiting", file.modified_at, note=f"in the inbox, and not taken: {file.reason}")


def _counts(file: LedgerFile) -> tuple[int | None, int | None, int | None, int | None]:
    """Rows, accepted, quarantined, duplicates; of a rejected file nobody counted them."""
    if file.state == "rejected":
        return None, None, None, None
    return file.rows, file.accepted, file.quarantined, file.duplicates


def _note(file: LedgerFile) -> str:
    if file.state == "withdrawn":
        return f"withdrawn by {file.withdrawn_by}: {file.withdrawn_why}"
    notes = file.notes.split("\n") if file.notes else []
    if file.is_useless and NO_USE not in notes:  # its rows were found to repeat and contradict others once it was decoded
        notes.append(NO_USE)
    note = str(file.reason or "; ".join(notes))
    if file.reinstated_by is None:
        return note
    again = f"withdrawn by {file.withdrawn_by} ({file.withdrawn_why}), put in again by {file.reinstated_by}"
    return f"{again}; {note}" if note else again
