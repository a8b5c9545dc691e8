"""The exceptions report: a day's violations as CSV, and the one line that says its last run crashed."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from procurement_platform.csvs import cell, csv_pieces, csv_rows
from procurement_platform.quality.crashes import Crash
from procurement_platform.quality.rules import PIPELINE_CRASH
from procurement_platform.quality.violations import VIOLATIONS

if TYPE_CHECKING:  # slow to import, which commands that print little do without
    import pyarrow as pa

SHOWING = "It had published the day by then: all of it shows."
NOT_SHOWING = "Nothing of it shows; what was published before stays."
COLUMNS = tuple(c.name for c in VIOLATIONS.columns)
LINES = 10_000  # at a time


def report_csv(violations: "Iterable[pa.RecordBatch]") -> Iterator[bytes]:
    """The report of violations that are in order already, in pieces: it may be longer than memory."""
    return csv_pieces(COLUMNS, violations)


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


def with_crash(report: Iterable[bytes], crash: Crash, *, showing: bool) -> Iterator[bytes]:
    """A report with the crash's line in its place among the others, in pieces as it comes in pieces; of no report: with that line alone.

    Lines are in the order of all columns, as the report's own are.
    """
    added = _crash_line(crash, showing=showing)
    lines = csv.reader(_lines(report))
    yield csv_rows([next(lines, COLUMNS)])
    standing = False
    while some := list(islice(lines, LINES)):
        kept = [line for line in some if line[1] != PIPELINE_CRASH.name]
        place = sum(1 for line in kept if line[:3] < added[:3])
        if not standing and place < len(kept):
            kept.insert(place, added)
            standing = True
        yield csv_rows(kept)
    if not standing:
        yield csv_rows([added])


def has_crash(report: Iterable[bytes], crash: Crash, *, showing: bool) -> bool:
    """Whether a report that comes in pieces has the crash's line."""
    return _crash_line(crash, showing=showing) in csv.reader(_lines(report))


def _crash_line(crash: Crash, *, showing: bool) -> list[str]:
    row = crash_row(crash, showing=showing)
    return [cell(row[column]) for column in COLUMNS]


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Text that comes in pieces of bytes, line by line; what follows the last line feed, too."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (f"{line.decode()}\n" for line in whole)
    if rest:
        yield rest.decode()
