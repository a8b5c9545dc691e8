"""What is known of a market's stock, and what is planned where it is not: nothing is ordered without a count. On both profiles."""

from decimal import Decimal

import pytest

from procurement_platform.procurement import service
from procurement_platform.procurement.handing_in import withdraw
from procurement_platform.procurement.tables import STOCK_LINES
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order


@pytest.fixture
def shop(either_shop: Shop) -> Shop:
    return either_shop


def test_a_missing_stock_file_withholds_and_says_how_many_units(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted(except_for=["DE"])
    shop.run()
    assert shop.demand()["DE", "B"]["net_demand"] is None
    assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    assert "B" not in shop.orders()
    [unknown] = [r for r in service.exceptions(shop.platform, DAY) if r["rule"] == "STOCK_UNKNOWN"]
    assert (unknown["market"], unknown["sku"], unknown["units"], unknown["severity"]) == ("DE", "B", Decimal(7), "HIGH")
    assert ("MISSING_FILE", "DE", "", "", 1) in shop.exceptions()


def test_a_market_that_computes_when_missing_is_planned_as_without_stock(shop: Shop) -> None:
    shop.load(
        {"markets": "market,name,currency,timezone,when_missing\nDE,Germany,EUR,Europe/Berlin,compute\n", "planning_parameters": "sku\n"}
    )
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    assert shop.orders()["B"] == ("S1", Decimal(7))
    assert "STOCK_UNKNOWN" not in {e[0] for e in shop.exceptions()}


def test_more_reserved_than_available_counts_zero_and_is_told(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.put("stock", "DE", [count("B", 3, 5, warehouse="x"), count("B", 4, 1, warehouse="y")])
    shop.all_counted(except_for=["DE"])
    shop.run()
    assert (shop.demand()["DE", "B"]["usable"], shop.demand()["DE", "B"]["net_demand"]) == (Decimal(3), Decimal(4))
    assert ("STOCK_LOGIC", "DE", "B", "DE.avro", 1) in shop.exceptions()


def test_conflicting_counts_make_the_skus_stock_unknown(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.put("stock", "DE", [count("B", 1), count("B", 2), count("A", 5)])
    shop.all_counted(except_for=["DE"])
    shop.run()
    assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    assert [r["sku"] for r in shop.rows(STOCK_LINES) if r["market"] == "DE"] == ["A"]


def test_a_sku_whose_only_stock_row_is_quarantined_is_planned_without_an_order_that_day(shop: Shop) -> None:
    markets = "market,name,currency,timezone,when_missing\nDE,Germany,EUR,Europe/Berlin,withhold\nGB,Britain,GBP,Europe/London,compute\n"
    shop.load({"markets": markets, "planning_parameters": "sku,market,safety_stock\nA,,2\nB,,5\n"})
    for market in ("DE", "GB"):
        shop.put("stock", market, [count("A", -1), count("B", 1), count("B", 2), count("C", 1)])
    shop.run()
    demand = {pair: (row["stock_basis"], row["net_demand"]) for pair, row in shop.demand().items()}
    assert demand == {
        ("DE", "A"): ("unknown", None),
        ("DE", "B"): ("unknown", None),
        ("DE", "C"): ("counted", Decimal(0)),
        ("GB", "A"): ("unknown", Decimal(2)),
        ("GB", "B"): ("unknown", Decimal(5)),
        ("GB", "C"): ("counted", Decimal(0)),
    }
    withheld = {r["sku"]: r["units"] for r in service.exceptions(shop.platform, DAY) if r["rule"] == "STOCK_UNKNOWN"}
    assert withheld == {"A": Decimal(2), "B": Decimal(5)}
    assert shop.orders() == {"A": ("S1", Decimal(12)), "B": ("S1", Decimal(5))}


def test_a_stock_row_whose_sku_cannot_be_read_makes_the_uncounted_unknown(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("1", "C", 1)])
    shop.put_bytes("stock", "DE.csv", b"market,sku,available,reserved\nDE,C,0,0\nDE,,5,0\n")
    shop.all_counted(except_for=["DE"])
    shop.run()
    assert (shop.demand()["DE", "B"]["stock_basis"], shop.demand()["DE", "C"]["stock_basis"]) == ("unknown", "counted")


def test_what_a_withdrawn_stock_file_counted_is_unknown_until_it_is_counted_again(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 2), order("2", "B", 3), order("3", "C", 4)])
    shop.put("stock", "DE", [count("A", 50)], suffix="__north")
    shop.put("stock", "DE", [count("B", 50)], suffix="__south")
    shop.run()
    bases = {sku: shop.demand()["DE", sku]["stock_basis"] for sku in "ABC"}
    assert bases == {"A": "counted", "B": "counted", "C": "zero"}
    withdraw(shop.platform, "DE__south.avro", "wrong count")
    shop.run()
    bases = {sku: shop.demand()["DE", sku]["stock_basis"] for sku in "ABC"}
    assert bases == {"A": "counted", "B": "unknown", "C": "unknown"}
    told = [r for r in service.exceptions(shop.platform, DAY) if (r["rule"], r["market"]) == ("STOCK_UNKNOWN", "DE")]
    assert [(r["sku"], r["units"]) for r in told] == [("B", Decimal(3)), ("C", Decimal(4))]
    assert all("its stock file is missing, rejected or withdrawn" in str(r["message"]) for r in told)
    assert "B" not in shop.orders()
    shop.put("stock", "DE", [count("B", 1)], suffix="__south")
    shop.run()
    bases = {sku: shop.demand()["DE", sku]["stock_basis"] for sku in "ABC"}
    assert bases == {"A": "counted", "B": "counted", "C": "zero"}
    assert shop.orders()["B"] == ("S1", Decimal(2))


def test_a_stock_file_that_was_withdrawn_and_never_counted_makes_nothing_unknown(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 2), order("2", "B", 3)])
    shop.put("stock", "DE", [count("A", 50)])
    shop.put_bytes("stock", "DE__south.avro", b"not Avro")
    shop.run()
    assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    withdraw(shop.platform, "DE__south.avro", "sent by mistake")
    shop.run()
    assert shop.demand()["DE", "B"]["stock_basis"] == "zero"


def test_a_stock_file_of_which_no_row_can_be_used_does_not_say_that_all_is_sold_out(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 2), order("2", "B", 3)])
    shop.put("stock", "DE", [count("A   ", 50), count("B   ", 50)])
    shop.run()
    assert {sku: shop.demand()["DE", sku]["stock_basis"] for sku in "AB"} == {"A": "unknown", "B": "unknown"}
    rules = {rule for rule, market, *_ in shop.exceptions() if market == "DE"}
    assert rules == {"UNKNOWN_PRODUCT", "STOCK_UNKNOWN", "MISSING_FILE"}
    shop.put("stock", "DE", [count("A   ", 50), count("B", 50)])
    shop.run()
    assert {sku: shop.demand()["DE", sku]["stock_basis"] for sku in "AB"} == {"A": "zero", "B": "counted"}


def test_a_stock_file_without_rows_orders_nothing(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 25)])
    shop.put_bytes("stock", "DE.csv", b"market,sku,available,reserved\n")
    shop.run()
    assert shop.demand()["DE", "A"]["stock_basis"] == "unknown"
    assert "A" not in shop.orders()
    assert {rule for rule, market, *_ in shop.exceptions() if market == "DE"} >= {"INVALID_FILE", "STOCK_UNKNOWN"}
