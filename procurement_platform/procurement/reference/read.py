"""Read one reference table's CSV file: every cell typed, every fault found, none repaired by guessing.

Accepts UTF-8 with or without BOM, and `,` or `;` between cells (whichever the header has). Rows are numbered as in every
file of the platform: the first one below the header is 1.
"""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from zoneinfo import available_timezones

import polars as pl

from procurement_platform.procurement.reference.currencies import CURRENCIES
from procurement_platform.procurement.reference.tables import MAX_TEXT, ReferenceColumn, ReferenceTable

ROW, BAD = "__row__", "__bad__"  # names that no CSV column can have: they are in no table

# They become parts of file names; in a market's, a double underscore ends the code.
CODES = {
    "market": (r"^[A-Z0-9](?:_?[A-Z0-9-])*$", "capital letters, digits, '-' or single '_'"),
    "supplier_id": (r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "letters, digits, '.', '-' or '_'"),
}
MAX_CODE = 32

_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


@dataclass(frozen=True, order=True)
class Problem:
    """A fault: file, row (0: the file as a whole), position of the column, and what to say."""

    file: str
    row: int
    position: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}{f' row {self.row}' if self.row else ''}{self.text}"


@dataclass(frozen=True)
class TableFile:
    """A table as its file has it: typed columns, `ROW` (the row's number) and `BAD` (a cell of the row is a problem and NULL here).

    Not `complete`: rows of the file are not in the frame, so that what is missing there says nothing.
    """

    table: ReferenceTable
    file: str
    frame: pl.DataFrame
    problems: tuple[Problem, ...]
    complete: bool = True

    def problem(self, row: int, column: str, value: object, what: str) -> Problem:
        return cell_problem(self.file, row, self.table.column_names.index(column), column, value, what)


def cell_problem(file: str, row: int, position: int, column: str, value: object, what: str) -> Problem:
    """A fault of one cell, which is shown."""
    return Problem(file, row, position, f", {column} {shorten(str(value), 60, placeholder='…')!r}: {what}")


def read_table(path: Path, table: ReferenceTable) -> TableFile:
    """The file's rows, typed as the table declares, and all that is wrong with them (cells; not keys, not other tables)."""
    file = path.name
    try:
        header, rows = _split(path.read_bytes())
    except (OSError, ValueError) as problem:
        return TableFile(table, file, _empty(table), (Problem(file, 0, 0, f": {_explain(problem)}"),), complete=False)
    problems = list(_header_problems(file, header, table))
    if problems:
        return TableFile(table, file, _empty(table), tuple(problems), complete=False)
    numbers: Iterable[int] = range(1, len(rows) + 1)
    if ragged := [number for number, row in enumerate(rows, start=1) if len(row) != len(header)]:
        problems += [Problem(file, number, 0, f": {_ragged(len(rows[number - 1]), len(header))}") for number in ragged]
        numbers = [number for number, row in enumerate(rows, start=1) if len(row) == len(header)]
        rows = [row for row in rows if len(row) == len(header)]
    cells = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    frame = {ROW: pl.Series(ROW, numbers, dtype=pl.Int64)}
    bad = pl.repeat(False, len(rows), eager=True)
    for position, column in enumerate(table.columns):
        raw = pl.Series(column.name, cells.get(column.name, ("",) * len(rows)), dtype=pl.String)
        typed, faults = _typed(raw, column)
        for mask, what in faults:
            bad = bad | mask
            problems += [
                cell_problem(file, row, position, column.name, value, what)
                for row, value in zip(frame[ROW].filter(mask), raw.filter(mask), strict=True)
            ]
        frame[column.name] = typed
    return TableFile(table, file, pl.DataFrame({**frame, BAD: bad}), tuple(problems), complete=not ragged)


def _split(content: bytes) -> tuple[list[str], list[list[str]]]:
    text = content.decode("utf-8-sig")
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    rows = []
    while True:
        begins = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as problem:
            raise ValueError(_in_line(problem, begins)) from None
        if row:  # an empty line is no row
            rows.append(row)
    if not rows:
        raise ValueError("no header; the first line names the columns")
    return [name.strip() for name in rows[0]], rows[1:]


def _explain(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError):
        line = problem.object[: problem.start].count(b"\n") + 1
        return f"not UTF-8 (byte 0x{problem.object[problem.start]:02x} in line {line}); save it as UTF-8"
    if isinstance(problem, OSError):
        return f"cannot be read ({problem.strerror}); give the platform read access"
    return str(problem)


def _in_line(problem: csv.Error, line: int) -> str:
    """What is wrong with the row that begins in a line of the file."""
    if str(problem) == "unexpected end of data":
        return f"not a CSV file: the row that begins in line {line} has a quoted cell that is never closed; close it, or double the quote"
    return f"not a CSV file: {problem}, in the row that begins in line {line}; double the quotes that belong to a quoted cell"


def _header_problems(file: str, header: list[str], table: ReferenceTable) -> Iterator[Problem]:
    known = ", ".join(table.column_names)
    for position, name in enumerate(header):
        if name not in table.column_names:
            yield Problem(file, 0, position, f": no column is called {name[:60]!r}; the columns are {known}")
        elif name in header[:position]:
            yield Problem(file, 0, position, f": the column {name!r} stands there twice; remove one")
    for column in table.columns:
        if column.required and column.default is None and column.name not in header:
            yield Problem(file, 0, len(header), f": the column {column.name!r} is missing and has no default; add it")


def _empty(table: ReferenceTable) -> pl.DataFrame:
    empty = pl.DataFrame(table.arrow.empty_table())
    return empty.with_columns(pl.lit(0, pl.Int64).alias(ROW), pl.lit(False).alias(BAD)).clear()


_Faults = list[tuple[pl.Series, str]]


def _ragged(cells: int, columns: int) -> str:
    remedy = "write one for each column, empty ones too" if cells < columns else "quote cells that contain the separator"
    return f"{cells} cell{'s' if cells != 1 else ''}, the header has {columns}; {remedy}"


def _typed(raw: pl.Series, column: ReferenceColumn) -> tuple[pl.Series, _Faults]:
    """The typed column (NULL where a cell is a problem), and a mask of cells with the remedy for each kind of problem."""
    text = raw if column.type == "varchar" and column.form == "text" and not column.choices else raw.str.strip_chars()
    blank = text == ""
    faults: _Faults = []
    if column.default is not None:
        text = text.zip_with(~blank, pl.Series([column.default], dtype=pl.String))
    elif column.required:
        faults.append((blank, "is empty; it has no default, write one"))
    value = text.set(blank, None) if column.default is None else text
    typed = value
    for narrowed, what in _narrow(value, column):
        # A cell that an earlier check has refused is NULL by now: it is told of once.
        faults.append(((narrowed.is_null() & typed.is_not_null()), what))
        typed = narrowed
    return typed.alias(column.name), [(mask, what) for mask, what in faults if mask.any()]


def _narrow(text: pl.Series, column: ReferenceColumn) -> Iterator[tuple[pl.Series, str]]:
    """The column after each check: what fails one is NULL."""
    if column.type == "varchar":
        yield from _narrow_text(text, column)
    elif column.type == "boolean":
        lower = text.str.to_lowercase()
        typed = lower.is_in(_TRUE)
        yield typed.set(~(typed | lower.is_in(_FALSE)), None), "is neither true nor false"
    elif column.type == "date":
        dates = _only(text, text.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")).str.to_date("%Y-%m-%d", strict=False)
        yield dates, "is no date; write it like 2025-12-20"
    elif column.type == "integer":
        numbers = _only(text, text.str.contains(r"^[+-]?0*[0-9]{1,9}$")).cast(pl.Int32)
        yield numbers, "is no whole number"
        yield _bounded(numbers, column)
    else:
        places = int(column.type.rstrip(")").split(",")[1])
        exact = rf"^[+-]?0*[0-9]{{1,{18 - places}}}(?:\.[0-9]{{1,{places}}}0*)?$"
        decimals = _only(text, text.str.contains(exact)).cast(pl.Decimal(18, places))
        yield decimals, f"is no decimal number with up to {places} places; write it like 12.50, without thousands separators"
        yield _bounded(decimals, column)


def _narrow_text(text: pl.Series, column: ReferenceColumn) -> Iterator[tuple[pl.Series, str]]:
    if column.choices:
        yield _only(text, text.is_in(column.choices)), f"is not one of {', '.join(column.choices)}"
    elif column.form == "currency":
        yield _only(text, text.is_in(CURRENCIES)), "is no ISO 4217 currency code; write one such as EUR"
    elif column.form == "timezone":
        yield _only(text, text.is_in(_zones())), "is no IANA time zone; write one such as Europe/Berlin"
    elif column.form == "time":
        yield _only(text, text.str.contains(r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")), "is no time of day; write it like 06:00"
    elif column.form in CODES:
        pattern, allowed = CODES[column.form]
        keep = text.str.contains(pattern) & (text.str.len_chars() <= MAX_CODE)
        yield _only(text, keep), f"is no code: 1 to {MAX_CODE} {allowed}, the first a letter or digit"
    else:
        yield _only(text, text.str.len_chars() <= MAX_TEXT), f"is longer than {MAX_TEXT} characters; shorten it"
        yield _only(text, ~text.str.contains(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")), "has a line break or control character; remove it"


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    """The time zones that times can be converted with: of the IANA's names for all but what is no zone (`Factory`, `localtime`)."""
    return tuple(sorted(filter(_converts, available_timezones())))


def _converts(zone: str) -> bool:
    try:
        pl.select(pl.lit(0).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone))
    except pl.exceptions.ComputeError:
        return False
    return True


def _bounded(numbers: pl.Series, column: ReferenceColumn) -> tuple[pl.Series, str]:
    keep = pl.repeat(True, len(numbers), eager=True)
    if column.low is not None:
        keep = keep & ((numbers > column.low) if column.above else (numbers >= column.low))
    if column.high is not None:
        keep = keep & (numbers <= column.high)
    return _only(numbers, keep), f"must be {'more than' if column.above else 'at least'} {column.low} and at most {column.high}"


def _only(series: pl.Series, keep: pl.Series) -> pl.Series:
    return series.set(~keep.fill_null(False), None)


def overlapping(file: TableFile) -> Iterator[Problem]:
    """Rows of one `one_at_a_time` group whose period begins before that of an earlier one has ended, with the row they meet."""
    table = file.table
    if table.period is None or not table.one_at_a_time:
        return
    group, start, end = list(table.one_at_a_time), table.period.start, table.period.end
    sound = file.frame.filter(~pl.col(BAD)).select(
        ROW, start, *group, _from=pl.col(start).fill_null(dt.date.min), _to=pl.col(end).fill_null(dt.date.max)
    )
    reach = pl.col("_to").cum_max()  # how far the rows so far extend, and which row does
    farthest = pl.when(pl.col("_to") == reach).then(pl.col(ROW)).forward_fill()
    met = sound.sort(*group, "_from", ROW).with_columns(_reach=reach.shift(1).over(group), _by=farthest.shift(1).over(group))
    for row in met.filter(pl.col("_reach") >= pl.col("_from")).iter_rows(named=True):
        named = ", ".join(f"{name} {row[name]}" for name in group)
        yield file.problem(row[ROW], start, row[start] or "", f"overlaps row {row['_by']} ({named}); end one before the other begins")
