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
_SHOWN_CELLS = 25_000  # at once
_JSON_CELLS = 5_000  # at once: it is written into memory that doubles as it grows
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

    `sent` gives the rows at some ascending positions of the frame as they were sent: each as a JSON object with the columns of the file.
    `at_once` tells of how many to ask for it. `blank` rows have numbers, and no value at all: they are left out.
    """

    frame: pl.DataFrame
    first_row: int
    sent: Callable[[pl.Series], pl.Series]
    numbers: pl.Series | None = None
    broken: list[BrokenRow] = field(default_factory=list)
    blank: int = 0

    @property
    def rows(self) -> int:
        return self.frame.height + len(self.broken)

    @property
    def last_row(self) -> int:
        """The number of the last row that was read, as one or as a broken one; of none, that of the row before the batch."""
        read: list[int] = [self.first_row + self.frame.height - 1] if self.numbers is None else self.numbers[-1:].to_list()
        return max([self.first_row - 1, *read, *(each.row_number for each in self.broken[-1:])])

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


def open_decoder(path: Path, form: Format, limits: Limits) -> Decoder:
    """The decoder for a file of a format.

    Raises:
        InvalidFile: it cannot be read as that format, or is larger than a limit.
    """
    match form:
        case "avro":
            from procurement_platform.inbox.decoders.avro import open_avro

            return open_avro(path, limits)
        case "parquet":
            from procurement_platform.inbox.decoders.parquet import ParquetDecoder

            return ParquetDecoder(path, limits)
        case "csv" | "csv.gz":
            from procurement_platform.inbox.decoders.csv import CsvDecoder

            return CsvDecoder(path, limits, packed=form == "csv.gz")
        case "jsonl":
            from procurement_platform.inbox.decoders.jsonl import JsonLinesDecoder

            return JsonLinesDecoder(path, limits)


def not_utf8(byte: int, where: str = "it") -> str:
    """What is said of a byte that no text in UTF-8 has at its place; `where` is what has it."""
    return f"{NOT_UTF8}: {where} has the byte 0x{byte:02x}; export the file as UTF-8"


def at_once(columns: int) -> int:
    """How many rows of so many columns are shown at once: a cell takes up to 1,000 characters."""
    return max(_SHOWN_CELLS // max(columns, 1), 1)


def shown(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as people read it: cells longer than 1,000 characters are cut, with their length told."""
    return frame.select(_shown(name, dtype) for name, dtype in frame.schema.items())


def as_json(frame: pl.DataFrame) -> pl.Series:
    """Each row of a frame that is not empty as a JSON object."""
    parts = frame.iter_slices(max(_JSON_CELLS // frame.width, 1))
    return pl.concat([part.select(pl.struct(pl.all()).struct.json_encode().alias("row")).to_series() for part in parts])


def _shown(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_integer() or dtype == pl.Boolean:
        return column
    if isinstance(dtype, pl.Datetime | pl.Date):
        return as_text(column, dtype).alias(name)
    if dtype == pl.Binary:
        text = column.bin.slice(0, SHOWN_CHARACTERS).bin.encode("hex")
    elif dtype.is_nested():
        wrapped = pl.struct(column.alias("v")).struct.json_encode()  # {"v":…}
        text = pl.when(column.is_not_null()).then(wrapped.str.slice(5).str.head(-1))
    else:
        text = as_text(column, dtype)
    length = text.str.len_chars()
    return (
        pl.when(length > SHOWN_CHARACTERS)
        .then(pl.concat_str(text.str.slice(0, SHOWN_CHARACTERS), pl.lit("… ("), length.cast(pl.String), pl.lit(" characters)")))
        .otherwise(text)
        .alias(name)
    )
