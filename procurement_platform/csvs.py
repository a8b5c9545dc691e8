"""CSV as people open it: UTF-8, exact decimals as text, and no cell that a spreadsheet would run as a formula."""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:  # PyArrow is slow to import, which commands that print little do without
    import pyarrow as pa

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
    return csv_of_cells(columns, ([cell(value) for value in row] for row in rows))


def csv_line(values: Sequence[object]) -> bytes:
    """One line of a CSV file, for rows that come one at a time."""
    return csv_of_cells([cell(value) for value in values], ())


def csv_of_cells(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A whole CSV file of rows that are cells already (`cell`, `cells`)."""
    return csv_rows([columns, *rows])


def csv_pieces(columns: Sequence[str], tables: "Iterable[pa.Table | pa.RecordBatch]") -> Iterator[bytes]:
    """A whole CSV file a table at a time, the header first: of any size, in the memory of one table."""
    yield csv_rows([columns])
    for table in tables:
        yield csv_rows(list(cells(table)))


def csv_rows(lines: Sequence[Sequence[str]]) -> bytes:
    """Lines of a CSV file of rows that are cells already."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    if "\r" in text.getvalue():
        # Python before 3.13 does not quote a lone carriage return, and readers take it for the end of a line.
        text = io.StringIO(newline="")
        plain, quoting = csv.writer(text, lineterminator="\n"), csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for line in lines:
            (quoting if any("\r" in each for each in line) else plain).writerow(line)
    return text.getvalue().encode()


def cells(table: "pa.Table | pa.RecordBatch") -> Iterator[tuple[str, ...]]:
    """A table's rows as CSV cells, the same that `cell` makes of each value, worked out a column at a time."""
    return zip(*(_column(column) for column in table.columns), strict=True)


def _column(column: Any) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, compute = column.type, cast("Any", pc)
    if pa.types.is_string(kind):
        formula = compute.match_substring_regex(column, r"^[=+\-@\t\r]")
        column = compute.if_else(formula, compute.binary_join_element_wise("'", column, ""), column)
    elif pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_date(kind):
        column = column.cast(pa.string())
    else:
        return [cell(value) for value in column.to_pylist()]
    shown: list[str] = column.fill_null("").to_pylist()
    return shown
