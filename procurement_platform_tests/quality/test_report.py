import csv
import datetime as dt
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.quality.crashes import Crash
from procurement_platform.quality.report import COLUMNS, crash_row, report_csv, with_crash
from procurement_platform.quality.rules import RULES

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


def rules_of(report: bytes) -> list[str]:
    return [line["rule"] for line in csv.DictReader(report.decode().splitlines())]


def test_the_report_is_csv_with_the_columns_of_a_violation() -> None:
    assert report_csv([violation("NO_SUPPLIER")]).decode().splitlines() == [
        "run_date,rule,severity,dataset,market,sku,file,first_row,rows,units,message",
        '2025-12-20,NO_SUPPLIER,HIGH,order_lines,,A,,,2,1.500,"what, and what to do"',
    ]


def test_a_crash_alone_makes_a_report() -> None:
    assert rules_of(with_crash(None, CRASH, showing=False)) == ["PIPELINE_CRASH"]


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
    once = with_crash(report_csv(rows), CRASH, showing=False)
    found = rules_of(once)
    assert found == sorted(found)
    assert found.count("PIPELINE_CRASH") == 1
    assert with_crash(once, CRASH, showing=False) == once
