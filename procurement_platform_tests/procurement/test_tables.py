"""The tables hold every legal day: what is legal in each row is never too much in their sums."""

from collections.abc import Iterator
from decimal import Decimal

import polars as pl
import pytest

from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement import service
from procurement_platform.procurement.reference.tables import MAX_PRICE, MAX_QUANTITY
from procurement_platform.procurement.tables import AGGREGATED_ORDERS, NET_DEMAND, SUPPLIER_ORDER_ALLOCATIONS, SUPPLIER_ORDERS, TABLES
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, NOON, Shop, order

LINES = 1_000_101  # of the largest quantity: more units than 18 digits hold
MOST = Decimal("999999999999999.999")


@pytest.fixture
def limited(home: Settings) -> Iterator[Shop]:
    """A shop whose markets send at most so many lines in a file."""
    platform = Platform(home.model_copy(update={"settle_seconds": 0.0, "max_rows_per_file": LINES}))
    yield Shop(platform)
    platform.close()


def test_the_largest_legal_lines_are_planned_and_what_is_beyond_them_is_refused_alone(limited: Shop) -> None:
    shop, limits = limited, limited.platform.settings
    largest = {"unit_price": limits.max_unit_price}
    shop.load({"supplier_products": _offer(MAX_PRICE), "planning_parameters": "sku\n"})
    _put_lines(shop, "DE", LINES, limits)
    _put_lines(shop, "JP", LINES + 1, limits)
    shop.put("orders", "GB", [order("1", "B", limits.max_quantity, **largest), order("2", "B", f"{limits.max_quantity}.001", **largest)])
    shop.all_counted()
    shop.run()

    units = Decimal(LINES * limits.max_quantity)
    assert units > MOST
    sums = {(r["market"], r["sku"]): (r["quantity"], r["revenue"], r["order_lines"]) for r in shop.rows(AGGREGATED_ORDERS)}
    assert sums == {
        ("DE", "B"): (units, units * limits.max_unit_price, LINES),
        ("GB", "B"): (limits.max_quantity, limits.max_quantity * limits.max_unit_price, 1),
    }
    assert shop.demand()["DE", "B"]["net_demand"] == units
    need = units + limits.max_quantity
    packed = -(-int(need) // 7) * 7
    [placed] = [o for o in service.orders(shop.platform, DAY) if o["sku"] == "B"]
    assert (placed["need"], placed["quantity"]) == (need, packed)
    assert placed["amount"] == packed * MAX_PRICE
    assert f",{need}.000," in shop.csvs()["S1.csv"]
    surplus = [r["quantity"] for r in shop.rows(SUPPLIER_ORDER_ALLOCATIONS) if r["sku"] == "B" and r["kind"] == "surplus"]
    assert surplus == [packed - need]
    told = [e for e in shop.exceptions() if e[0] != "MISSING_FILE"]
    assert told == [("INVALID_FILE", "JP", "", "JP.parquet", 1), ("INVALID_ROW", "GB", "B", "GB.avro", 1)]
    assert f"{LINES}" in str(shop.ledger()["orders", "JP.parquet", "rejected"].reason)


def test_parameters_of_the_largest_size_are_added_to_the_largest_demand(shop: Shop) -> None:
    """A reference table that was changed by hand holds 18 digits, whatever a load allows."""
    with shop.platform.database.transaction() as connection:
        connection.execute("UPDATE reference.planning_parameters SET safety_stock = %s WHERE sku = 'A' AND market IS NULL", (MOST,))
        connection.execute("UPDATE reference.supplier_products SET moq = %s, pack_size = %s WHERE sku = 'A'", (MOST, MOST))
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.all_counted()
    shop.run()
    assert shop.demand()["DE", "A"]["net_demand"] == MOST + 1
    assert shop.orders()["A"] == ("S1", 3 * MOST)  # DE, GB and JP: two of the parameters for all, and 5; one unit more than two packs


@pytest.mark.parametrize(
    "table", [AGGREGATED_ORDERS, NET_DEMAND, SUPPLIER_ORDERS, SUPPLIER_ORDER_ALLOCATIONS], ids=lambda table: table.name
)
def test_only_what_one_row_of_the_reference_states_is_narrow(table: Table) -> None:
    narrow = {c.name for c in table.columns if c.type.startswith("decimal(18")}
    assert narrow <= {"safety_stock", "pack_size", "moq", "unit_price"}


def test_no_number_of_rows_that_a_day_can_have_fills_the_sums() -> None:
    """The highest that settings allow in one line, times a million million lines of one SKU."""
    lines = 10**12
    quantity, price = (
        next(rule.le for rule in Settings.model_fields[name].metadata if hasattr(rule, "le")) for name in ("max_quantity", "max_unit_price")
    )
    assert lines * quantity < 10 ** (38 - 3)
    assert lines * quantity * price < 10 ** (38 - 4)
    assert lines * quantity * MAX_PRICE <= 10 ** (38 - 7)  # a product has 7 places before it is rounded


def test_every_table_says_what_its_columns_mean() -> None:
    for table in TABLES:
        assert all(column.doc.endswith(".") for column in table.columns), table.name
        assert set(table.key) <= {column.name for column in table.columns}, table.name
    assert Settings.model_fields["max_quantity"].default == MAX_QUANTITY


def _offer(price: int) -> str:
    return f"supplier_id,sku,priority,min_quantity,unit_price,moq,pack_size\nS1,B,1,0,{price},0,7\n"


def _put_lines(shop: Shop, market: str, lines: int, limits: Settings) -> None:
    numbers = pl.int_range(lines, eager=True)
    frame = pl.select(
        order_id=numbers.cast(pl.String),
        market=pl.lit(market),
        sku=pl.lit("B"),
        quantity=pl.lit(limits.max_quantity).cast(pl.Decimal(18, 3)),
        unit_price=pl.lit(limits.max_unit_price).cast(pl.Decimal(18, 4)),
        ordered_at=pl.lit(NOON),
    )
    path = shop.put_bytes("orders", f"{market}.parquet", b"")
    frame.write_parquet(path, compression_level=1)
