"""Which days must be run again: those whose files, as they are now, are not the files their published day was made of.

Works from state alone (inbox, ledger, published days), so that nothing is lost while nobody looks. A look costs the same however many days
there have been, and reads only files whose size or time changed while a version of the same size is known.
"""

import datetime as dt
import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from procurement_platform.inbox.identity import parse_date
from procurement_platform.inbox.ledger import IN_USE, Ledger, LedgerFile
from procurement_platform.inbox.scan import FoundFile, UnfitFile, scan
from procurement_platform.inbox.waiting import Seen, name_of
from procurement_platform.lake.days import PublishedDay
from procurement_platform.lake.files import Lake
from procurement_platform.texts import first_few

NAMED = 3


@dataclass(frozen=True)
class StaleDay:
    """A day to run. `signature` is the same as long as nothing changes that a run would take in; `why` is for people."""

    run_date: dt.date
    signature: str
    why: str


@dataclass(frozen=True)
class Look:
    """What one look at the inbox works with.

    `published` has the published days of the dates looked at; `lines` the content of the lines of these dates and of those their orders
    are compared with (run date → hash; none where there are no lines).
    """

    lake: Lake
    ledger: Ledger
    feeds: Sequence[str]
    published: Mapping[dt.date, PublishedDay]
    settle_seconds: float
    now: dt.datetime
    lines: Mapping[dt.date, str]

    def stale_days(self, dates: Sequence[dt.date]) -> list[StaleDay]:
        """Which of the days must be run, in order. Files that changed a moment ago wait for the next look."""
        if not dates:
            return []
        known: dict[dt.date, list[LedgerFile]] = defaultdict(list)
        for file in self.ledger.files(min(dates), max(dates)):
            known[file.run_date].append(file)
        return [stale for date in sorted(dates) if (stale := self._stale(date, known[date])) is not None]

    def _stale(self, run_date: dt.date, known: Sequence[LedgerFile]) -> StaleDay | None:
        fresh = list(self._fresh(run_date, known))
        in_use = {f.file_id for f in known if f.state in IN_USE}
        day = self.published.get(run_date)
        if day is None:
            if not fresh and not in_use:
                return None
            why = "never published"
        elif fresh or in_use != set(_ids(day)):
            gone = [f"{f.feed} {f.file_name}" for f in known if f.file_id in set(_ids(day)) - in_use]
            named = {"new": [name for name, _ in fresh], "no longer in use": gone}
            why = "; ".join(f"{what}: {first_few(names, NAMED)}" for what, names in named.items() if names) or "published from other files"
        elif changed := self._earlier_changed(day):
            why = f"the lines of {first_few([date.isoformat() for date in changed], NAMED)} changed, which its orders were compared with"
        else:
            return None
        # The publication is part of it: what came, went and came again is asked for afresh.
        earlier = [self.lines[date] for date in sorted(compared_with(day)) if date in self.lines] if day else []
        parts = [*(mark for _, mark in fresh), *sorted(in_use), *earlier, day.published_at.isoformat() if day else ""]
        return StaleDay(run_date, hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16], why)

    def _earlier_changed(self, day: PublishedDay) -> list[dt.date]:
        """The earlier days whose accepted lines are not those that the day's orders were compared with."""
        return [date for date, content in compared_with(day).items() if self.lines.get(date, "") != content]

    def _fresh(self, run_date: dt.date, known: Sequence[LedgerFile]) -> Iterator[tuple[str, str]]:
        """Feed and name, and mark, of each settled file whose bytes the day is not made of."""
        seen = Seen(known)
        for feed in self.feeds:
            found = scan(self.lake.path("inbox"), feed, run_date, 0, files=self.lake.fs)
            lying: list[FoundFile | UnfitFile] = [*found.files, *found.unfit]
            for file in lying:
                if self._is_settled(file.modified_at) and not seen.has(file):
                    yield f"{feed} {name_of(file)}", f"{feed}/{name_of(file)} {file.size} {file.modified_at.isoformat()}"

    def _is_settled(self, modified_at: dt.datetime) -> bool:
        # One dated in the future says nothing about when it was written.
        return not self.now - dt.timedelta(seconds=self.settle_seconds) < modified_at <= self.now


def compared_with(day: PublishedDay) -> dict[dt.date, str]:
    """Run date → content of its lines ("": none) as the day was published; empty for a day that did not record them."""
    earlier = day.inputs.get("earlier", {})
    return {dt.date.fromisoformat(str(date)): str(content) for date, content in earlier.items()} if isinstance(earlier, dict) else {}


def touched_dates(lake: Lake, feeds: Sequence[str], before: dt.date, published: Mapping[dt.date, dt.datetime]) -> list[dt.date]:
    """The dates before one whose inbox folders changed since they were published, or that were never published.

    A folder's own time tells: a file that is put, replaced by renaming or removed changes it. One that is rewritten in place does not: for
    those there are `next_dates`.
    """
    found = set()
    for feed in feeds:
        for name in lake.folders(f"inbox/{feed}"):
            date = parse_date(name)
            if date is not None and date < before and date not in found:
                changed = lake.modified_at(f"inbox/{feed}/{name}")
                if date not in published or changed > published[date]:
                    found.add(date)
    return sorted(found)


def next_dates(lake: Lake, feeds: Sequence[str], before: dt.date, after: dt.date | None, count: int) -> list[dt.date]:
    """The next dates before one for which there is an inbox folder, at most `count`: those that follow `after`, then the first again."""
    names = {name for feed in feeds for name in lake.folders(f"inbox/{feed}")}
    dates = sorted(date for date in map(parse_date, names) if date is not None and date < before)
    start = 0 if after is None else bisect_right(dates, after)
    return (dates[start:] + dates[:start])[:count]


def _ids(day: PublishedDay) -> Sequence[str]:
    ids = day.inputs.get("files", ())
    return [str(each) for each in ids] if isinstance(ids, list | tuple) else ()
