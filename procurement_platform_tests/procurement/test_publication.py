"""What is kept of a published day's report, whatever happens right after it is published; the suppliers' files."""

import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.csvs import csv_bytes
from procurement_platform.errors import LockLost
from procurement_platform.lake.days import Days, PublishedDay
from procurement_platform.procurement import publication, service
from procurement_platform.procurement.tables import SUPPLIER_ORDERS
from procurement_platform.quality.report import COLUMNS
from procurement_platform_tests.procurement.shop import DAY, Shop, order

Lines = list[tuple[object, ...]]


def remembered(shop: Shop) -> dict[str, Lines]:
    """Run id → the lines of its report that the database keeps."""
    with shop.platform.database.transaction() as connection:
        rows = connection.execute(
            "SELECT run_id, run_date, rule, severity, dataset, market, sku, file, first_row, rows, units, message"
            " FROM control.exceptions_history ORDER BY run_id, run_date, rule, severity, dataset, market, sku, file"
        ).fetchall()
    found: dict[str, Lines] = {}
    for run_id, *line in rows:
        found.setdefault(run_id, []).append(tuple(line))
    return found


def assert_remembered(shop: Shop) -> None:
    """The published run's lines are in the database as they are in its report."""
    day = shop.platform.days.get(publication.DOMAIN, DAY)
    assert day is not None
    report = [row for row in service.exceptions(shop.platform, DAY) if row["rule"] != "PIPELINE_CRASH"]
    assert {row["rule"] for row in report} == {"MISSING_FILE", "STOCK_UNKNOWN", "UNKNOWN_PRODUCT"}
    assert remembered(shop)[day.run_id] == [tuple(row[column] for column in COLUMNS) for row in report]


def test_a_run_that_fails_right_after_it_published_is_remembered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("2", "GONE", 1)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(publication, "settle", full)
        with pytest.raises(OSError, match="No space left"):
            shop.run()
    assert_remembered(shop)
    shop.run()
    assert_remembered(shop)
    assert len(remembered(shop)) == 2


def test_of_a_run_that_is_not_published_nothing_is_remembered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("2", "GONE", 1)])
    run_id = shop.run()
    publish = Days.publish

    def lost() -> None:
        raise LockLost("the database went away")

    def without_lock(*given: Any) -> PublishedDay:
        *most, _, also = given
        return publish(*[*most, lost, also])

    monkeypatch.setattr(Days, "publish", without_lock)
    with pytest.raises(LockLost):
        shop.run()
    assert list(remembered(shop)) == [run_id]


def many_orders(shop: Shop, suppliers: int, lines: int) -> pa.Table:
    """Commits orders of many suppliers as the day's: of each supplier more lines than are read at once."""
    numbers = range(suppliers * lines)
    some = {"run_date": DAY, "need": Decimal(5), "pack_size": Decimal(6), "moq": Decimal(0), "unit_price": Decimal("2.5")}
    table = pa.table(
        {column.name: [some.get(column.name)] * len(numbers) for column in SUPPLIER_ORDERS.columns}
        | {
            "supplier_id": [f"S-{number // lines:03}" for number in numbers],
            "sku": [f"SKU-{number:07}" for number in numbers],
            "quantity": [Decimal(6 * (1 + number % 50)) for number in numbers],
            "currency": ["EUR"] * len(numbers),
            "amount": [Decimal(15 * (1 + number % 50)) for number in numbers],
            "expected_date": [DAY] * len(numbers),
        },
        schema=SUPPLIER_ORDERS.arrow,
    )
    publisher = shop.platform.publisher
    (folder,) = publisher.stage(SUPPLIER_ORDERS, DAY, "many")
    pq.write_table(table, f"{folder}/part-0.parquet")
    publisher.commit(SUPPLIER_ORDERS, DAY, "many", [f"{folder}/part-0.parquet"], guard=lambda: None, inputs={})
    return table


def test_suppliers_files_are_written_one_after_the_other_each_with_its_own_lines(shop: Shop) -> None:
    suppliers, lines = 12, 12_500
    table = many_orders(shop, suppliers, lines)
    run = shop.day()
    with run.step("published_day"):
        publication._supplier_files(run)  # what is imported on the way is no part of it
        tracemalloc.start()
        files = publication._supplier_files(run)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    run.close()
    assert [(Path(file.stable).name, file.rows) for file in files] == [(f"S-{n:03}.csv", lines) for n in range(suppliers)]
    for number in (0, suppliers - 1):
        own = table.slice(number * lines, lines).select(publication.ORDER_COLUMNS).to_pylist()
        assert shop.platform.lake.read(files[number].path) == csv_bytes(publication.ORDER_COLUMNS, [list(row.values()) for row in own])
    assert peak < 3_000 * lines  # bytes: what one supplier's lines take, not those of all twelve
