"""The sample set: realistic, and showing each kind of case a buyer meets."""

import csv
import datetime as dt
from collections import defaultdict
from pathlib import Path

import procurement_platform
from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.sample import SAMPLE, ensure_sample

DAY = "2025-12-20"


def rows(name: str) -> list[dict[str, str]]:
    with (SAMPLE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_lies_inside_the_package_so_that_a_wheel_has_it() -> None:
    assert Path(procurement_platform.__file__).parent in SAMPLE.parents
    assert sorted(path.name for path in SAMPLE.glob("*.csv")) == [
        "markets.csv",
        "planning_parameters.csv",
        "products.csv",
        "supplier_products.csv",
        "suppliers.csv",
    ]


def test_an_empty_database_gets_it_once(database: Database) -> None:
    assert ensure_sample(database) is True
    assert ensure_sample(database) is False
    with database.transaction() as connection:
        connection.execute("DELETE FROM reference.planning_parameters")
    assert ensure_sample(database) is False


def test_sizes_and_variety() -> None:
    markets, products, suppliers = rows("markets"), rows("products"), rows("suppliers")
    assert (len(markets), len(products), len(suppliers)) == (8, 500, 25)
    assert len({market["timezone"] for market in markets}) == 8
    assert any(not market["timezone"].startswith("Europe/") for market in markets)
    assert len({market["currency"] for market in markets}) >= 6
    assert {"withhold", "compute"} == {market["when_missing"] for market in markets}
    assert len({supplier["currency"] for supplier in suppliers}) >= 8
    assert {"piece", "kg", "bottle"} == {product["uom"] for product in products}
    assert len({product["name"] for product in products}) == 500


def test_offers_have_breaks_packs_and_times() -> None:
    offers = rows("supplier_products")
    suppliers = defaultdict(set)
    for offer in offers:
        suppliers[offer["sku"]].add(offer["supplier_id"])
    assert {len(each) for each in suppliers.values()} == {1, 2, 3}
    assert any(offer["min_quantity"] != "0" for offer in offers)
    assert any(offer["max_order_quantity"] for offer in offers)
    assert len({offer["pack_size"] for offer in offers}) > 5
    assert any(offer["valid_to"] and offer["valid_to"] < DAY for offer in offers)
    assert any(offer["valid_from"] > DAY for offer in offers)


def test_a_handful_of_products_has_no_valid_supplier() -> None:
    day = dt.date.fromisoformat(DAY).isoformat()
    gone = {supplier["supplier_id"] for supplier in rows("suppliers") if supplier["active_to"] and supplier["active_to"] < day}
    served = {
        offer["sku"]
        for offer in rows("supplier_products")
        if offer["priority"] != "0"
        and offer["supplier_id"] not in gone
        and (offer["valid_from"] or day) <= day <= (offer["valid_to"] or day)
    }
    assert 3 <= len({product["sku"] for product in rows("products")} - served) <= 10


def test_some_safety_stock_is_a_market_s_own() -> None:
    parameters = rows("planning_parameters")
    assert {bool(row["market"]) for row in parameters} == {True, False}
