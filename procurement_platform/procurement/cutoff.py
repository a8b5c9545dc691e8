"""Files that are missing at their market's cut-off: each is told of once, when its time has come and not before."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import groupby

from procurement_platform.inbox.scan import scan
from procurement_platform.inbox.waiting import Seen
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.market_files import Expected, expected
from procurement_platform.quality.alerts import Finding, fingerprint

ONCE = fingerprint("cut-off")  # the same whatever else happens: told once
Due = tuple[dt.date, str, str, Expected]  # run date, feed, market, and what was expected


def due_files(platform: Platform, now: dt.datetime) -> list[Due]:
    """The files whose cut-off has passed within PROCUREMENT_CUTOFF_WINDOW_HOURS, in the order of date, feed and market."""
    found = []
    since = now - dt.timedelta(hours=platform.settings.cutoff_window_hours)
    day = since.date() - dt.timedelta(days=2)  # the cut-off is in the morning after, and days begin earlier in the east
    while day <= now.date() + dt.timedelta(days=1):
        found += [(day, each.feed, each.market, each) for each in expected(platform, day) if since < each.due <= now]
        day += dt.timedelta(days=1)
    return sorted(found, key=lambda due: due[:3])


def at_cutoff(platform: Platform, now: dt.datetime) -> Mapping[dt.date, Sequence[Finding]]:
    """Per run date, whether each file that was due within that time is there: usable, or in the inbox to be taken."""
    found: dict[dt.date, list[Finding]] = {}
    for day, files in groupby(due_files(platform, now), key=lambda due: due[0]):
        usable, unusable = _sent(platform, day)
        for _, feed, market, cutoff in files:
            if (feed, market) in usable:
                continue
            what = unusable.get((feed, market), "it sent none")
            text = f"no {feed} file of {market} by its cut-off, {cutoff}: {what}"
            name = f"cut_off {market}"
            found.setdefault(day, []).append(Finding(f"raw_{feed}", name, day.isoformat(), passed=False, text=text, fingerprint=ONCE))
    return found


def _sent(platform: Platform, day: dt.date) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
    """(feed, market) of the files that can be used or wait in the inbox, and, of others, what is wrong with them."""
    files = platform.ledger.files(day)
    usable = {(f.feed, f.market) for f in files if f.is_usable}
    seen = Seen(files)
    for feed in FEEDS:
        waiting = [
            each for each in scan(platform.lake.path("inbox"), feed.name, day, 0, files=platform.lake.fs).files if not seen.has(each)
        ]
        usable.update((feed.name, each.identity.market) for each in waiting)
    rejected = {(f.feed, f.market): "what it sent was rejected" for f in files if f.state == "rejected"}
    return usable, rejected | {(f.feed, f.market): "no row of what it sent can be used" for f in files if f.is_useless}
