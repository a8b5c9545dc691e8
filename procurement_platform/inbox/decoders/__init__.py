"""Decoders: from a file's bytes to frames, in bounded memory, with every row's number.

A decoder is made for one file, tells its columns and their types, and then yields batches of the columns asked for.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from procurement_platform.inbox.identity import Format
from procurement_platform.inbox.task import Limits
from procurement_platform.inbox.values import as_text

BATCH_BYTES = 8 * 1024 * 1024  # of unpacked data: large enough for speed, small enough to hold several of
SHOWN_CHARACTERS = 1000  # of a cell in the row as sent
_SHOWN_CELLS, _MOST_SHOWN_CELLS = 10_000, 100_000  # at once: the more while cells are short
_SHOWN_BYTES = 8 * 1024 * 1024  # likewise, of which a cell may take 4,000
_JSON_BYTES = (
    4 * 1024 * 1024
)  # at once, of cells and their names: as JSON these take up to six times as much, in memory that doubles as it grows
_CELL_BYTES = 24  # of a number or a time, and of what is between cells
NOT_UTF8 = "is not UTF-8"  # how each reason begins that is one of bytes


@dataclass(frozen=True)
class BrokenRow:
    """A row that could not be read as one. `sent` is what there is of it, as JSON; `cells` what stands where a column's text would."""

    row_number: int
    reason: str
    sent: str
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Rows of a file. `numbers` (UInt32 or Int64) holds their row numbers where `first_row`, `first_row` + 1, … does not.

    `sent` gives the rows at some ascending positions of the frame as they were sent: each as a JSON object with the columns of the file,
    some rows at a time. `blank` rows have numbers, and no value at all: they are left out.
    """

    frame: pl.DataFrame
    first_row: int
    sent: Callable[[pl.Series], Iterator[pl.Series]]
    numbers: pl.Series | None = None
    broken: list[BrokenRow] = field(default_factory=list)
    blank: int = 0

    @property
    def rows(self) -> int:
        return self.frame.height + len(self.broken)

    @property
    def row_numbers(self) -> pl.Series:
        """The row number of each row of the frame, ascending."""
        if self.numbers is not None:
            return self.numbers.cast(pl.Int64)
        return pl.int_range(self.first_row, self.first_row + self.frame.height, eager=True)


Wanted = Callable[[int, int], bool]  # whether any of the rows from … to … is wanted; asked in the rows' order


class Decoder(Protocol):
    """Reads one file. `schema` tells its columns; `batches` yields those asked for, under the file's own names.

    Where only `some` rows are wanted, others may be left out.
    """

    @property
    def schema(self) -> dict[str, pl.DataType]: ...

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]: ...


def open_decoder(path: Path, form: Format, limits: Limits, *, plain: bool = False, strict: bool = False) -> Decoder:
    """The decoder for a file of a format.

    Rows of Parquet are shown, if `plain`, without the columns that nobody asked for; if `strict`, not without one that needs too much
    memory: that is a MemoryError then.

    Raises:
        InvalidFile: it cannot be read as that format, or is larger than a limit.
    """
    match form:
        case "avro":
            from procurement_platform.inbox.decoders.avro import open_avro

            return open_avro(path, limits)
        case "parquet":
            from procurement_platform.inbox.decoders.parquet import ParquetDecoder

            return ParquetDecoder(path, limits, plain=plain, strict=strict)
        case "csv" | "csv.gz":
            from procurement_platform.inbox.decoders.csv import CsvDecoder

            return CsvDecoder(path, limits, packed=form == "csv.gz")
        case "jsonl":
            from procurement_platform.inbox.decoders.jsonl import JsonLinesDecoder

            return JsonLinesDecoder(path, limits)


def not_utf8(byte: int, where: str = "it") -> str:
    """What is said of a byte that no text in UTF-8 has at its place; `where` is what has it."""
    return f"{NOT_UTF8}: {where} has the byte 0x{byte:02x}; export the file as UTF-8"


def as_sent(positions: pl.Series, columns: int, whole: Callable[[pl.Series], pl.DataFrame]) -> Iterator[pl.Series]:
    """Rows as JSON objects, as many at a time as memory is sure to hold. `whole` gives those at some positions with all of their columns.

    Texts are cut after 1,000 characters, with their length told, before they are repeated in memory.
    """
    at, rows = 0, max(_SHOWN_CELLS // max(columns, 1), 1)
    while at < len(positions):
        frame = shown(whole(positions.slice(at, rows)))
        size, names = _cells_bytes(frame), sum(len(name.encode()) for name in frame.columns)
        for part in frame.iter_slices(max(_JSON_BYTES * frame.height // (size + names * frame.height), 1)):
            yield part.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        at += frame.height
        rows = min(2 * rows, max(_MOST_SHOWN_CELLS // columns, 1), max(_SHOWN_BYTES * frame.height // size, 1))


def _cells_bytes(frame: pl.DataFrame) -> int:
    """What cells as they are shown take: each of them has its own, also of texts that repeat."""
    texts = (int(each.alias("cell").str.len_bytes().sum()) for each in frame if each.dtype == pl.String)
    return sum(texts) + _CELL_BYTES * frame.height * frame.width


def shown(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as people read it: cells longer than 1,000 characters are cut, with their length told."""
    # Column by column, by place: polars takes a name such as * or ^a$ for a pattern.
    return pl.DataFrame({each.name: each.to_frame().select(_shown(each.dtype)).to_series() for each in frame})


def nested_as_text(column: pl.Expr) -> pl.Expr:
    """Lists and structs as JSON."""
    wrapped = pl.struct(column.alias("v")).struct.json_encode()  # {"v":…}
    return pl.when(column.is_not_null()).then(wrapped.str.slice(5).str.head(-1))


def _shown(dtype: pl.DataType) -> pl.Expr:
    column = pl.nth(0).alias("cell")
    if dtype.is_integer() or dtype == pl.Boolean:
        return column
    if isinstance(dtype, pl.Datetime | pl.Date):
        return as_text(column, dtype)
    if dtype == pl.Binary:
        text = column.bin.slice(0, SHOWN_CHARACTERS).bin.encode("hex")
    elif dtype.is_nested():
        text = nested_as_text(column)
    else:
        text = as_text(column, dtype)
    length = text.str.len_chars()
    return (
        pl.when(length > SHOWN_CHARACTERS)
        .then(pl.concat_str(text.str.slice(0, SHOWN_CHARACTERS), pl.lit("… ("), length.cast(pl.String), pl.lit(" characters)")))
        .otherwise(text)
    )
