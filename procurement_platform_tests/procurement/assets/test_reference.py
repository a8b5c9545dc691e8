"""A pinned version whose file is gone is one line that says what to do, in Dagster, in the report, and it does help."""

from pathlib import Path

import pytest

from procurement_platform.procurement import service
from procurement_platform.procurement.endings import failure_of
from procurement_platform.procurement.reference.pins import pinned
from procurement_platform_tests.procurement.assets.conftest import RunDay
from procurement_platform_tests.procurement.shop import DAY, Shop, order


@pytest.mark.parametrize("table", ["markets", "supplier_products"])
def test_a_pinned_file_that_is_gone_is_told_with_its_remedy(desk: Shop, run_day: RunDay, table: str) -> None:
    desk.put("orders", "DE", [order("1", "B", 7)])
    desk.all_counted()
    assert run_day().success
    lost = pinned(desk.platform, DAY)[table].path
    Path(desk.platform.lake.path(lost)).unlink()

    result = run_day()
    failure = failure_of(result.all_events)
    assert failure is not None
    told = f"{lost}, the {table} pinned for this day, is gone: restore it, or run with --refresh-reference"
    assert (failure.step, failure.error, failure.message) == ("reference", "InputGone", told)
    [crash] = [row for row in service.exceptions(desk.platform, DAY) if row["rule"] == "PIPELINE_CRASH"]
    assert told in str(crash["message"])
    assert str(desk.platform.settings.home) not in desk.report()

    assert run_day(refresh=True).success
    assert "PIPELINE_CRASH" not in desk.report()
    assert run_day().success
