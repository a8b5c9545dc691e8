"""What is kept of a published day's report, whatever happens right after it is published."""

from typing import Any

import pytest

from procurement_platform.errors import LockLost
from procurement_platform.lake.days import Days, PublishedDay
from procurement_platform.procurement import publication, service
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
