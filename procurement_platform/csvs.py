"""CSV as people open it: UTF-8, exact decimals as text, and no cell that a spreadsheet would run as a formula."""

import csv
import datetime as dt
import io
import itertools
from collections.abc import Iterable, Sequence
from decimal import Decimal

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """A value as a CSV cell: decimals in plain digits, dates in ISO 8601, no value as an empty cell.

    Text that starts like a formula gets a leading apostrophe (OWASP, "CSV injection"); numbers, negative ones too, stay numbers.
    """
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dt.date | dt.datetime | dt.time):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A whole CSV file: a header, then the rows as they come, lines ended by a line feed."""
    return _written(itertools.chain([columns], rows))


def csv_line(values: Sequence[object]) -> bytes:
    """One line of a CSV file, for rows that come one at a time."""
    return _written([values])


def _written(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    plain = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [cell(value) for value in row]
        # Python before 3.13 does not quote a lone carriage return, and readers take it for the end of a line.
        (quoting if any("\r" in each for each in cells) else plain).writerow(cells)
    return text.getvalue().encode()
