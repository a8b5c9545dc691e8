"""`procurement exceptions`: the report that is on disk, and the crashes."""

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.exceptions import SEVERITIES, counts
from procurement_platform.quality.rules import RULES
from procurement_platform.quality.violations import VIOLATIONS
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay


def test_csv_is_the_report_byte_for_byte(procurement: Procurement, ran_day: RanDay) -> None:
    report = ran_day.home / "lake" / "logs" / "exceptions" / f"date={DAY}" / "exceptions.csv"
    assert procurement("exceptions", DAY, "--format", "csv").out.encode() == report.read_bytes()


def test_json_has_the_reports_columns(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("exceptions", DAY, "--format", "json").json
    assert all(list(row) == [column.name for column in VIOLATIONS.columns] for row in rows)
    assert {(row["rule"], row["severity"]) for row in rows} <= {(rule.name, rule.severity) for rule in RULES}
    assert {"MISSING_FILE", "STOCK_UNKNOWN", "NO_SUPPLIER"} <= {row["rule"] for row in rows}


def test_a_day_that_went_well_has_no_history(procurement: Procurement, ran_day: RanDay) -> None:
    assert procurement("exceptions", "--history", "--format", "json").json == []
    assert "(none)" in procurement("exceptions", DAY, "--history").out


def test_a_day_that_was_never_run_is_one_line(procurement: Procurement, home: Settings) -> None:
    assert "was never run" in procurement("exceptions", DAY).error


FOUND = st.lists(
    st.builds(
        lambda rule, rows, units, message: {"rule": rule.name, "severity": rule.severity, "rows": rows, "units": units, "message": message},
        st.sampled_from(RULES),
        st.integers(1, 1000),
        st.none() | st.decimals(0, 10**6, places=3),
        st.text(max_size=5),
    )
)


@given(FOUND)
def test_counts_add_up_with_the_gravest_first(found: list[dict[str, Any]]) -> None:
    lines = counts(found)
    assert {line["rule"]: line["lines"] for line in lines} == Counter(one["rule"] for one in found)
    assert sum(int(str(line["rows"])) for line in lines) == sum(one["rows"] for one in found)
    assert sum((Decimal(str(line["units"])) for line in lines), Decimal(0)) == sum(
        (one["units"] or Decimal(0) for one in found), Decimal(0)
    )
    order = [SEVERITIES.index(str(line["severity"])) for line in lines]
    assert order == sorted(order)
