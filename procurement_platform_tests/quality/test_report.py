import csv
import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.csvs import csv_bytes
from procurement_platform.quality import report
from procurement_platform.quality.crashes import Crash
from procurement_platform.quality.report import COLUMNS, crash_row, report_csv, with_crash
from procurement_platform.quality.rules import RULES, Rule
from procurement_platform.quality.violations import VIOLATIONS

DAY = dt.date(2025, 12, 20)
CRASH = Crash("procurement", DAY, "run-1", "net_demand", "the disk is full", dt.datetime(2025, 12, 20, tzinfo=dt.UTC))


def violation(rule: str, severity: str = "HIGH", sku: str = "A") -> dict[str, object]:
    return dict.fromkeys(COLUMNS) | {
        "run_date": DAY,
        "rule": rule,
        "severity": severity,
        "dataset": "order_lines",
        "sku": sku,
        "rows": 2,
        "units": Decimal("1.500"),
        "message": "what, and what to do",
    }


def whole(*violations: dict[str, object], at_once: int = 3) -> bytes:
    """The report, made of so many violations at a time."""
    table = pa.Table.from_pylist(list(violations), schema=VIOLATIONS.arrow)
    return b"".join(report_csv(table.to_batches(max_chunksize=at_once)))


def crashed(made: bytes = b"", *, piece: int = 1000, showing: bool = False) -> bytes:
    """The report with the crash's line, read in pieces of so many bytes."""
    pieces = [made[start : start + piece] for start in range(0, len(made), piece)]
    return b"".join(with_crash(pieces, CRASH, showing=showing))


def rules_of(made: bytes) -> list[str]:
    return [line["rule"] for line in csv.DictReader(made.decode().splitlines())]


def test_the_report_is_csv_with_the_columns_of_a_violation() -> None:
    assert whole(violation("NO_SUPPLIER")).decode().splitlines() == [
        "run_date,rule,severity,dataset,market,sku,file,first_row,rows,units,message",
        '2025-12-20,NO_SUPPLIER,HIGH,order_lines,,A,,,2,1.500,"what, and what to do"',
    ]


def test_a_crash_alone_makes_a_report() -> None:
    assert rules_of(crashed()) == ["PIPELINE_CRASH"]


def test_a_crash_line_tells_the_step_and_the_cause_and_no_run_or_clock() -> None:
    message = str(crash_row(CRASH, showing=False)["message"])
    assert message.startswith("The day's last run crashed at net_demand: the disk is full. ")
    assert "run-1" not in message
    assert "00:00" not in message


def test_a_crash_line_tells_whether_the_run_had_published_the_day() -> None:
    hidden, shown = (str(crash_row(CRASH, showing=showing)["message"]) for showing in (False, True))
    assert "Nothing of it shows; what was published before stays. Mend the cause" in hidden
    assert "It had published the day by then: all of it shows. Mend the cause" in shown
    assert "Nothing" not in shown


@given(st.lists(st.sampled_from([r for r in RULES if r.name != "PIPELINE_CRASH"]), max_size=8))
def test_a_crash_line_takes_its_place_in_the_order_and_is_there_once(rules: list[object]) -> None:
    rows = sorted((violation(r.name, r.severity) for r in rules), key=lambda r: (str(r["rule"]), str(r["severity"])))  # type: ignore[attr-defined]
    once = crashed(whole(*rows))
    found = rules_of(once)
    assert found == sorted(found)
    assert found.count("PIPELINE_CRASH") == 1
    assert crashed(once) == once


@given(
    st.lists(st.tuples(st.sampled_from([r for r in RULES if r.name != "PIPELINE_CRASH"]), st.text(max_size=8)), max_size=8),
    st.integers(1, 4),
    st.integers(1, 40),
)
def test_a_report_has_the_same_bytes_in_whatever_pieces_it_comes(told: list[tuple[Rule, str]], at_once: int, piece: int) -> None:
    rows = sorted(
        (violation(rule.name, rule.severity) | {"file": text.encode("utf-8", "replace").decode()} for rule, text in told),
        key=lambda row: (str(row["rule"]), str(row["severity"])),
    )
    made = whole(*rows, at_once=at_once)
    assert made == csv_bytes(COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    with_line = crashed(made, piece=piece)
    place = sum((row["rule"], row["severity"]) < ("PIPELINE_CRASH", "CRITICAL") for row in rows)
    row = crash_row(CRASH, showing=False)
    rows.insert(place, row)
    assert with_line == csv_bytes(COLUMNS, ([row[column] for column in COLUMNS] for row in rows))


def test_a_crash_line_takes_its_place_among_more_lines_than_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [violation(rule) for rule in ("NO_SUPPLIER", "STOCK_LOGIC") for _ in range(5)]
    expected = crashed(whole(*rows))
    for lines in (1, 4, 5, 7):
        monkeypatch.setattr(report, "LINES", lines)
        assert crashed(whole(*rows)) == expected
    assert rules_of(expected) == ["NO_SUPPLIER"] * 5 + ["PIPELINE_CRASH"] + ["STOCK_LOGIC"] * 5
