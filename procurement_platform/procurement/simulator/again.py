"""A day that is simulated once more: the files of the simulation before make way, also where a run received them."""

import datetime as dt
from pathlib import Path

from procurement_platform.database.locks import DayLock
from procurement_platform.inbox.identity import FileIdentity, parse_name
from procurement_platform.lake.files import Lake
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.simulator.written import noted, sha256_if_readable

WHY = "the day was simulated again without it"


def clear(lake: Lake, day: dt.date) -> list[str]:
    """Removes from the inbox what a simulation wrote for the day and nobody changed since; their paths relative to the inbox."""
    own = noted(lake, day)
    unchanged = sorted(path for path in own if sha256_if_readable(lake, path) in own[path])
    for path in unchanged:
        if lake.local:
            Path(lake.path("inbox", path)).unlink()  # a link, and not what it leads to
        else:
            lake.remove(f"inbox/{path}")
    return unchanged


def settle(platform: Platform, day: dt.date) -> list[str]:
    """Makes the ledger follow: simulated files in use that lie in the inbox no more are withdrawn, and withdrawn ones that do count again.

    Returns the paths of those withdrawn, relative to the inbox.

    Raises:
        DayBusy: the day is being run.
    """
    lake, own = platform.lake, noted(platform.lake, day)
    there = {(feed.name, name) for feed in FEEDS for name in _names(lake, feed.name, day)}
    withdrawn = []
    with DayLock.acquire(platform.database, DOMAIN, day, "procurement: simulating the day again"):
        for file in platform.ledger.files(day, states=("accepted", "rejected", "withdrawn")):
            path = f"{file.feed}/{day.isoformat()}/{file.file_name}"
            if file.sha256 not in own.get(path, ()):
                continue
            if file.state == "withdrawn":
                if file.withdrawn_why == WHY and sha256_if_readable(lake, path) == file.sha256:
                    platform.ledger.reinstate(file.file_id, platform.settings.who)
            elif not lake.exists(f"inbox/{path}") and (file.feed, file.name) not in there:
                platform.ledger.withdraw(file, platform.settings.who, WHY)
                withdrawn.append(path)
    return withdrawn


def _names(lake: Lake, feed: str, day: dt.date) -> list[str]:
    found = (parse_name(feed, day, name) for name in lake.files(f"inbox/{feed}/{day.isoformat()}"))
    return [each.name for each in found if isinstance(each, FileIdentity)]
