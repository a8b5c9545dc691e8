"""A day's rows: as many as asked for, each valid, the same for the same seed, few products making most of it."""

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from procurement_platform.procurement.simulator.demand import ROWS, order_tables, stock_tables
from procurement_platform.procurement.simulator.reference_set import make_reference
from procurement_platform.procurement.simulator.world import Market, World, world_of

SATURDAY, SUNDAY = dt.date(2025, 12, 20), dt.date(2025, 12, 21)
WORLD: World = world_of(make_reference(8, 300, 10), SATURDAY)
MARKETS = {market.code: market for market in WORLD.markets}
DE = MARKETS["DE"]


def orders(lines: int = 20_000, *, market: Market = DE, day: dt.date = SATURDAY, seed: int = 1, one_line: bool = False) -> pl.DataFrame:
    return pl.concat(pl.DataFrame(table) for table in order_tables(WORLD, market, day, lines, seed, one_line=one_line))


def stock(*, market: Market = DE, seed: int = 1, warehouses: int = 2) -> pl.DataFrame:
    return pl.concat(pl.DataFrame(table) for table in stock_tables(WORLD, market, SATURDAY, 20_000, seed, warehouses))


@pytest.mark.parametrize("lines", [0, 1, ROWS, ROWS + 1])
def test_there_are_as_many_lines_as_asked_for_in_tables_of_bounded_size(lines: int) -> None:
    tables = list(order_tables(WORLD, DE, SATURDAY, lines, 1))
    assert sum(table.num_rows for table in tables) == lines
    assert tables
    assert max(table.num_rows for table in tables) <= ROWS


@pytest.mark.parametrize("one_line", [False, True])
def test_every_line_has_a_key_of_its_own(one_line: bool) -> None:
    lines = orders(ROWS + 1000, one_line=one_line)
    key = ["order_id"] if one_line else ["order_id", "line_number"]
    assert not lines.select(key).is_duplicated().any()
    if not one_line:
        per_order = lines.group_by("order_id").agg(
            pl.len(), pl.col("customer_id", "ordered_at").n_unique().name.suffix("s"), pl.col("line_number").sort()
        )
        assert per_order["len"].max() == 5
        assert per_order["customer_ids"].max() == per_order["ordered_ats"].max() == 1
        assert per_order.filter(pl.col("line_number").list.first() != 1).is_empty()


def test_days_markets_seeds_and_series_share_no_order_number() -> None:
    numbers = [orders(50)["order_id"], orders(50, day=SUNDAY)["order_id"], orders(50, market=MARKETS["FR"])["order_id"]]
    numbers.append(pl.DataFrame(next(order_tables(WORLD, DE, SATURDAY, 50, 1, series="H01")))["order_id"])
    assert len(set().union(*(each.to_list() for each in numbers))) == sum(each.n_unique() for each in numbers)


def test_the_same_seed_gives_the_same_rows_and_another_does_not() -> None:
    assert orders().equals(orders())
    assert not orders().equals(orders(seed=2))
    assert not orders().equals(orders(seed=-1))
    assert stock().equals(stock())
    assert not stock().equals(stock(seed=2))


@pytest.mark.parametrize("market", WORLD.markets, ids=lambda market: market.code)
def test_orders_lie_in_the_window_of_the_market_s_own_day(market: Market) -> None:
    local = orders(5000, market=market)["ordered_at"].dt.convert_time_zone(market.timezone).dt.date()
    assert SATURDAY - dt.timedelta(7) <= local.min() <= local.max() == SATURDAY  # type: ignore[operator]
    assert (local == SATURDAY).mean() > 0.95  # type: ignore[operator]


def test_a_day_of_23_hours_has_orders_of_that_day_only() -> None:
    spring = dt.date(2025, 3, 30)
    local = orders(5000, day=spring)["ordered_at"].dt.convert_time_zone("Europe/Berlin")
    assert local.max() < dt.datetime(2025, 3, 31, tzinfo=ZoneInfo("Europe/Berlin"))  # type: ignore[operator]


def test_quantities_and_prices_are_plausible() -> None:
    lines = orders().with_columns(whole=pl.col("quantity") == pl.col("quantity").floor())
    by_weight = {sku for sku, whole in zip(WORLD.skus.to_pylist(), WORLD.whole, strict=True) if not whole}
    assert lines["quantity"].min() > 0  # type: ignore[operator]
    assert lines["unit_price"].min() > 0  # type: ignore[operator]
    assert lines.filter(~pl.col("sku").is_in(by_weight))["whole"].all()
    assert not lines.filter(pl.col("sku").is_in(by_weight))["whole"].all()
    assert set(lines["sku"]) <= set(WORLD.skus.to_pylist())
    assert set(lines["currency"]) == {"EUR"}
    assert 0.2 < lines["customer_id"].null_count() / lines.height < 0.4


def test_few_products_make_most_of_the_demand_and_not_the_same_everywhere() -> None:
    counts = orders()["sku"].value_counts(sort=True)
    assert counts.head(30)["count"].sum() > 0.4 * 20_000
    assert counts["sku"][0] != orders(market=MARKETS["JP"])["sku"].value_counts(sort=True)["sku"][0]


def test_weekends_differ() -> None:
    assert float(orders()["quantity"].sum()) > 1.3 * float(orders(day=SUNDAY)["quantity"].sum())


def test_stock_is_sound_and_covers_some_demand_but_not_all() -> None:
    counted = stock()
    assert (counted["reserved"] <= counted["available"]).all()
    assert counted["reserved"].min() >= 0  # type: ignore[operator]
    assert counted["reserved"].sum() > 0
    assert not counted.select("sku", "warehouse").is_duplicated().any()
    assert set(counted["warehouse"]) == {"DE-W1", "DE-W2"}
    assert 280 <= counted["sku"].n_unique() < len(WORLD.skus)
    demand = orders().group_by("sku").agg(pl.col("quantity").sum())
    usable = counted.group_by("sku").agg((pl.col("available") - pl.col("reserved")).sum())
    short = demand.join(usable, on="sku").select(pl.col("quantity") > pl.col("available"))["quantity"]
    assert 0.2 < short.mean() < 0.9  # type: ignore[operator]
    assert (counted["counted_at"].dt.convert_time_zone("Europe/Berlin").dt.date() == SATURDAY).all()
