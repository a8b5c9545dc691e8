"""CSV: a header, then a row per record; ',', ';' or tab as the header has it; UTF-8. Empty cells are absent.

Empty lines are skipped and do not count. A line of separators alone, as spreadsheets write for rows that were filled once, is no row
either, but keeps its number.

A record that cannot be read is a broken row of its own where it stands on one line. A quote that swallows lines makes the file invalid,
since nobody can say which rows are inside.
"""

import csv
import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox.decoders import NOT_UTF8, SHOWN_CHARACTERS, Batch, BrokenRow, Wanted, as_sent, not_utf8
from procurement_platform.inbox.decoders.signatures import check_is_text
from procurement_platform.inbox.decoders.streams import pieces, whole_lines
from procurement_platform.inbox.task import Limits

_DELIMITERS = ",;\t"
_ENDS_EARLY = "unexpected end of data"
_LONE_CR = "ends lines with CR alone"


class CsvDecoder:
    """Reads a CSV file with a header."""

    def __init__(self, path: Path, limits: Limits, *, packed: bool) -> None:
        self._path = path
        self._limits = limits
        self._packed = packed
        csv.field_size_limit(limits.max_line_bytes)
        self._names, self._delimiter = self._header()
        self.schema: dict[str, pl.DataType] = {name: pl.String() for name in self._names}

    def batches(
        self,
        columns: Collection[str],  # noqa: ARG002  a cell costs nothing once its row is read
        some: Wanted | None = None,  # noqa: ARG002
    ) -> Iterator[Batch]:
        row, waiting, header = 1, b"", True
        source = whole_lines(pieces(self._path, self._limits, packed=self._packed), self._limits)
        piece = next(source, b"")
        while piece:
            following = next(source, b"")
            records, waiting = self._records(waiting + piece, row - header, last=not following)
            if [] in records:
                records = [record for record in records if record]
            if header and records:
                records, header = records[1:], False
            batch = self._batch(records, row)
            if batch.rows or batch.blank:
                yield batch
            row += batch.rows + batch.blank
            if len(waiting) > self._limits.max_line_bytes:
                raise _swallowed(row)
            piece = following

    def _header(self) -> tuple[list[str], str]:
        lines = self._first_lines()
        try:
            first = lines.partition(b"\n")[0].decode()
        except UnicodeDecodeError as problem:
            raise InvalidFile(not_utf8(lines[problem.start], "its header")) from None
        if "\0" in first:
            raise InvalidFile(f"{NOT_UTF8}: its header has zero bytes, as UTF-16 has; export the file as UTF-8")
        if "\r" in first.rstrip("\r"):
            raise InvalidFile(f"{_LONE_CR}: save it with line ends LF or CRLF")
        if first.removeprefix("\ufeff").strip().strip('"').lower().startswith("sep="):
            raise InvalidFile(f"begins with {first.strip()[:20]!r}, a line for Excel; remove it: the first line names the columns")
        delimiter = max(_DELIMITERS, key=first.count)
        try:
            names = next(
                csv.reader(
                    io.StringIO(lines[: self._limits.max_line_bytes].decode("utf-8", "surrogateescape"), newline="\n"),
                    delimiter=delimiter,
                    strict=True,
                ),
                [],
            )
        except csv.Error as problem:
            raise InvalidFile(f"has a header that cannot be read ({problem}); send the columns' names in the first line") from None
        if bad := next((byte for name in names if (byte := _bad_byte(name)) is not None), None):
            raise InvalidFile(not_utf8(bad, "its header"))
        names = [name.strip() or f"column {number}" for number, name in enumerate(names, 1)]
        if len(names) > self._limits.max_columns:
            raise OverLimit(
                f"has {len(names)} columns, more than {self._limits.max_columns}; send only those asked for (PROCUREMENT_MAX_COLUMNS)"
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidFile(f"has the column {twice[:80]!r} twice; send it once")
        return names, delimiter

    def _first_lines(self) -> bytes:
        """Lines from the first that is not empty on, that one whole."""
        lines = b""
        for number, piece in enumerate(whole_lines(pieces(self._path, self._limits, packed=self._packed), self._limits)):
            if number == 0:
                check_is_text(piece, packed=self._packed)
            lines = (lines + piece).lstrip(b"\r\n")
            if b"\n" in lines:
                break
        return lines

    def _records(self, data: bytes, row: int, *, last: bool) -> tuple[list["list[str] | _Unread"], bytes]:
        """The records in whole lines, and the lines of one at their end that goes on after them. `row` is the first one's number."""
        try:
            text, sound = data.decode(), True
        except UnicodeDecodeError:
            text, sound = data.decode("utf-8", "surrogateescape"), False
        lines = list(io.StringIO(text, newline="\n"))
        reader = csv.reader(iter(lines), delimiter=self._delimiter, strict=True)
        records: list[list[str] | _Unread] = []
        rest = b""
        start = 0
        while True:
            begun = len(records)
            try:
                records.extend(reader)
                break
            except csv.Error as problem:
                # What was read before the error is kept; the record in error begins after it.
                start += sum(1 + _line_ends(record) for record in records[begun:])
                ends_early = str(problem) == _ENDS_EARLY
                if ends_early and not last:
                    rest = "".join(lines[start:]).encode("utf-8", "surrogateescape")
                    break
                if ends_early or reader.line_num - start > 1:
                    raise _swallowed(row + sum(1 for record in records if record)) from None
                records.append(_Unread(_why_unread(problem), lines[start]))
                start = reader.line_num
        if not sound:
            records = [_unless_utf8(record, self._delimiter) for record in records]
        return records, rest

    def _batch(self, records: list["list[str] | _Unread"], row: int) -> Batch:
        width = len(self._names)
        good: list[list[str]] = []
        broken: list[BrokenRow] = []
        blank: list[int] = []  # rows without any value
        if set(map(type, records)) <= {list} and set(map(len, records)) <= {width} and [""] * width not in records:
            good = cast("list[list[str]]", records)
        else:
            for number, record in enumerate(records, row):
                if isinstance(record, list) and not any(record):
                    blank.append(number)
                elif isinstance(record, list) and len(record) == width:
                    good.append(record)
                else:
                    broken.append(self._broken(number, record))
        frame = pl.DataFrame(
            [
                pl.Series(name, cells, pl.String)
                for name, cells in zip(self._names, zip(*good, strict=True) if good else [[]] * width, strict=True)
            ]
        ).with_columns(pl.when(pl.all() != "").then(pl.all()))
        numbers = None
        if broken or blank:
            every = pl.int_range(row, row + len(records), eager=True)
            numbers = every.filter(~every.is_in([*blank, *(each.row_number for each in broken)]))
        return Batch(frame, row, lambda positions: as_sent(positions, width, lambda some: frame[some]), numbers, broken, len(blank))

    def _broken(self, number: int, record: "list[str] | _Unread") -> BrokenRow:
        if isinstance(record, _Unread):
            return BrokenRow(number, record.reason, _sent({"line": record.line}))
        width, extra = len(self._names), range(len(self._names) + 1, min(len(record), SHOWN_CHARACTERS) + 1)
        told = f"has {len(record)} cells and the header {width}"
        remedy = f"send one cell per column, and quote those that hold {self._delimiter!r}"
        cells = dict(zip([*self._names, *map(str, extra)], record, strict=False))
        return BrokenRow(number, f"{told}: {remedy}", _sent(cells), cells)


@dataclass(frozen=True)
class _Unread:
    """A record that could not be read, and its line."""

    reason: str
    line: str

    def __len__(self) -> int:
        return 1


def _why_unread(problem: csv.Error) -> str:
    if "new-line character" in str(problem):
        return f"{_LONE_CR} within it: quote the cell, or save the file with line ends LF or CRLF"
    return f"cannot be read as CSV ({problem}): write it anew, with every quote in a cell doubled"


def _line_ends(record: "list[str] | _Unread") -> int:
    return sum(cell.count("\n") for cell in record) if isinstance(record, list) else 0


def _swallowed(row: int) -> InvalidFile:
    return InvalidFile(
        f"cannot be read from row {row} on: it opens a quote that is not closed where the cell ends; double every quote in a cell"
    )


def _unless_utf8(record: "list[str] | _Unread", delimiter: str) -> "list[str] | _Unread":
    """The record itself, or why not where a byte of it is no UTF-8."""
    if isinstance(record, _Unread):
        byte = _bad_byte(record.line)
        return record if byte is None else _Unread(f"{not_utf8(byte)}; and {record.reason}", record.line)
    for number, cell in enumerate(record, 1):
        if (byte := _bad_byte(cell)) is not None:
            return _Unread(not_utf8(byte, f"cell {number}"), _line(record, delimiter))
    return record


def _line(record: list[str], delimiter: str) -> str:
    """A record as it stands in a file, quoted where it must be."""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(record)
    return line.getvalue()


def _bad_byte(text: str) -> int | None:
    """The first byte that was no UTF-8 in a text read with `surrogateescape`."""
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        return ord(text[problem.start]) - 0xDC00
    return None


def _sent(cells: dict[str, str]) -> str:
    r"""A row as sent, as JSON, with what is no UTF-8 as `\\xNN`."""
    shown = {
        name: cell[:SHOWN_CHARACTERS].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name, cell in cells.items()
    }
    return json.dumps(dict(list(shown.items())[:SHOWN_CHARACTERS]), ensure_ascii=False)
