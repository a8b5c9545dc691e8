"""What a Parquet file has beyond the contract: its other columns, read only as far as rows of it are shown, each for itself.

Nobody asked for these columns, so whatever is wrong with one says so in its own cells, and neither rejects the file nor hides the others.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from types import TracebackType
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from procurement_platform.inbox.decoders import nested_as_text

_PIECE_ROWS = 16 * 1024
_PIECE_BYTES = 4 * 1024 * 1024  # as the file tells them
_LARGE_BYTES = 16 * 1024 * 1024  # of a piece whose texts repeat: they are left in dictionaries
_HELD_BYTES = 64 * 1024 * 1024  # of Arrow's, from which on a reader is closed after use: it is opened again where it is needed
_NOT_SHOWN = "(not shown: {})"
_NESTED_BYTES = 4 * 1024 * 1024  # as text, by an estimate that is never too low: so much at once
_NOT_READ = (Exception, pl.exceptions.PanicException)  # whatever it is: nobody asked for the column

Open = Callable[[list[str]], pq.ParquetFile]  # with the columns whose texts stay in dictionaries


class OtherColumns:
    """The columns of some names, at the rows that are asked for. Rows count from 0; readers go on from where they are.

    One that needs too much memory says so in its cells, or, if `strict`, raises MemoryError.
    """

    def __init__(self, open_file: Open, names: list[str], *, strict: bool = False) -> None:
        self._open = open_file
        self._names = names
        self._strict = strict
        self._readers: dict[str, _Reader] = {}
        self._repeating: set[str] = set()  # columns whose texts are left in dictionaries: that is slower, and takes more memory, as a rule
        self._given_up: dict[str, str] = {}  # column → why

    def at(self, rows: list[int]) -> pl.DataFrame:
        """A column for each name at ascending rows, nested ones as text. One that cannot be read has that in each of its cells."""
        return pl.DataFrame({name: self._column(name, rows) for name in self._names})

    def _column(self, name: str, rows: list[int]) -> pl.Series:
        while name not in self._given_up:
            try:
                return self._read(name, rows)
            except MemoryError:  # Arrow's own is one, too
                self._readers.pop(name, None)
                pa.default_memory_pool().release_unused()
                if name in self._repeating:
                    if self._strict:
                        raise
                    self._given_up[name] = "it needs more memory than decoding one file may take (PROCUREMENT_DECODE_MEMORY_MIB)"
                self._repeating.add(name)
            except _NOT_READ:
                self._readers.pop(name, None)
                self._given_up[name] = "it cannot be read"
        return pl.repeat(_NOT_SHOWN.format(self._given_up[name]), len(rows), eager=True)

    def _read(self, name: str, rows: list[int]) -> pl.Series:
        if name not in self._readers:
            self._readers[name] = _Reader(self._repeated if name in self._repeating else self._plain, name)
        found = _series(self._readers[name].at(rows))
        if pa.total_allocated_bytes() > _HELD_BYTES:
            del self._readers[name]
        return found

    @cached_property
    def _plain(self) -> pq.ParquetFile:
        return self._open([])

    @cached_property
    def _repeated(self) -> pq.ParquetFile:
        schema = self._plain.schema_arrow
        return self._open([name for name in self._names if _is_bytes(schema.field(name).type)])


class _Reader:
    """One column, a piece at a time, a row group at a time."""

    def __init__(self, file: pq.ParquetFile, name: str) -> None:
        self._file = file
        self._name = name
        groups = (file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
        self._starts = [0, *accumulate(groups)]  # the first row of each row group, and of one after the last
        self._pieces: Iterator[pa.RecordBatch] = iter(())
        self._group = -1
        self._first = self._next = 0  # the rows of the piece, and of the one after it
        self._piece: pa.Array[Any] | None = None

    def at(self, rows: list[int]) -> "list[pa.Array[Any]]":
        found, at = [], 0
        while at < len(rows):
            piece = self._with(rows[at])
            end = bisect_left(rows, self._next, at)
            found += _taken(piece, [row - self._first for row in rows[at:end]])
            at = end
        return found

    def _with(self, row: int) -> "pa.Array[Any]":
        """The piece that has a row."""
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._first:
            self._group, self._piece = group, None
            self._first = self._next = self._starts[group]
            self._pieces = self._file.iter_batches(self._rows(group), [group], [self._name], use_threads=False)
        while self._piece is None or row >= self._next:
            batch = next(self._pieces, None)
            if batch is None:
                raise ValueError("the column has fewer rows than the file")
            piece = batch.column(self._name)
            if piece.nbytes > _LARGE_BYTES and _is_bytes(piece.type):
                raise MemoryError
            self._piece = piece.cast(_TAKEN_AS[piece.type]) if piece.type in _TAKEN_AS else piece
            self._first, self._next = self._next, self._next + len(self._piece)
        return self._piece

    def _rows(self, group: int) -> int:
        """How many rows of a row group to read at once, by what the file tells of their size."""
        told = self._file.metadata.row_group(group)
        chunks = (told.column(number) for number in range(told.num_columns))
        size = sum(chunk.total_uncompressed_size for chunk in chunks if f"{chunk.path_in_schema}.".startswith(f"{self._name}."))
        return min(max(_PIECE_BYTES * told.num_rows // max(size, 1), 1), _PIECE_ROWS)


def _taken(piece: "pa.Array[Any]", positions: list[int]) -> "list[pa.Array[Any]]":
    try:
        return [piece.take(pa.array(positions, pa.int64()))]
    except pa.ArrowNotImplementedError:  # views within lists
        return [piece.slice(position, 1) for position in positions]


def _series(pieces: "list[pa.Array[Any]]") -> pl.Series:
    """The values. Those of a dictionary are made texts once each, however often they are repeated."""
    if not isinstance(pieces[0], pa.DictionaryArray):
        return _values(pa.concat_arrays(pieces))
    return pl.concat([_of_dictionary(cast("pa.DictionaryArray[Any, Any]", each)) for each in pieces])


def _of_dictionary(values: "pa.DictionaryArray[Any, Any]") -> pl.Series:
    used = pc.unique(values.indices.drop_null())
    positions = cast("pl.Series", pl.from_arrow(pc.index_in(values.indices, value_set=used)))
    once = _values(values.dictionary.take(used))
    return once.gather(positions) if len(once) else pl.repeat(None, len(positions), dtype=once.dtype, eager=True)


def _values(values: "pa.Array[Any]") -> pl.Series:
    if not pa.types.is_nested(values.type):
        return _made(values)
    if _length_as_text(values) <= _NESTED_BYTES:
        with _Otherwise():  # where a type in it has no JSON, or a value has none
            made = _made(values)
            return made.to_frame().select(nested_as_text(pl.nth(0))).to_series() if made.dtype.is_nested() else made
        return pl.Series([_text(values, at) for at in range(len(values))], dtype=pl.String)
    if len(values) == 1:
        return pl.Series([_NOT_SHOWN.format("it is too long")])
    half = len(values) // 2
    return pl.concat([_values(values.slice(0, half)), _values(values.slice(half))])


class _Otherwise(suppress):
    """Where it does not work, it is done otherwise. Want of memory is no such case: another process may have it."""

    def __init__(self) -> None:
        super().__init__(*_NOT_READ)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        return not isinstance(error, MemoryError) and super().__exit__(kind, error, trace)


def _made(values: "pa.Array[Any]") -> pl.Series:
    with _Otherwise():  # where it is a type that polars does not have, bytes that are no text, or a time of no day
        values.validate(full=True)
        series = cast("pl.DataFrame", pl.from_arrow(pa.table([values], names=["value"]))).to_series()
        if series.dtype.is_numeric() or series.dtype.is_nested() or series.dtype in _SHOWN:
            return series
    return pl.Series([_text(values, at) for at in range(len(values))], dtype=pl.String)


def _length_as_text(values: "pa.Array[Any]") -> int:
    """At least as many bytes as values take as JSON: of each its own, and the names of its type."""
    return _elements(values) * (len(str(values.type)) + _VALUE_BYTES) + 6 * values.nbytes


def _elements(values: "pa.Array[Any]") -> int:
    """How many values there are, at every depth."""
    if isinstance(values, pa.StructArray):
        return len(values) + sum(_elements(each) for each in values.flatten())
    if isinstance(values, pa.MapArray):
        first, last = (values.offsets[at].as_py() for at in (0, -1))
        return len(values) + sum(_elements(each.slice(first, last - first)) for each in (values.keys, values.items))
    if isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return len(values) + _elements(values.flatten())
    return len(values)


def _text(values: "pa.Array[Any]", at: int) -> str | None:
    value = values[at]
    if not value.is_valid:
        return None
    if isinstance(value, pa.StringScalar | pa.LargeStringScalar):
        return value.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
    try:
        plain = value.as_py()
        _taken(values, [at])[0].validate(full=True)  # a time of no day is another one as Python has it
        return json.dumps(plain, default=str, ensure_ascii=False, separators=(",", ":")) if isinstance(plain, list | dict) else str(plain)
    except MemoryError:
        raise
    except UnicodeDecodeError:
        return _NOT_SHOWN.format("a text in it is not UTF-8")
    except _NOT_READ:
        return _NOT_SHOWN.format("it has a value that no calendar holds")


_SHOWN = (pl.String, pl.Binary, pl.Boolean, pl.Date, pl.Datetime, pl.Time, pl.Null)
_VALUE_BYTES = 100  # the longest number or time, and what parts it from the next
_TAKEN_AS: dict[pa.DataType, pa.DataType] = {
    pa.string_view(): pa.large_string(),
    pa.binary_view(): pa.large_binary(),
}  # views it cannot take


def _is_bytes(kind: pa.DataType) -> bool:
    return any(is_it(kind) for is_it in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary))
