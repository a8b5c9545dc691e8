"""The exceptions report: a day's violations as CSV, and the one line that says its last run crashed."""

import csv
import io
from collections.abc import Iterable, Mapping

from procurement_platform.csvs import csv_bytes
from procurement_platform.quality.crashes import Crash
from procurement_platform.quality.rules import PIPELINE_CRASH
from procurement_platform.quality.violations import VIOLATIONS

SHOWING = "It had published the day by then: all of it shows."
NOT_SHOWING = "Nothing of it shows; what was published before stays."
COLUMNS = tuple(c.name for c in VIOLATIONS.columns)


def report_csv(violations: Iterable[Mapping[str, object]]) -> bytes:
    """The report of violations that are in order already."""
    return csv_bytes(COLUMNS, ([v[c] for c in COLUMNS] for v in violations))


def crash_row(crash: Crash, *, showing: bool) -> dict[str, object]:
    """A crash as a violation: no run id, clock time or absolute path, so that the same crash reads the same.

    `showing`: the run had published the day before it crashed.
    """
    at = f" at {crash.step}" if crash.step else ""
    return {
        "run_date": crash.run_date,
        "rule": PIPELINE_CRASH.name,
        "severity": PIPELINE_CRASH.severity,
        "dataset": crash.step or "",
        "market": None,
        "sku": None,
        "file": None,
        "first_row": None,
        "rows": 1,
        "units": None,
        "message": f"The day's last run crashed{at}: {crash.message}. {SHOWING if showing else NOT_SHOWING} "
        "Mend the cause, then run the day again.",
    }


def with_crash(report: bytes | None, crash: Crash, *, showing: bool) -> bytes:
    """A report (none: an empty one) with the crash's line in its place among the others.

    Lines are in the order of all columns, as the report's own are.
    """
    lines = list(csv.reader(io.StringIO((report or csv_bytes(COLUMNS, ())).decode(), newline="")))
    added = list(csv.reader(io.StringIO(report_csv([crash_row(crash, showing=showing)]).decode(), newline="")))[1]
    kept = [line for line in lines[1:] if line[1] != PIPELINE_CRASH.name]
    position = sum(1 for line in kept if line[:3] < added[:3])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([lines[0], *kept[:position], added, *kept[position:]])
    return text.getvalue().encode()
