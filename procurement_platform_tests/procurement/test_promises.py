"""Each blocking promise is broken on purpose, by a wrong query or file: the run fails, and nothing of it is committed or shown."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.engines.base import Written
from procurement_platform.engines.queries import Query, load_query
from procurement_platform.errors import PromiseBroken
from procurement_platform.inbox.check import Checked, Checker
from procurement_platform.inbox.decoders import Batch
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.worker import decode
from procurement_platform.lake.runs import TableRun
from procurement_platform.procurement.coherence import SOURCES
from procurement_platform.procurement.tables import TABLES
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

STEP_OF = {  # the outcomes of the first step that must not commit, and of those after it
    "intake": list(SOURCES),
    "aggregated_orders": [name for name, sources in SOURCES.items() if not sources.step.startswith("intake")],
    "net_demand": [name for name, sources in SOURCES.items() if sources.step in ("net_demand", "supplier_orders", "exceptions")],
    "supplier_orders": [name for name, sources in SOURCES.items() if sources.step in ("supplier_orders", "exceptions")],
}


@dataclass(frozen=True)
class Sabotage:
    """A query whose text is changed, and what is said of it; `step` is the one that must not commit."""

    step: str
    query: str
    changes: Mapping[str, str]
    told: str


KEY = "GROUP BY s.market, s.sku, COALESCE(s.currency, m.currency)\n"
SABOTAGES = {
    "a line is lost": Sabotage(
        "intake",
        "order_lines_kept",
        {"WHERE r.file_id IS NULL": "WHERE r.file_id IS NULL AND l.row_number <> 2"},
        r"order_lines: DE\.avro has 4 rows, 48\.000 units; \(2, 0, 1\) rows .* and 43\.000 units were kept",
    ),
    "units change on the way to quarantine": Sabotage(
        "intake",
        "order_conflicts",
        {"  l.quantity,\n": "  CAST(CAST(l.quantity AS decimal(38,3)) + CAST(1 AS decimal(38,3)) AS decimal(18,3)) AS quantity,\n"},
        r"order_lines: GB\.avro has 2 rows, 3\.000 units; \(0, 2, 0\) rows .* and 5\.000 units were kept",
    ),
    "a conflicting row is not found again": Sabotage(
        "intake",
        "repeated_by_file",
        {"COUNT(*) AS rows": "COUNT(*) + CASE WHEN kind = 'CONFLICTING_ORDER' THEN 1 ELSE 0 END AS rows"},
        r"order_lines: GB\.avro has 3 conflicting rows, 2 were found again\. Nothing was recorded",
    ),
    "lines are not summed": Sabotage(
        "aggregated_orders",
        "aggregated_orders",
        {KEY: f"WHERE s.sku <> 'N' {KEY}"},
        "aggregated_orders: line_rows is 3 and aggregated_rows is 2",
    ),
    "a sum is too high": Sabotage(
        "aggregated_orders",
        "aggregated_orders",
        {"CAST(SUM(s.quantity) AS": "CAST(SUM(s.quantity) + CAST(1 AS decimal(38,3)) AS"},
        r"aggregated_orders: line_quantity is 28\.000 and aggregated_quantity is 30\.000",
    ),
    "sums that are right, of a key that is there twice": Sabotage(
        "aggregated_orders",
        "aggregated_orders",
        {"GROUP BY market, sku, currency\n": "GROUP BY market, sku, currency, order_id\n", KEY: KEY.replace("\n", ", s.revenue\n")},
        r"aggregated_orders: 1 keys \(market, sku, currency\) occur more than once",
    ),
    "demand is left out of the grid": Sabotage(
        "net_demand",
        "net_demand",
        {"  CAST(gross_demand AS decimal(38,3)) AS gross_demand": "  CAST(0 AS decimal(38,3)) AS gross_demand"},
        r"net_demand: ordered is 28\.000 and gross_demand is 0\.000",
    ),
    "what nobody sells is not told": Sabotage(
        "supplier_orders",
        "supplier_order_violations",
        {"WHERE NOT EXISTS": "WHERE need < 0 AND NOT EXISTS"},
        r"supplier_orders: 37\.000 units are needed, 34\.000 allocated and 0\.000 told as without a supplier",
    ),
    "what nobody sells is told short": Sabotage(
        "supplier_orders",
        "supplier_order_violations",
        {"  need AS units": "  CAST(1 AS decimal(38,3)) AS units"},
        r"37\.000 units are needed, 34\.000 allocated and 1\.000 told as without a supplier",
    ),
    "a market is not allocated": Sabotage(
        "supplier_orders",
        "supplier_order_allocations",
        {"WHERE n.net_demand > 0": "WHERE n.net_demand > 0 AND n.market <> 'DE'"},
        r"37\.000 units are needed, 7\.000 allocated and 3\.000 told as without a supplier",
    ),
    "packs are broken": Sabotage(
        "supplier_orders", "supplier_orders", {"  need,\n  quantity,\n": "  need,\n  need AS quantity,\n"}, "1 orders are below their need"
    ),
    "a SKU is ordered twice": Sabotage(
        "supplier_orders", "supplier_orders", {"choice = 1": "choice <= 2"}, r"supplier_orders: 1 keys \(sku\) occur more than once"
    ),
}


@pytest.fixture
def ran(shop: Shop) -> Shop:
    """A shop whose day was run; since then its files are others: with a duplicate, a conflict, and something nobody sells."""
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.all_counted()
    shop.run()
    shop.put("orders", "DE", [order("1", "A", 20), order("2", "A", 5), order("3", "N", 3), order("1", "A", 20)])
    shop.put("orders", "GB", [order("5", "B", 1), order("5", "B", 2)])
    shop.put("stock", "JP", [count("A", 0), count("B", 1)])
    return shop


def state(shop: Shop) -> tuple[object, ...]:
    """All that is committed or shown of a day, save what a run before its failure may commit."""
    return shop.platform.days.get("procurement", DAY), shop.csvs(), list(shop.demand().items())


def runs(shop: Shop) -> dict[str, TableRun]:
    return shop.platform.registry.committed(DAY, SOURCES)


def check_refused(shop: Shop, step: str, told: str) -> None:
    """The day's run is refused: what the step and those after it had stays, in the registry, in the tables, and for buyers."""
    committed, shown, ledger = runs(shop), state(shop), shop.ledger()
    files = {table.name: shop.platform.catalog.files(table, DAY) for table in TABLES}
    with pytest.raises(PromiseBroken, match=told):
        shop.run()
    after = runs(shop)
    for name in STEP_OF[step]:
        assert after[name] == committed[name], name
    for table in TABLES:
        assert (shop.platform.catalog.files(table, DAY) == files[table.name]) is (table.name in STEP_OF[step]), table.name
    assert state(shop) == shown
    assert (shop.ledger() == ledger) is (step == "intake")
    assert shop.report().count("PIPELINE_CRASH") == 1


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_wrong_query_commits_nothing_and_a_right_one_does_afterwards(ran: Shop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage = SABOTAGES[name]
    wrong = load_query(f"procurement/{sabotage.query}")
    text = wrong.sql
    for before, after in sabotage.changes.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    right = ran.platform.query

    def query(asked: str) -> Query:
        return replace(wrong, sql=text, _memory={}) if asked == wrong.name else right(asked)

    with monkeypatch.context() as patch:
        patch.setattr(ran.platform, "query", query)
        check_refused(ran, sabotage.step, sabotage.told)
    ran.run()
    assert ran.orders()["A"][1] == 36
    assert [e[0] for e in ran.exceptions() if e[2] == "N"] == ["NO_SUPPLIER"]


def _with_a_column_more(table: pa.Table) -> pa.Table:
    return table.append_column("note", pa.nulls(len(table), pa.string()))


def _of_another_day(table: pa.Table) -> pa.Table:
    return table.set_column(0, table.schema.field(0), pa.array([DAY + dt.timedelta(days=1)] * len(table), pa.date32()))


def _without_currency(table: pa.Table) -> pa.Table:
    return table.set_column(3, table.schema.field(3), pa.nulls(len(table), pa.string()))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_with_a_column_more, "aggregated_orders: .* does not have the table's schema: 8 columns instead of 7"),
        (_of_another_day, "aggregated_orders: .* holds run dates 2025-12-21 to 2025-12-21, not 2025-12-20 alone"),
        (_without_currency, "aggregated_orders: .* has 2 rows without currency"),
    ],
)
def test_a_wrong_file_is_not_committed(ran: Shop, spoil: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = ran.platform.engine.write

    def spoiled(query: Query, relations: Any, target: str, *more: Any) -> Written:
        written = write(query, relations, target, *more)
        if query.name == "procurement/aggregated_orders":
            table = spoil(pq.read_table(target))
            Path(target).unlink()
            pq.write_table(table, target, store_decimal_as_integer=True)
        return written

    with monkeypatch.context() as patch:
        patch.setattr(ran.platform.engine, "write", spoiled)
        check_refused(ran, "aggregated_orders", told)
    ran.run()
    assert ran.orders()["A"][1] == 36


def test_a_row_that_is_lost_while_it_is_checked_stops_the_intake(ran: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Checker.check

    def losing(checker: Checker, batch: Batch) -> Checked:
        checked = check(checker, batch)
        return replace(checked, lines=checked.lines.head(-1))

    with monkeypatch.context() as patch:
        patch.setattr(Checker, "check", losing)
        patch.setattr(DecoderPool, "run", lambda pool, tasks: map(decode, tasks))  # in this process, where the loss is
        check_refused(ran, "intake", r"order_lines: .* has \d+ rows, .* were kept\. Nothing was recorded")
    ran.run()
    assert ran.orders()["A"][1] == 36
