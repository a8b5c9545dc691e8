"""Handing a market's file in, and taking one out of its day: what is checked before, and what is told after."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import ConfigurationError, ProcurementError
from procurement_platform.inbox.hand_in import HandedIn
from procurement_platform.inbox.hand_in import hand_in as put_into_inbox
from procurement_platform.inbox.identity import printable
from procurement_platform.inbox.ledger import IN_USE, LedgerFile
from procurement_platform.platform import Platform
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.reference.sample import ensure_sample
from procurement_platform.texts import first_few

SHORT_ID, NAMED = 8, 20


@dataclass(frozen=True)
class _Market:
    zone: str
    active: bool


def hand_in(platform: Platform, source: Path, feed: str, market: str, run_date: dt.date, suffix: str = "") -> list[str]:
    """Puts a file into the inbox; what that does to the day, in lines for people, the path first. Withdrawn bytes count again.

    Raises:
        ConfigurationError: the platform has, and will have, no such run date yet.
        ProcurementError: no such market.
        InvalidFile: the file's name has no known format, or the suffix is none.
    """
    ensure_sample(platform.database)
    known = _market(platform, market, run_date)
    _check_date(platform, market, known.zone, run_date)
    handed = put_into_inbox(platform.lake, source, feed, market, run_date, suffix)
    ledger = [f for f in platform.ledger.files(run_date) if (f.feed, f.name) == (feed, handed.identity.name)]
    told = [*_told(platform, handed, ledger), *_replaced(handed, ledger)]
    if not known.active:
        told.append(f"{market} is not active on {run_date}: the run rejects its files. Correct the date, or active_from and active_to")
    return told


def withdraw(platform: Platform, name: str, why: str, run_date: dt.date | None = None, feed: str | None = None) -> str:
    """Takes a file out of its day. `name` is its name as sent, or the beginning of its ledger id; returns what it was, in words.

    Raises:
        ProcurementError: no file, or several, are meant.
        DayBusy: the day is being run; what it is made of does not change under its hands.
    """
    if not why.strip():
        raise ProcurementError("say why the file is withdrawn: --why 'text'")
    meant = [
        f
        for f in platform.ledger.files(run_date or dt.date.min, run_date or dt.date.max, states=(*IN_USE, "withdrawn"))
        if (name == f.file_name or (len(name) >= SHORT_ID and f.file_id.startswith(name))) and feed in (None, f.feed)
    ]
    found = [f for f in meant if f.state in IN_USE]
    if meant and not found:
        f = meant[0]
        raise ProcurementError(f"{f.file_name} ({f.feed}, {f.run_date}) is withdrawn already, by {f.withdrawn_by} ({f.withdrawn_why})")
    if not found:
        where = f"{run_date or 'any day'} in {platform.settings.home}"
        inbox = platform.lake.path("inbox")
        raise ProcurementError(
            f"{printable(name)} is no file in use on {where}: see `procurement files DATE`. One that only waits is taken back by deleting "
            f"it from its folder in {inbox}"
        )
    if len(found) > 1:
        which = ", ".join(f"{f.feed} {f.run_date} {f.file_id[:SHORT_ID]}" for f in found[:5]) + (", …" if len(found) > 5 else "")  # noqa: PLR2004
        apart = len({(f.feed, f.run_date) for f in found}) == len(found)
        remedy = "say which by --feed and --date, or name it by its id" if apart else "name it by its id"
        raise ProcurementError(f"{name} is {len(found)} files ({which}): {remedy}")
    file = found[0]
    with DayLock.acquire(platform.database, DOMAIN, file.run_date, f"procurement: withdrawing {file.file_name}"):
        platform.ledger.withdraw(file, platform.settings.who, why.strip())
    return f"{file.file_name} ({file.feed}, {file.run_date})"


def _market(platform: Platform, market: str, run_date: dt.date) -> _Market:
    with platform.database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT market, timezone, coalesce(active_from <= %(day)s, true) AND coalesce(active_to >= %(day)s, true)
            FROM reference.markets ORDER BY market
            """,
            {"day": run_date},
        ).fetchall()
    known = {str(code): _Market(str(zone), bool(active)) for code, zone, active in rows}
    if market not in known:
        raise ProcurementError(_no_market(market, known))
    return known[market]


def _no_market(market: str, known: Mapping[str, _Market]) -> str:
    shown = printable(market)
    if market.upper() in known:
        return f"{shown} is no market, the codes are in capital letters: did you mean --market {market.upper()}?"
    close = get_close_matches(market.upper(), known, 3)
    meant = f" (did you mean --market {' or '.join(close)}?)" if close else ""
    there_are = f"The markets are {first_few(list(known), NAMED)}; a new one comes by `procurement reference load`"
    return f"{shown} is no market{meant}. {there_are}"


def _check_date(platform: Platform, market: str, zone: str, run_date: dt.date) -> None:
    """A market in the east may send for a day that has not begun in the platform's time zone."""
    settings = platform.settings
    if run_date < settings.start_date:
        raise ConfigurationError(
            f"{run_date} is before the first run date {settings.start_date}, and no run would take the file: "
            "correct --date, or set PROCUREMENT_START_DATE to an earlier date"
        )
    last = max(settings.today(), dt.datetime.now(ZoneInfo(zone)).date())
    if run_date > last:
        raise ConfigurationError(f"{run_date} is in the future: the last run date that {market} can send for is {last}. Correct --date")


def _told(platform: Platform, handed: HandedIn, ledger: list[LedgerFile]) -> list[str]:
    run_date = handed.identity.run_date
    own = next((f for f in ledger if f.file_id == handed.file_id), None)
    run = f"procurement run {run_date}"
    if own is not None:
        if platform.ledger.reinstate(own.file_id, platform.settings.who):
            at = f"{own.withdrawn_at:%Y-%m-%d %H:%M} UTC" if own.withdrawn_at else "an unknown day"
            told = f"these bytes were withdrawn on {at} by {own.withdrawn_by} ({own.withdrawn_why})"
            return [f"{handed.path}: put in. {told[0].upper()}{told[1:]}; they count again from the next run on: {run}"]
        corrected = own.state == "accepted" and any(f.state == "rejected" for f in ledger)
        if corrected or own.state == "superseded":
            # Where they lay there beside a rival all the time, nothing else tells that they came again.
            platform.ledger.seen_again({own.file_id: dt.datetime.now(dt.UTC)})
        if corrected:
            told = f"these bytes are in use on {run_date} already ({_rows(own)}, id {_short(own)})"
            return [f"{handed.path}: put in. T{told[1:]}; what was rejected since is forgotten from the next run on: {run}"]
        if own.state == "accepted":
            return [f"{handed.path}: nothing changes, these bytes are in use on {run_date} already ({_rows(own)}, id {_short(own)})"]
        if own.state == "rejected":
            return [f"{handed.path}: put in. These bytes were rejected before, and will be again unless the cause is gone: {own.reason}"]
    if handed.lay_there.get(handed.identity.file_name) == handed.sha256:
        return [f"{handed.path}: nothing changes, these bytes wait there already. They count from the next run on: {run}"]
    return [f"{handed.path}: put in. It counts from the next run on: {run}"]


def _replaced(handed: HandedIn, ledger: list[LedgerFile]) -> list[str]:
    """What the file takes the place of: the version in use, and what lay in the inbox and no run has seen."""
    lines = []
    in_use = next((f for f in ledger if f.state == "accepted"), None)
    if in_use is not None and in_use.file_id != handed.file_id:
        lines.append(f"It replaces the {in_use.file_name} in use: {_rows(in_use)}, {in_use.size_bytes:,} bytes, id {_short(in_use)}")
    seen = {(f.file_name, f.sha256): f.state for f in ledger}
    for name, sha256 in sorted(handed.lay_there.items()):
        if name != handed.identity.file_name and seen.get((name, sha256), "accepted") != "accepted":
            lines.append(f"It takes the place of {name} in the inbox, too, which is {seen[name, sha256]}")
        elif (name, sha256) not in {*seen, (handed.identity.file_name, handed.sha256)}:
            lines.append(f"It replaces {name}, which no run had taken yet: SHA-256 {sha256[:16] or 'unknown, it may not be read'}")
    return lines


def _rows(file: LedgerFile) -> str:
    return "1 row" if file.rows == 1 else f"{file.rows or 0:,} rows"


def _short(file: LedgerFile) -> str:
    return file.file_id[:SHORT_ID]
