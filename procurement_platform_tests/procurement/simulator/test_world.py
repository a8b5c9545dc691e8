"""Who takes part in a simulated day."""

import datetime as dt
from collections.abc import Mapping

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.errors import ConfigurationError
from procurement_platform.procurement.simulator.reference_set import make_reference
from procurement_platform.procurement.simulator.world import World, world_of

DAY = dt.date(2025, 12, 20)
REFERENCE: Mapping[str, pa.Table] = make_reference(8, 300, 10)


def world(markets: int | None = None, skus: int | None = None, day: dt.date = DAY) -> World:
    return world_of(REFERENCE, day, markets, skus)


def test_all_that_is_active_takes_part() -> None:
    everything = world()
    assert [market.code for market in everything.markets] == ["BR", "DE", "FR", "GB", "JP", "PL", "SE", "US"]
    assert len(everything.skus) + len(everything.inactive) == 300
    assert len(everything.inactive) == 6
    assert not set(everything.skus.to_pylist()) & set(everything.inactive)
    assert len(world(day=dt.date(2030, 1, 1)).inactive) == 3


def test_fewer_products_are_an_even_choice() -> None:
    few = world(skus=24)
    assert len(few.skus) == len(few.whole) == len(few.cost) == 24
    assert len({str(sku)[:3] for sku in few.skus.to_pylist()}) >= 10
    assert [market.code for market in world(markets=2).markets] == ["BR", "DE"]


@pytest.mark.parametrize(("markets", "skus", "what"), [(9, None, "8 markets"), (None, 295, "294 products")])
def test_more_than_there_are_is_refused(markets: int | None, skus: int | None, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the reference tables have {what} active on 2025-12-20"):
        world(markets, skus)


def test_nobody_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 markets active"):
        world_of({name: table.slice(0, 0) for name, table in REFERENCE.items()}, DAY)


@given(st.integers(0, 10**9), st.integers(1, 8))
def test_every_order_line_is_some_market_s(orders: int, markets: int) -> None:
    shares = world(markets).lines(orders)
    assert sum(shares.values()) == orders
    assert all(lines >= 0 for lines in shares.values())
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_midnight_is_the_market_s_own() -> None:
    starts = {market.code: market.midnight(DAY) for market in world().markets}
    utc = int(dt.datetime(2025, 12, 20, tzinfo=dt.UTC).timestamp() * 1e6)
    assert {code: (utc - start) // 3_600_000_000 for code, start in starts.items()} == {
        "BR": -3, "DE": 1, "FR": 1, "GB": 0, "JP": 9, "PL": 1, "SE": 1, "US": -5,
    }  # fmt: skip


def test_prices_are_whole_in_the_currency_s_smallest_coin() -> None:
    everything = world()
    least = {market.code: 10_000 if market.currency == "JPY" else 100 for market in everything.markets}
    for market in everything.markets:
        prices = everything.prices(market)
        assert (prices > 0).all()
        assert (prices % least[market.code] == 0).all()
