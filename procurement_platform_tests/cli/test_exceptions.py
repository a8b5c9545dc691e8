"""`procurement exceptions`: the report that is on disk, and the crashes."""

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.exceptions import EACH, SEVERITIES, TABLE_COLUMNS, counts, gravity, of_every_rule
from procurement_platform.cli.output import TABLE_ROWS
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


def test_the_table_has_the_gravest_first_and_each_whole_message(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("exceptions", DAY, "--format", "json").json
    title, header, *lines = procurement("exceptions", DAY).out.splitlines()
    assert title == f"Exceptions of {DAY}"
    assert header.split() == list(TABLE_COLUMNS)
    by_gravity = sorted(
        rows, key=lambda r: (SEVERITIES.index(r["severity"]), *(r[name] or "" for name in ("rule", "market", "file", "sku")))
    )
    assert by_gravity != rows
    of_each: list[dict[str, Any]] = []
    for rule in {row["rule"] for row in rows}:  # sorted keeps the report's order of those that are equal
        own = [row for row in rows if row["rule"] == rule]
        of_each += sorted(own, key=lambda row: (-Decimal(row["units"] or 0), -row["rows"]))[:EACH]
    chosen = [*of_each, *(row for row in by_gravity if row not in of_each)][:TABLE_ROWS]
    taken = [row for row in by_gravity if row in chosen]
    for line, row in zip(lines, taken, strict=True):
        assert line.split()[:2] == [row["severity"], row["rule"]]
        assert line.endswith(row["message"])


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
    for line in lines:
        units = [one["units"] for one in found if one["rule"] == line["rule"] and one["units"] is not None]
        assert line["units"] == (sum(units, Decimal(0)) if units else None)
    order = [SEVERITIES.index(str(line["severity"])) for line in lines]
    assert order == sorted(order)


@given(FOUND)
def test_gravity_is_that_of_the_rule(found: list[dict[str, Any]]) -> None:
    lines = [{"market": None, "file": None, "sku": "A"} | one for one in found]
    order = [SEVERITIES.index(line["severity"]) for line in sorted(lines, key=gravity)]
    assert order == sorted(order)


UNKNOWN = [
    {"rule": "STOCK_UNKNOWN", "severity": "HIGH", "market": "DE", "sku": f"S{n:03}", "file": None, "rows": 1, "units": Decimal(n)}
    for n in range(300)
]
MISSING = {"rule": "MISSING_FILE", "severity": "MEDIUM", "market": "DE", "sku": None, "file": None, "rows": 1, "units": None}


def test_a_long_table_has_lines_of_every_rule() -> None:
    """The one line of a missing file is not cut off by the many that follow from it."""
    taken = of_every_rule([*UNKNOWN, MISSING], EACH + 30)
    assert taken[-1] is MISSING
    assert len(taken) == EACH + 30


def test_of_many_lines_a_table_has_those_of_most_units_first() -> None:
    """A stock that is not known where nothing was needed says least."""
    taken = of_every_rule([*UNKNOWN, MISSING], EACH + 1)
    assert taken == [*UNKNOWN[-EACH:], MISSING]
    assert of_every_rule(UNKNOWN, EACH + 2) == [*UNKNOWN[:2], *UNKNOWN[-EACH:]]
    (line,) = counts([each | {"message": f"{each['units']} units are withheld"} for each in UNKNOWN])
    assert line["example"] == "299 units are withheld"
