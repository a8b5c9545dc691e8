"""The SQL of the day against plain Python on random small days, and what must hold on every day."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procurement_platform.engines.base import Relation
from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.engines.queries import load_query
from procurement_platform_tests.engines import arithmetic
from procurement_platform_tests.engines.examples import relation
from procurement_platform_tests.engines.relations import RESULTS

Rows = list[dict[str, Any]]
DAY = dt.date(2025, 12, 20)
SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

MARKETS, SKUS, SUPPLIERS = ("DE", "FR", "PL"), ("A", "B", "C"), ("S1", "S2", "S3")
amounts = st.one_of(st.decimals(0, 20, places=3), st.integers(0, 5).map(Decimal))
positive = st.one_of(st.decimals(Decimal("0.001"), 20, places=3), st.sampled_from([Decimal(1), Decimal("2.5"), Decimal(12)]))
bounds = st.sampled_from([None, None, DAY - dt.timedelta(days=1), DAY, DAY + dt.timedelta(days=1)])


def records(
    least: int = 0, most: int = 12, key: Callable[[dict[str, Any]], object] | None = None, **columns: st.SearchStrategy[Any]
) -> st.SearchStrategy[Rows]:
    return st.lists(st.fixed_dictionaries(columns), min_size=least, max_size=most, unique_by=key)


lines = records(
    file_id=st.sampled_from(["f1", "f2", "f3"]), order_id=st.sampled_from(["O1", "O2"]), line_number=st.sampled_from([None, 1, 2]),
    market=st.sampled_from(MARKETS[:2]), sku=st.sampled_from(SKUS[:2]), quantity=st.sampled_from([Decimal("1.000"), Decimal("2.500")]),
    unit_price=st.just(Decimal("1.0000")), currency=st.sampled_from([None, None, "EUR"]), ordered_at_us=st.just(1),
    customer_id=st.sampled_from([None, "C"]),
)  # fmt: skip
days = st.fixed_dictionaries(
    {
        "aggregated_orders": records(
            market=st.sampled_from(MARKETS), sku=st.sampled_from(SKUS), currency=st.sampled_from(["EUR", "CHF"]), quantity=positive
        ),
        "stock_lines": records(
            market=st.sampled_from(MARKETS), sku=st.sampled_from(SKUS), warehouse=st.sampled_from([None, "W"]),
            available=amounts, reserved=amounts,
        ),
        "quarantine": records(
            most=3, feed=st.sampled_from(["orders", "stock"]), market=st.sampled_from(MARKETS), sku=st.sampled_from([None, *SKUS])
        ),
        "files": records(
            most=5, feed=st.sampled_from(["orders", "stock"]), market=st.sampled_from(MARKETS),
            state=st.sampled_from(["accepted", "rejected", "superseded", "withdrawn", "taken_out", "useless"]),
        ),
        "markets": st.tuples(*(
            st.fixed_dictionaries(
                {"market": st.just(market), "sends_stock": st.booleans(), "when_missing": st.sampled_from(["withhold", "compute"]),
                 "active_from": bounds, "active_to": bounds}
            ) for market in MARKETS
        )).map(list),
        "planning_parameters": records(
            most=6, key=lambda row: (row["sku"], row["market"]),
            market=st.sampled_from([None, *MARKETS]), sku=st.sampled_from(SKUS), safety_stock=amounts,
        ),
        "products": records(key=lambda row: row["sku"], sku=st.sampled_from(SKUS), active_from=bounds, active_to=bounds),
        "open_orders": records(most=3, market=st.sampled_from(MARKETS), sku=st.sampled_from(SKUS), on_order=amounts),
    }
)  # fmt: skip
demand = records(
    key=lambda row: (row["market"], row["sku"]),
    market=st.sampled_from(MARKETS), sku=st.sampled_from(SKUS), net_demand=st.one_of(st.none(), amounts),
)  # fmt: skip
suppliers = st.tuples(*(
    st.fixed_dictionaries({"supplier_id": st.just(supplier), "currency": st.just("EUR"), "active_from": bounds, "active_to": bounds})
    for supplier in SUPPLIERS
)).map(list)  # fmt: skip
offers = records(
    key=lambda row: (row["supplier_id"], row["sku"], row["min_quantity"]),
    supplier_id=st.sampled_from(SUPPLIERS), sku=st.sampled_from(SKUS), priority=st.integers(0, 2),
    min_quantity=st.sampled_from([Decimal(0), Decimal(5), Decimal(15)]),
    max_order_quantity=st.one_of(st.none(), st.decimals(1, 30, places=3)),
    unit_price=st.decimals(0, 100, places=4), moq=amounts, pack_size=positive,
    lead_time_days=st.integers(0, 400), valid_from=bounds, valid_to=bounds,
)  # fmt: skip


class Day:
    """Runs the SQL files one after the other, each result an input of the next, as a run does."""

    def __init__(self, engine: DuckDBEngine, folder: Path, given: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.engine, self.folder = engine, folder
        self.relations = {name: relation(name, rows, folder) for name, rows in given.items()}

    def make(self, name: str, *reads: str) -> Rows:
        query, columns = load_query(f"procurement/{name}"), RESULTS[f"procurement/{name}"]
        read = {r: self.relations[r] for r in reads}
        target = str(self.folder / f"made-{name}.parquet")
        self.engine.write(query, read, target, columns, {"run_date": DAY})
        self.relations[name] = Relation(columns, (target,))
        return self.engine.rows(query, read, {"run_date": DAY})

    def figures(self, name: str, *reads: str) -> dict[str, Any]:
        (row,) = self.engine.rows(load_query(f"procurement/{name}"), {r: self.relations[r] for r in reads}, {"run_date": DAY})
        return row


@SETTINGS
@given(today=lines, earlier=lines)
def test_duplicates(today: Rows, earlier: Rows, engine: DuckDBEngine, tmp_path: Path) -> None:
    numbered = [{**line, "row_number": n} for n, line in enumerate(today, 1)]
    names = {"f1": "DE__z.csv", "f2": "DE.csv", "f3": "DE__a.csv"}
    files = [{"feed": "orders", "file_id": file_id, "file": name} for file_id, name in names.items()]
    day = Day(engine, tmp_path, {"order_lines_checked": numbered, "earlier_order_lines": earlier, "files": files})
    found = day.make("order_duplicates", "order_lines_checked", "earlier_order_lines", "files")
    assert {(row["file_id"], row["row_number"], row["kind"]) for row in found} == arithmetic.duplicates(numbered, earlier, names)
    assert len({(row["file_id"], row["row_number"]) for row in found}) == len(found)
    day.relations["repeated"] = day.relations["order_duplicates"]
    kept = day.make("order_lines_kept", "order_lines_checked", "repeated")
    assert len(kept) + len(found) == len(numbered)
    assert arithmetic.duplicates(kept, earlier, names) == set()


@SETTINGS
@given(inputs=days)
def test_net_demand(inputs: dict[str, Rows], engine: DuckDBEngine, tmp_path: Path) -> None:
    day = Day(engine, tmp_path, inputs)
    found = day.make("net_demand", *inputs)
    expected = arithmetic.net_demand(
        inputs["aggregated_orders"], inputs["stock_lines"], inputs["quarantine"], inputs["files"], inputs["markets"],
        inputs["planning_parameters"], inputs["open_orders"], inputs["products"], DAY,
    )  # fmt: skip
    assert {row.pop("run_date") for row in found} <= {DAY}
    assert {(row["market"], row["sku"]): row for row in found} == {
        (market, sku): {"market": market, "sku": sku, **row} for (market, sku), row in expected.items()
    }
    assert [(r["market"], r["sku"]) for r in found] == sorted(expected)
    sums = day.figures("grid_conservation", "aggregated_orders", "net_demand")
    assert sums["ordered"] == sums["gross_demand"] == sum((r["quantity"] for r in inputs["aggregated_orders"]), Decimal(0))
    told = day.make("net_demand_violations", "net_demand")
    assert {(v["market"], v["sku"]) for v in told} == {pair for pair, row in expected.items() if row["net_demand"] is None}


@SETTINGS
@given(net_demand=demand, suppliers=suppliers, supplier_products=offers)
def test_supplier_orders(net_demand: Rows, suppliers: Rows, supplier_products: Rows, engine: DuckDBEngine, tmp_path: Path) -> None:
    day = Day(engine, tmp_path, {"net_demand": net_demand, "suppliers": suppliers, "supplier_products": supplier_products})
    orders = day.make("supplier_orders", "net_demand", "suppliers", "supplier_products")
    expected = arithmetic.supplier_orders(net_demand, suppliers, supplier_products, DAY)
    found = {o["sku"]: (o["supplier_id"], o["need"], o["quantity"], o["amount"], o["expected_date"]) for o in orders}
    assert found == expected
    assert len(orders) == len(expected), "exactly one order per SKU"
    for order in orders:
        assert order["quantity"] >= max(order["need"], order["moq"])
        assert order["quantity"] % order["pack_size"] == 0
        assert order["quantity"] < max(order["need"], order["moq"]) + order["pack_size"]


@SETTINGS
@given(net_demand=demand, suppliers=suppliers, supplier_products=offers)
def test_every_unit_needed_is_allocated_or_reported(
    net_demand: Rows, suppliers: Rows, supplier_products: Rows, engine: DuckDBEngine, tmp_path: Path
) -> None:
    day = Day(engine, tmp_path, {"net_demand": net_demand, "suppliers": suppliers, "supplier_products": supplier_products})
    orders = day.make("supplier_orders", "net_demand", "suppliers", "supplier_products")
    parts = day.make("supplier_order_allocations", "supplier_orders", "net_demand")
    told = day.make("supplier_order_violations", "net_demand", "supplier_orders")
    need = sum((row["net_demand"] or Decimal(0) for row in net_demand), Decimal(0))
    allocated = sum((part["quantity"] for part in parts if part["kind"] == "net_demand"), Decimal(0))
    surplus = sum((part["quantity"] for part in parts if part["kind"] == "surplus"), Decimal(0))
    unsupplied = sum((v["units"] for v in told), Decimal(0))
    ordered = sum((order["quantity"] for order in orders), Decimal(0))
    assert need == allocated + unsupplied
    assert ordered == allocated + surplus
    day.relations["violations"] = day.relations["supplier_order_violations"]
    assert day.figures("need_conservation", "net_demand", "supplier_orders", "supplier_order_allocations", "violations") == {
        "need": need, "allocated": allocated, "unsupplied": unsupplied, "ordered": ordered, "surplus": surplus, "orders_wrong": 0,
    }  # fmt: skip
    for order in orders:
        own = [part["quantity"] for part in parts if part["sku"] == order["sku"]]
        assert sum(own, Decimal(0)) == order["quantity"]
        assert all(quantity > 0 for quantity in own)
