import datetime as dt
from pathlib import Path

import pytest

from procurement_platform.inbox.strays import strays, strays_in_words
from procurement_platform.lake.files import Lake

FEEDS = ("orders", "stock")
DATES = (dt.date(2025, 1, 1), dt.date(2025, 12, 27))


@pytest.mark.parametrize(
    ("path", "stray"),
    [
        ("orders/2025-12-20/DE.csv", None),
        ("orders/2025-12-20/anything at all", None),  # a run of the day tells of it
        ("_simulated/2025-12-20.sha256", None),
        ("orders/.hidden/DE.csv", None),
        ("orders/DE.csv.part", None),
        ("order/2025-12-20/DE.csv", "inbox/order"),
        ("Orders/2025-12-20/DE.csv", "inbox/Orders"),
        ("DE.csv", "inbox/DE.csv"),
        ("stock/DE.csv", "inbox/stock/DE.csv"),
        ("stock", "inbox/stock"),
        ("orders/20.12.2025/DE.csv", "inbox/orders/20.12.2025"),
        ("orders/2025-02-30/DE.csv", "inbox/orders/2025-02-30"),
        ("orders/20251220/DE.csv", "inbox/orders/20251220"),
        ("orders/2025-12-20", "inbox/orders/2025-12-20"),
        ("orders/2025-01-01/DE.csv", None),
        ("orders/2024-12-31/DE.csv", "inbox/orders/2024-12-31"),
        ("stock/2025-12-27/DE.csv", None),
        ("stock/2205-12-20/DE.csv", "inbox/stock/2205-12-20"),
        ("stock/2205-12-20/DE.csv.part", None),
    ],
)
def test_what_no_run_looks_at_is_named(tmp_path: Path, path: str, stray: str | None) -> None:
    file = tmp_path / "inbox" / path
    file.parent.mkdir(parents=True)
    file.write_text("x")
    assert strays(Lake(str(tmp_path)), FEEDS, *DATES) == ([] if stray is None else [stray])


def test_an_inbox_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert strays(Lake(str(tmp_path)), FEEDS, *DATES) == []


def test_the_first_few_are_named_with_the_remedy(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    assert strays_in_words(lake, FEEDS, *DATES) is None
    for name in "abcde":
        lake.write(f"inbox/{name}", b"")
    assert strays_in_words(lake, FEEDS, *DATES) == (
        "no run looks at 'inbox/a', 'inbox/b', 'inbox/c' and 2 more: market files go into inbox/orders/DATE or inbox/stock/DATE, "
        "with a run date as its name, 2025-01-01 or later"
    )
    lake.write("inbox/\x1b[31m", b"")
    told = strays_in_words(lake, FEEDS, *DATES)
    assert told is not None
    assert "no run looks at 'inbox/\\x1b[31m', " in told
