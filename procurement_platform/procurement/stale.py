"""Which days of the domain must be run again: their files changed, or the lines of the days that their orders were compared with."""

import datetime as dt
from collections.abc import Sequence

from procurement_platform.inbox.late import Look, StaleDay, compared_with, next_dates, touched_dates
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.publication import DOMAIN, published_lines

OLD_DATES_PER_LOOK = 30  # a year's are all looked at in 13 looks: six and a half minutes, where the sensors look every 30 s
_RECENTLY = dt.timedelta(days=1)


def old_dates(platform: Platform, after: dt.date | None) -> list[dt.date]:
    """The next few dates before the late window, in turn, whose files are looked at one by one; `after` is the last of the look before.

    A file that was rewritten in place shows in nothing but itself. A few at a time: a look costs the same however many dates there are.
    """
    return next_dates(platform.lake, [feed.name for feed in FEEDS], _window(platform)[0], after, OLD_DATES_PER_LOOK)


def stale_days(platform: Platform, now: dt.datetime, old: Sequence[dt.date] = ()) -> list[StaleDay]:
    """The days to run again, oldest first.

    Looks at every day of the late window, at older ones whose inbox changed or of which a file was withdrawn since they were published, at
    those that follow an older one that was run of late, and at those of `old`.
    """
    settings, feeds = platform.settings, [feed.name for feed in FEEDS]
    first, last = _window(platform)
    times = platform.days.times(DOMAIN)
    dates = {first + dt.timedelta(days=n) for n in range((last - first).days + 1)}
    dates.update(old)
    dates.update(touched_dates(platform.lake, feeds, first, times))
    dates.update(date for date, at in platform.ledger.withdrawals(first).items() if date not in times or at > times[date])
    for date, published_at in times.items():
        if date < first and published_at > now - _RECENTLY:
            dates.update(_following(platform, date))
    return _look(platform, sorted(date for date in dates if settings.start_date <= date <= last), now)


def stale_after(platform: Platform, run_date: dt.date, now: dt.datetime) -> list[StaleDay]:
    """The published days after one that must be run again because it changed."""
    times = platform.days.times(DOMAIN)
    return _look(platform, [date for date in _following(platform, run_date) if date in times], now)


def stale_day(platform: Platform, run_date: dt.date, now: dt.datetime) -> StaleDay | None:
    """Why a published day must be run again; None where it must not, or never was published. Files that may still grow count, too."""
    if platform.days.get(DOMAIN, run_date) is None:
        return None
    return next(iter(_look(platform, [run_date], now + dt.timedelta(seconds=platform.settings.settle_seconds))), None)


def _window(platform: Platform) -> tuple[dt.date, dt.date]:
    last = platform.settings.today()
    return max(last - dt.timedelta(days=platform.settings.late_window_days), platform.settings.start_date), last


def _following(platform: Platform, run_date: dt.date) -> list[dt.date]:
    return [run_date + dt.timedelta(days=n) for n in range(1, platform.settings.duplicate_window_days + 1)]


def _look(platform: Platform, dates: Sequence[dt.date], now: dt.datetime) -> list[StaleDay]:
    """Looks at dates in order. Those that are far apart are read apart, so that what lies between costs nothing."""
    window = dt.timedelta(days=platform.settings.duplicate_window_days)
    stale: list[StaleDay] = []
    start = 0
    for end in range(1, len(dates) + 1):
        if end == len(dates) or dates[end] - dates[end - 1] > window + _RECENTLY:
            stale += _look_at(platform, dates[start:end], now, dates[start] - window)
            start = end
    return stale


def _look_at(platform: Platform, dates: Sequence[dt.date], now: dt.datetime, earliest: dt.date) -> list[StaleDay]:
    published = {day.run_date: day for date in dates if (day := platform.days.get(DOMAIN, date)) is not None}
    # What a day was compared with when it was published: with another window than today's, perhaps.
    first = min([earliest, *(date for day in published.values() for date in compared_with(day))])
    lines = {date: run.content_hash or "" for date, run in published_lines(platform, first, dates[-1]).items()}
    look = Look(platform.lake, platform.ledger, [f.name for f in FEEDS], published, platform.settings.settle_seconds, now, lines)
    return look.stale_days(dates)
