"""What lies in the inbox where no run looks for it: a misspelt folder swallows a market's files without a word otherwise."""

import datetime as dt
import re
from collections.abc import Iterator, Sequence

from procurement_platform.inbox.identity import is_ignored, printable
from procurement_platform.lake.files import Lake

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
NAMED = 3


def strays(lake: Lake, feeds: Sequence[str]) -> list[str]:
    """Paths below the inbox, in order: what is no feed's folder, and in a feed's what is no run date's. Ignored names are no strays."""
    return sorted(_strays(lake, feeds))


def in_words(found: Sequence[str]) -> str:
    """A sentence for people that names the first few."""
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    named = ", ".join(printable(path) for path in found[:NAMED])
    return f"no run looks at {named}{more}: market files go into inbox/orders/DATE or inbox/stock/DATE, with a date such as 2025-12-20"


def _strays(lake: Lake, feeds: Sequence[str]) -> Iterator[str]:
    yield from (f"inbox/{name}" for name in _names(lake, "inbox") if name not in feeds)
    yield from (f"inbox/{name}" for name in lake.files("inbox") if name in feeds)
    for feed in feeds:
        folders = set(lake.folders(f"inbox/{feed}"))
        yield from (f"inbox/{feed}/{name}" for name in _names(lake, f"inbox/{feed}") if name not in folders or not _is_date(name))


def _names(lake: Lake, folder: str) -> Iterator[str]:
    return (name for name in (*lake.files(folder), *lake.folders(folder)) if not is_ignored(name))


def _is_date(name: str) -> bool:
    try:
        return _DATE.fullmatch(name) is not None and dt.date.fromisoformat(name) is not None
    except ValueError:
        return False
