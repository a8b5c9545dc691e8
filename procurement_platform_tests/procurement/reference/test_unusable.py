"""Offers that no order can ever use are told, and only those."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.load import load_reference
from procurement_platform.procurement.reference.read import read_table
from procurement_platform.procurement.reference.tables import SUPPLIER_PRODUCTS
from procurement_platform.procurement.reference.unusable import told, unusable_offers
from procurement_platform_tests.procurement.reference.test_load import SET, put

HEADER = "supplier_id,sku,priority,unit_price,moq,min_quantity,pack_size,max_order_quantity\n"


@pytest.mark.parametrize(
    ("cells", "least"),
    [
        ("10,0,6,11", "12 (moq 10, min_quantity 0, pack_size 6)"),
        ("0,0,100,99.999", "100 (moq 0, min_quantity 0, pack_size 100)"),
        ("0,50,1,40", "50 (moq 0, min_quantity 50, pack_size 1)"),
        ("0.3,0,0.2,0.399", "0.4 (moq 0.3, min_quantity 0, pack_size 0.2)"),
        ("10,0,6,12", None),
        ("10,0,6,", None),
        ("999999999.999,0,0.007,1000000000", None),
    ],
)
def test_an_offer_is_never_used_where_its_least_order_is_above_the_most(tmp_path: Path, cells: str, least: str | None) -> None:
    path = tmp_path / "supplier_products.csv"
    path.write_text(f"{HEADER}S,B,1,1,,,,\nS,A,1,1,{cells}\nT,A,0,1,10,0,6,11\n")
    most = cells.rpartition(",")[2]
    expected = (
        f"supplier_products.csv row 2, max_order_quantity '{most}': never used, as the least order from S of A is {least}; "
        "raise it, or lower those"
    )
    assert [str(problem) for problem in told(read_table(path, SUPPLIER_PRODUCTS))] == ([expected] if least else [])


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 50), st.integers(1, 300))
def test_that_is_so_where_no_need_is_ever_ordered(moq: int, low: int, pack: int, most: int) -> None:
    tenths = {"moq": moq, "min_quantity": low, "pack_size": pack, "max_order_quantity": most}
    frame = pl.DataFrame([{name: Decimal(n) / 10 for name, n in tenths.items()}], schema=dict.fromkeys(tenths, pl.Decimal(18, 3)))
    orders = (-(-max(need, moq) // pack) * pack for need in range(1, 400))
    ever = any(low <= order <= most for order in orders)
    assert unusable_offers(frame.with_columns(priority=1)).is_empty() == ever


def test_such_an_offer_is_loaded_all_the_same(database: Database, tmp_path: Path) -> None:
    report = load_reference(database, put(tmp_path / "set", **SET | {"supplier_products": f"{HEADER}S,A,1,1.5,10,0,6,11\n"}))
    (warning,) = report.warnings
    assert warning.startswith("supplier_products.csv row 1, max_order_quantity '11': never used")
    assert report.changes["supplier_products"].after == 1
    assert load_reference(database, put(tmp_path / "set", **SET)).warnings == ()
