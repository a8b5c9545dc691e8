import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.procurement.duplicates import batches
from procurement_platform.procurement.tables import ORDER_LINES, STOCK_LINES
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order


def file(number: int, market: str, rows: int) -> LedgerFile:
    now = dt.datetime(2025, 12, 20, tzinfo=dt.UTC)
    return LedgerFile(
        str(number), "orders", DAY, market, market, market, "csv", "", 0, now, "accepted", None, rows, rows, 0, 0, None, "", None
    )


SENT = st.lists(st.tuples(st.sampled_from("ABCDE"), st.integers(0, 50)), max_size=12)


@given(SENT, SENT, st.integers(1, 100))
def test_every_market_is_in_one_batch_and_no_batch_is_too_large(
    sent: list[tuple[str, int]], before: list[tuple[str, int]], most: int
) -> None:
    today, earlier = ([file(n, market, rows) for n, (market, rows) in enumerate(each)] for each in (sent, before))
    groups = list(batches(today, earlier, most))
    assert sorted(m for group in groups for m in group) == sorted({market for market, _ in sent})
    for group in groups:
        assert len(group) == 1 or sum(rows for market, rows in (*sent, *before) if market in group) <= most


@pytest.mark.parametrize("small", [0, 100_000], ids=["a file for each market", "one file a day"])
def test_batches_find_what_one_look_finds(shop: Shop, small: int) -> None:
    shop.platform.settings = shop.platform.settings.model_copy(update={"small_day_rows": small})
    for day in (DAY, DAY + dt.timedelta(days=1)):
        for market in ("DE", "GB", "JP"):
            shop.put("orders", market, [order("1", "A", 1), order("1", "A", 1), order("2", "B", 2), order("2", "B", 3)], day=day)
        shop.put("orders", "GB", [order("9", "C", 1)], suffix="__2", day=day)
    shop.run()
    shop.run(DAY + dt.timedelta(days=1))
    whole = [shop.report(DAY + dt.timedelta(days=n)) for n in range(2)]
    assert "DUPLICATE_ORDER" in whole[1]
    assert "CONFLICTING_ORDER" in whole[1]
    shop.platform.settings = shop.platform.settings.model_copy(update={"duplicate_batch_rows": 1})
    shop.run()
    shop.run(DAY + dt.timedelta(days=1))
    assert [shop.report(DAY + dt.timedelta(days=n)) for n in range(2)] == whole
    assert ("GB", "C") not in shop.demand(DAY + dt.timedelta(days=1)) or shop.demand(DAY + dt.timedelta(days=1))["GB", "C"][
        "gross_demand"
    ] == Decimal(0)


def test_a_small_days_lines_lie_in_one_file_and_are_the_same(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 2), order("1", "A", 2), order("2", "B", 3), order("3", "C", 1)])
    shop.put("orders", "GB", [order("1", "A", 1), order("4", "B", 1), order("4", "B", 2)], suffix="__2")
    shop.put("orders", "GB", [order("7", "C", 9)])
    shop.put("stock", "DE", [count("A", 4), count("B", 1), count("B", 1)])
    shop.put("stock", "GB", [count("B", 2)])

    def made(small: int) -> tuple[tuple[int, ...], object]:
        shop.platform.settings = shop.platform.settings.model_copy(update={"small_day_rows": small})
        shop.run()
        files = tuple(len(shop.platform.catalog.files(table, DAY)) for table in (ORDER_LINES, STOCK_LINES))
        return files, (shop.csvs(), shop.report(), *(sorted(map(str, shop.rows(table))) for table in (ORDER_LINES, STOCK_LINES)))

    (many, before), (one, after) = made(0), made(100_000)
    assert (many, one) == ((3, 2), (1, 1))
    assert before == after
    # Eight accepted rows of orders, four of stock: as many as a small day may have, and one less than that.
    assert made(8) == ((1, 1), before)
    assert made(7) == ((3, 1), before)
