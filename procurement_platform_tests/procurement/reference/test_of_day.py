"""The reference as a published day used it, whatever the tables hold since."""

from decimal import Decimal

import pytest

from procurement_platform.errors import InputGone, ProcurementError
from procurement_platform.lake.days import PublishedDay
from procurement_platform.procurement import service
from procurement_platform.procurement.reference.of_day import check_known, rows_of
from procurement_platform.procurement.reference.tables import MARKETS, SUPPLIERS
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

ASKING = "supplier_id,name,currency,min_order_value\nS1,Someone,EUR,1000\n"
NEW = "supplier_id,name,currency,min_order_value\nS1,Someone,EUR,0\nT1,Another,EUR,0\n"
OFFERS = "supplier_id,sku,unit_price,pack_size\nS1,A,2.5,10\n"


@pytest.fixture
def asked(shop: Shop) -> PublishedDay:
    """A day with one order, of 25.00, from a supplier whose least is 1,000; the tables hold something else since."""
    shop.load({"suppliers": ASKING, "supplier_products": OFFERS})
    shop.put("orders", "DE", [order("1", "A", 7)])
    shop.put("stock", "DE", [count("A", 0)])
    shop.run()
    shop.load({"suppliers": NEW, "supplier_products": OFFERS})
    return service.published_day(shop.platform, DAY)


def test_the_rows_are_those_of_the_day(shop: Shop, asked: PublishedDay) -> None:
    assert [(row["supplier_id"], row["min_order_value"]) for row in rows_of(shop.platform, asked, SUPPLIERS)] == [("S1", Decimal(1000))]


def test_a_code_that_came_later_is_not_known(shop: Shop, asked: PublishedDay) -> None:
    check_known(shop.platform, asked, SUPPLIERS, "S1")
    with pytest.raises(ProcurementError, match=rf"^T1 is no supplier in the reference that {DAY} was run with; the closest are S1$"):
        check_known(shop.platform, asked, SUPPLIERS, "T1")
    with pytest.raises(ProcurementError, match=r"^de is no market .*; the closest are DE$"):
        check_known(shop.platform, asked, MARKETS, "de")
    with pytest.raises(ProcurementError, match=r"^XX is no market .*; there are DE, GB, JP$"):
        check_known(shop.platform, asked, MARKETS, "XX")


def test_orders_below_the_minimum_are_told_as_the_day_had_it_and_stay_as_they_are(shop: Shop, asked: PublishedDay) -> None:
    lines = list(service.orders(shop.platform, DAY))
    assert [(line["supplier_id"], line["quantity"], line["amount"]) for line in lines] == [("S1", Decimal(10), Decimal(25))]
    (below,) = service.below_minimum(shop.platform, DAY, lines)
    assert (below.supplier, below.total, below.least, below.currency) == ("S1", Decimal(25), Decimal(1000), "EUR")
    shop.run(refresh=True)
    assert service.below_minimum(shop.platform, DAY, service.orders(shop.platform, DAY)) == []


def test_a_version_that_is_gone_is_told(shop: Shop, asked: PublishedDay) -> None:
    versions = asked.inputs["reference"]
    assert isinstance(versions, dict)
    shop.platform.lake.remove(f"reference/suppliers/{versions['suppliers']}.parquet")
    with pytest.raises(InputGone, match=f"the suppliers that {DAY} was run with are gone"):
        rows_of(shop.platform, asked, SUPPLIERS)
