import datetime as dt
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.procurement.duplicates import batches
from procurement_platform_tests.procurement.shop import DAY, Shop, order


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


def test_batches_find_what_one_look_finds(shop: Shop) -> None:
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
