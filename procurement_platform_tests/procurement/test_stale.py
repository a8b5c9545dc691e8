import datetime as dt
from collections.abc import Sequence

import pytest

from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.procurement.handing_in import hand_in, withdraw
from procurement_platform.procurement.stale import OLD_DATES_PER_LOOK, old_dates, stale_after, stale_days
from procurement_platform.procurement.tables import ORDER_LINES
from procurement_platform_tests.procurement.shop import DAY, Shop, order

NEXT = DAY + dt.timedelta(days=1)


def test_the_days_after_a_changed_one_are_named_until_they_are_run_again(shop: Shop) -> None:
    now = dt.datetime.now(dt.UTC)
    shop.run(NEXT)
    assert stale_after(shop.platform, DAY, now) == []
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    assert [day.run_date for day in stale_after(shop.platform, DAY, now)] == [NEXT]
    shop.run(NEXT)
    assert stale_after(shop.platform, DAY, now) == []


def test_a_smaller_window_makes_no_day_stale(shop: Shop) -> None:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    for day in (DAY, DAY + dt.timedelta(days=3)):
        shop.put("orders", "DE", [order(f"{day}", "A", 1, ordered_at=f"{day}T09:00:00Z")], day=day)
        shop.run(day)
    shop.platform.settings = shop.platform.settings.model_copy(update={"duplicate_window_days": 1})
    assert stale_days(shop.platform, now, [DAY, DAY + dt.timedelta(days=3)]) == []
    shop.put("orders", "DE", [order("other", "A", 1)])
    shop.run()
    [stale] = stale_days(shop.platform, now, [DAY, DAY + dt.timedelta(days=3)])
    assert (stale.run_date, stale.why) == (DAY + dt.timedelta(days=3), f"the lines of {DAY} changed, which its orders were compared with")


def test_a_day_long_ago_is_stale_once_a_file_of_it_is_withdrawn_and_once_it_is_put_in_again(shop: Shop) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    path = shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    assert stale_days(shop.platform, later) == []
    withdraw(shop.platform, "DE.avro", "wrong month")
    assert [(day.run_date, day.why) for day in stale_days(shop.platform, later)] == [(DAY, "no longer in use: orders DE.avro")]
    shop.run()
    assert stale_days(shop.platform, later) == []
    hand_in(shop.platform, path, "orders", "DE", DAY)
    assert [(day.run_date, day.why) for day in stale_days(shop.platform, later)] == [(DAY, "new: orders DE.avro")]
    shop.run()
    assert stale_days(shop.platform, later) == []


def test_a_day_long_ago_is_stale_once_a_file_comes(shop: Shop) -> None:
    # The platform's today is far beyond the late window of this day: its folder's own time tells.
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    assert stale_days(shop.platform, later) == []
    shop.put("orders", "DE", [order("1", "A", 1)])
    assert [(day.run_date, day.why) for day in stale_days(shop.platform, later)] == [(DAY, "never published")]


def test_a_published_day_whose_inbox_folders_are_moved_away_is_what_it_was(shop: Shop) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.put("orders", "DE", [order("1", "A", 1), order("2", "B", 7)], suffix="__late")
    shop.put_bytes("orders", "GB.avro", b"no Avro file")
    shop.all_counted()
    shop.run()
    before = shop.csvs(), shop.report(), shop.demand()
    for feed in ("orders", "stock"):
        (shop.inbox / feed / DAY.isoformat()).rename(shop.platform.settings.home / feed)
    assert stale_days(shop.platform, later, [DAY]) == []
    shop.run()
    assert (shop.csvs(), shop.report(), shop.demand()) == before
    shop.put("orders", "DE", [order("3", "C", 2)], suffix="__later")
    assert [day.why for day in stale_days(shop.platform, later)] == ["new: orders DE__later.avro"]
    shop.run()
    assert {row["order_id"] for row in shop.rows(ORDER_LINES)} == {"1", "2", "3"}


def test_dates_that_lie_far_apart_are_read_apart(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a date of last year costs nothing for the days between."""
    asked: list[tuple[dt.date, dt.date | None]] = []
    files = shop.platform.ledger.files

    def noted(first: dt.date, last: dt.date | None = None, states: Sequence[str] = ()) -> list[LedgerFile]:
        asked.append((first, last))
        return files(first, last, states)

    monkeypatch.setattr(shop.platform.ledger, "files", noted)
    old = [dt.date(2025, 2, 1), dt.date(2025, 2, 3), dt.date(2025, 6, 1)]
    assert stale_days(shop.platform, dt.datetime.now(dt.UTC), old) == []
    assert asked[:2] == [(old[0], old[1]), (old[2], old[2])]
    assert len(asked) == 3
    last = shop.platform.settings.today()
    assert asked[2] == (last - dt.timedelta(days=shop.platform.settings.late_window_days), last)


def test_old_dates_are_looked_at_in_turn(shop: Shop) -> None:
    dates = [dt.date(2025, 3, 1) + dt.timedelta(days=2 * n) for n in range(OLD_DATES_PER_LOOK + 5)]
    for number, date in enumerate(dates):
        (shop.inbox / ("orders", "stock")[number % 2] / date.isoformat()).mkdir(parents=True)
    (shop.inbox / "stock" / dates[0].isoformat()).mkdir()
    (shop.inbox / "orders" / "no date").mkdir()
    (shop.inbox / "orders" / shop.platform.settings.today().isoformat()).mkdir()  # in the late window: looked at every time
    first = old_dates(shop.platform, None)
    assert first == dates[:OLD_DATES_PER_LOOK]
    assert old_dates(shop.platform, first[-1]) == [*dates[OLD_DATES_PER_LOOK:], *dates[: OLD_DATES_PER_LOOK - 5]]
    assert old_dates(shop.platform, dates[-1]) == first
