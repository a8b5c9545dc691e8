"""Which days of the domain must be run again: their files changed, or the lines of the days that their orders were compared with."""

import datetime as dt
from collections.abc import Sequence

from procurement_platform.inbox.late import Look, StaleDay, touched_dates
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.tables import ORDER_LINES

_RECENTLY = dt.timedelta(days=1)


def stale_days(platform: Platform, now: dt.datetime) -> list[StaleDay]:
    """The days to run again, oldest first.

    Looks at every day of the late window, at older ones whose inbox changed or of which a file was withdrawn since they were published, and
    at those that follow an older one that was run of late.
    """
    settings, feeds = platform.settings, [feed.name for feed in FEEDS]
    last = settings.today()
    first = max(last - dt.timedelta(days=settings.late_window_days), settings.start_date)
    times = platform.days.times(DOMAIN)
    dates = {first + dt.timedelta(days=n) for n in range((last - first).days + 1)}
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


def _following(platform: Platform, run_date: dt.date) -> list[dt.date]:
    return [run_date + dt.timedelta(days=n) for n in range(1, platform.settings.duplicate_window_days + 1)]


def _look(platform: Platform, dates: Sequence[dt.date], now: dt.datetime) -> list[StaleDay]:
    if not dates:
        return []
    window = dt.timedelta(days=platform.settings.duplicate_window_days)
    published = {day.run_date: day for date in dates if (day := platform.days.get(DOMAIN, date)) is not None}
    lines = platform.registry.contents(ORDER_LINES.name, dates[0] - window, dates[-1])
    look = Look(platform.lake, platform.ledger, [f.name for f in FEEDS], published, platform.settings.settle_seconds, now, lines)
    return look.stale_days(dates)
