"""What the published day's materialisation shows."""

import dagster as dg

from procurement_platform_tests.procurement.assets.conftest import RunDay
from procurement_platform_tests.procurement.shop import Shop, order


def shown(result: dg.ExecuteInProcessResult, asset: str, label: str) -> object:
    (made,) = [m for m in result.asset_materializations_for_node(asset) if m.asset_key == dg.AssetKey(asset)]
    return made.metadata[label].value


def test_a_refreshed_reference_is_named_beside_the_day(desk: Shop, run_day: RunDay) -> None:
    desk.put("orders", "DE", [order("1", "A", 4)])
    desk.all_counted()
    label = "reference tables newer than at the first run"
    assert shown(run_day(), "published_day", label) == "none"
    desk.load({"supplier_products": "supplier_id,sku,unit_price\nS2,A,1\n"})
    assert shown(run_day(), "published_day", label) == "none"
    assert shown(run_day(refresh=True), "published_day", label) == "supplier_products"
