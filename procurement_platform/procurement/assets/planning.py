"""The planning assets: aggregated orders, net demand, supplier orders."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import dagster as dg

from procurement_platform.dayrun import DayRun
from procurement_platform.lake.publish import Published
from procurement_platform.procurement import planning
from procurement_platform.procurement.assets.day import crash_is_recorded
from procurement_platform.procurement.assets.preview import bars
from procurement_platform.procurement.assets.shared import (
    Event,
    keeping_promises,
    promise_result,
    promise_spec,
    rule_results,
    rule_specs,
    spec,
    table_result,
)
from procurement_platform.procurement.derive import Outcome, relation
from procurement_platform.procurement.tables import AGGREGATED_ORDERS, NET_DEMAND, SUPPLIER_ORDER_ALLOCATIONS, SUPPLIER_ORDERS
from procurement_platform.quality.rules import NO_SUPPLIER, STOCK_UNKNOWN, Rule

SQL = frozenset({"sql", "iceberg"})


@dg.multi_asset(
    name="aggregated_orders",
    specs=[spec("aggregated_orders", AGGREGATED_ORDERS.doc, ["order_lines", "reference_markets"], SQL, AGGREGATED_ORDERS)],
    check_specs=[promise_spec("aggregated_orders", "Every accepted line and unit is in the sums.")],
    hooks={crash_is_recorded},
)
def aggregated_orders(day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Sums the accepted lines."""
    yield from _step(day, "aggregated_orders", lambda: planning.make_aggregated_orders(day))


@dg.multi_asset(
    name="net_demand",
    specs=[
        spec(
            "net_demand",
            NET_DEMAND.doc,
            [
                *("aggregated_orders", "stock_lines", "quarantine", "raw_stock"),
                *("reference_markets", "reference_products", "reference_planning_parameters"),
            ],
            SQL,
            NET_DEMAND,
        )
    ],
    check_specs=[
        promise_spec("net_demand", "All ordered units are in the planning grid."),
        *rule_specs("net_demand", [STOCK_UNKNOWN]),
    ],
    hooks={crash_is_recorded},
)
def net_demand(day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Nets demand against stock."""
    yield from _step(day, "net_demand", lambda: planning.make_net_demand(day), [STOCK_UNKNOWN], plot="net_demand by market")


@dg.multi_asset(
    name="supplier_orders",
    specs=[
        spec(
            "supplier_orders",
            SUPPLIER_ORDERS.doc,
            ["net_demand", "reference_suppliers", "reference_supplier_products"],
            SQL,
            SUPPLIER_ORDERS,
        ),
        spec(
            "supplier_order_allocations", SUPPLIER_ORDER_ALLOCATIONS.doc, ["supplier_orders", "net_demand"], SQL, SUPPLIER_ORDER_ALLOCATIONS
        ),
    ],
    check_specs=[
        promise_spec("supplier_orders", "Units needed = units allocated + units without a supplier."),
        *rule_specs("supplier_orders", [NO_SUPPLIER]),
    ],
    hooks={crash_is_recorded},
)
def supplier_orders(day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Chooses offers and rounds to packs."""
    yield from _step(day, "supplier_orders", lambda: planning.make_supplier_orders(day), [NO_SUPPLIER], plot="quantity by supplier_id")


def _step(day: DayRun, name: str, make: Callable[[], Outcome], rules: Sequence[Rule] = (), plot: str = "") -> Iterator[Event]:
    with day.step(name):
        for outcome in keeping_promises([name], make):
            if not isinstance(outcome, Outcome):
                yield outcome
                continue
            for published in outcome.tables:
                more: dict[str, Any] = {}
                if plot and published.table.name == name:
                    more["plot"] = _largest(day, published, plot)
                yield table_result(day, published, **more)
            yield promise_result(name, outcome.promises["conservation"])
            for found in outcome.found:
                yield from rule_results(day, name, rules, found)


def _largest(day: DayRun, published: Published, title: str) -> dg.MetadataValue:
    """The largest sums of a table, a bar each; the engine sums them."""
    table = published.table
    query = day.platform.query(f"{day.domain}/{table.name}_plot")
    sums = day.platform.engine.rows(query, {table.name: relation(table, published.files)}, {})
    return bars(f"{title}, the largest {len(sums)}", [(str(row["label"]), Decimal(str(row["total"]))) for row in sums])
