"""What lies in the inbox where no run looks for it: a misspelt folder swallows a market's files without a word otherwise."""

import datetime as dt
from collections.abc import Iterator, Sequence

from procurement_platform.inbox.identity import is_ignored, parse_date, printable
from procurement_platform.lake.files import Lake
from procurement_platform.texts import first_few

NAMED = 3


def strays(lake: Lake, feeds: Sequence[str], first: dt.date, last: dt.date) -> list[str]:
    """Paths below the inbox, in order: what is no feed's folder, and in a feed's what is no run date's from `first` to `last`.

    Ignored names are no strays, and a folder of another date that holds nothing else is none.
    """
    return sorted(_strays(lake, feeds, first, last))


def strays_in_words(lake: Lake, feeds: Sequence[str], first: dt.date, last: dt.date) -> str | None:
    """A sentence for people that names the first few; None where there are none."""
    if not (found := strays(lake, feeds, first, last)):
        return None
    places = " or ".join(f"inbox/{feed}/DATE" for feed in feeds)
    named = first_few([printable(path) for path in found], NAMED)
    return f"no run looks at {named}: market files go into {places}, with a run date as its name, {first} or later"


def _strays(lake: Lake, feeds: Sequence[str], first: dt.date, last: dt.date) -> Iterator[str]:
    yield from (f"inbox/{name}" for name in _names(lake, "inbox") if name not in feeds)
    yield from (f"inbox/{name}" for name in lake.files("inbox") if name in feeds)
    for feed in feeds:
        folders = set(lake.folders(f"inbox/{feed}"))
        for name in _names(lake, f"inbox/{feed}"):
            path, date = f"inbox/{feed}/{name}", parse_date(name)
            if name not in folders or date is None or (not first <= date <= last and any(_names(lake, path))):
                yield path


def _names(lake: Lake, folder: str) -> Iterator[str]:
    return (name for name in (*lake.files(folder), *lake.folders(folder)) if not is_ignored(name))
