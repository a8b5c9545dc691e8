"""From accepted lines to supplier orders: aggregated orders, net demand, supplier orders. Each step is SQL and a commit."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pyarrow as pa

from procurement_platform.dayrun import DayRun
from procurement_platform.engines.base import Relation
from procurement_platform.errors import ProcurementError, PromiseBroken
from procurement_platform.inbox.ledger import IN_USE, LedgerFile
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.lake.tables import ARROW_TYPES, Table
from procurement_platform.procurement.coherence import DayState
from procurement_platform.procurement.derive import Check, Outcome, commit, current, find, keep, relation, rows_relation, stage
from procurement_platform.procurement.reference import pins
from procurement_platform.procurement.tables import (
    AGGREGATED_ORDERS,
    NET_DEMAND,
    ORDER_LINES,
    STOCK_LINES,
    SUPPLIER_ORDER_ALLOCATIONS,
    SUPPLIER_ORDERS,
)
from procurement_platform.quality.violations import VIOLATIONS

FILES_TYPES: dict[str, str] = {
    "feed": "varchar",
    "file_id": "varchar",
    "file": "varchar",
    "market": "varchar",
    "state": "varchar",
    "reason": "varchar",
}
FILES_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in FILES_TYPES])
OPEN_ORDERS_TYPES = {"market": "varchar", "sku": "varchar", "on_order": "decimal(38,3)"}


def make_aggregated_orders(run: DayRun) -> Outcome:
    """Sums the accepted order lines per market, SKU and currency; no unit is lost on the way."""
    markets = reference(run)["markets"]
    day = DayState.of(run).check(ORDER_LINES.name)
    lines = current(run, ORDER_LINES)
    staged = stage(run, AGGREGATED_ORDERS, {"order_lines": lines, "markets": markets})
    figures = _figures(run, "procurement/demand_conservation", {"order_lines": lines, "aggregated_orders": staged.relation})
    _agree(AGGREGATED_ORDERS, figures, "line_rows", "aggregated_rows")
    _agree(AGGREGATED_ORDERS, figures, "line_quantity", "aggregated_quantity")
    published = commit(run, AGGREGATED_ORDERS, staged.files, day.inputs(AGGREGATED_ORDERS.name))
    return Outcome((published,), promises={"conservation": figures})


def make_net_demand(run: DayRun) -> Outcome:
    """What each market needs of each SKU beyond its stock; where the stock is not known, nothing, and a violation that says so."""
    known = reference(run)
    day = DayState.of(run).check(AGGREGATED_ORDERS.name, STOCK_LINES.name, QUARANTINE.name)
    aggregated = current(run, AGGREGATED_ORDERS)
    relations = {
        "aggregated_orders": aggregated,
        "stock_lines": current(run, STOCK_LINES),
        "quarantine": current(run, QUARANTINE),
        "files": files_relation(run),
        "markets": known["markets"],
        "products": known["products"],
        "planning_parameters": known["planning_parameters"],
        "open_orders": _open_orders(run),
    }
    staged = stage(run, NET_DEMAND, relations)
    made = staged.relation
    figures = _figures(run, "procurement/grid_conservation", {"aggregated_orders": aggregated, "net_demand": made})
    _agree(NET_DEMAND, figures, "ordered", "gross_demand")
    found = find(run, "net_demand", [Check("procurement/net_demand_violations", {"net_demand": made, "markets": known["markets"]})])
    inputs = day.inputs(NET_DEMAND.name)
    published = commit(run, NET_DEMAND, staged.files, inputs)
    keep(run, found, inputs)
    return Outcome((published,), (found,), {"conservation": figures})


def make_supplier_orders(run: DayRun) -> Outcome:
    """One order per SKU that is needed and offered, and whom it is for; needed and not offered is a violation."""
    known = reference(run)
    day = DayState.of(run).check(NET_DEMAND.name)
    demand = current(run, NET_DEMAND)
    orders = stage(
        run,
        SUPPLIER_ORDERS,
        {"net_demand": demand, "suppliers": known["suppliers"], "supplier_products": known["supplier_products"]},
    )
    made = orders.relation
    shares = stage(run, SUPPLIER_ORDER_ALLOCATIONS, {"supplier_orders": made, "net_demand": demand})
    found = find(run, "supplier_orders", [Check("procurement/supplier_order_violations", {"net_demand": demand, "supplier_orders": made})])
    figures = _figures(
        run,
        "procurement/need_conservation",
        {
            "net_demand": demand,
            "supplier_orders": made,
            "supplier_order_allocations": shares.relation,
            "violations": relation(VIOLATIONS, found.files),
        },
    )
    _adds_up(figures)
    inputs = day.inputs(SUPPLIER_ORDERS.name)
    published = (commit(run, SUPPLIER_ORDERS, orders.files, inputs), commit(run, SUPPLIER_ORDER_ALLOCATIONS, shares.files, inputs))
    keep(run, found, inputs)
    return Outcome(published, (found,), {"conservation": figures})


def reference(run: DayRun) -> dict[str, Relation]:
    """The day's pinned reference tables.

    Raises:
        ProcurementError: no run of the day has pinned them.
    """
    pinned = pins.pinned(run.platform, run.run_date)
    if not pinned:
        raise ProcurementError(f"no reference version is pinned for {run.run_date}: materialise the reference assets of that date first")
    return pins.relations(run.platform, pinned)


def files_relation(run: DayRun) -> Relation:
    """The ledger's files of the day that are in use, were rejected or were withdrawn."""
    files = run.platform.ledger.files(run.run_date, states=(*IN_USE, "withdrawn"))
    return rows_relation(run, "files", files_table(files), FILES_TYPES)


def files_table(files: Sequence[LedgerFile]) -> pa.Table:
    """Files as rows of `FILES_TYPES`.

    The state of a file that counted until it was withdrawn, and whose place none took, is `taken_out`; that of an accepted one of which no
    row can be used is `useless`.
    """
    replaced = {(f.feed, f.name) for f in files if f.state == "accepted"}

    def state(file: LedgerFile) -> str:
        if file.state == "withdrawn" and file.accepted and (file.feed, file.name) not in replaced:
            return "taken_out"
        return "useless" if file.is_useless else file.state

    return pa.table(
        {
            "feed": [f.feed for f in files],
            "file_id": [f.file_id for f in files],
            "file": [f.file_name for f in files],
            "market": [f.market for f in files],
            "state": [state(f) for f in files],
            "reason": [f.reason for f in files],
        },
        schema=FILES_SCHEMA,
    )


def _open_orders(run: DayRun) -> Relation:
    with run.platform.database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT market, sku, sum(quantity)::numeric(38, 3) FROM control.order_states
            WHERE state IN ('approved', 'sent') AND market <> '' AND run_date < %s GROUP BY market, sku ORDER BY market, sku
            """,
            (run.run_date,),
        ).fetchall()
    schema = pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in OPEN_ORDERS_TYPES.items()])
    table = pa.table([[r[i] for r in rows] for i in range(3)], schema=schema)
    return rows_relation(run, "open_orders", table, OPEN_ORDERS_TYPES)


def _figures(run: DayRun, query: str, relations: Mapping[str, Relation]) -> dict[str, object]:
    return dict(run.platform.engine.rows(run.platform.query(query), relations, {"run_date": run.run_date})[0])


def _adds_up(figures: Mapping[str, object]) -> None:
    need, allocated, unsupplied, ordered, surplus, wrong = (
        Decimal(str(figures[name])) for name in ("need", "allocated", "unsupplied", "ordered", "surplus", "orders_wrong")
    )
    if need != allocated + unsupplied or ordered != allocated + surplus or wrong:
        raise PromiseBroken(
            f"supplier_orders: {need} units are needed, {allocated} allocated and {unsupplied} told as without a supplier; "
            f"{ordered} are ordered, {surplus} of them surplus; {wrong} orders are below their need or MOQ or not in whole packs. "
            "Nothing was committed"
        )


def _agree(table: Table, figures: Mapping[str, object], expected: str, actual: str) -> None:
    if figures[expected] != figures[actual]:
        raise PromiseBroken(
            f"{table.name}: {expected} is {figures[expected]} and {actual} is {figures[actual]}: they must be equal. Nothing was committed"
        )
