"""Parquet: what the footer declares is checked before anything is unpacked; texts stay in dictionaries, so that repeats do not expand."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox.decoders import Batch, Wanted, as_sent, not_utf8
from procurement_platform.inbox.decoders.parquet_others import OtherColumns
from procurement_platform.inbox.task import SPLIT, Limits
from procurement_platform.texts import shorten

_BATCH_ROWS = 64 * 1024
_FOOTER_BYTES = 64 * 1024 * 1024
_FOOTER_ITEMS = 1_000_000
_PLAIN = "(not shown: with them the file needs more memory or time than decoding one may take)"


class ParquetDecoder:
    """Reads a Parquet file. Columns that nobody asks for are unpacked only where rows are shown."""

    def __init__(self, path: Path, limits: Limits, *, plain: bool = False, strict: bool = False) -> None:
        self._path = path
        self._plain, self._strict = plain, strict
        try:
            schema, metadata = self._open().schema_arrow, self._open().metadata
        except UnicodeDecodeError as problem:
            raise InvalidFile(not_utf8(problem.object[problem.start], "a column's name")) from problem
        except MemoryError:
            raise  # the limit's doing; Arrow's own is an ArrowException, too
        except (pa.ArrowException, OSError, ValueError) as problem:
            raise InvalidFile(f"cannot be read as Parquet ({_words(problem)}); send it again") from problem
        self._rows = metadata.num_rows
        size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        if len(schema.names) > limits.max_columns:
            raise OverLimit(
                f"has {len(schema.names)} columns, more than {limits.max_columns}; send only those asked for (PROCUREMENT_MAX_COLUMNS)"
            )
        if not 0 <= self._rows <= limits.max_rows_per_file:
            raise OverLimit(f"declares {self._rows} rows, more than {limits.max_rows_per_file}; {SPLIT} (PROCUREMENT_MAX_ROWS_PER_FILE)")
        if not 0 <= size <= limits.max_decoded_bytes:
            raise OverLimit(
                f"declares {size} unpacked bytes, more than {limits.max_decoded_bytes}; {SPLIT} (PROCUREMENT_MAX_DECODED_BYTES)"
            )
        if len(set(schema.names)) < len(schema.names):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            raise InvalidFile(f"has the column {twice[:80]!r} twice; send it once")
        self._texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
        self.schema: dict[str, pl.DataType] = {field.name: _dtype(field) for field in schema}

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]:  # noqa: ARG002
        wanted = [name for name in self.schema if name in columns]
        others = OtherColumns(self._open, [name for name in self.schema if name not in columns], strict=self._strict)
        row = 1
        try:
            file = self._open(texts=[name for name in self._texts if name in columns])
            for part in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted, use_threads=False):
                self._texts_are_utf8(part, row)
                frame = _frame(part)
                if frame.height:
                    yield self._batch(frame, row, others)
                row += frame.height
        except MemoryError:
            raise
        except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as problem:
            raise InvalidFile(f"is damaged after row {row - 1} ({_words(problem)}); send it again") from problem
        if row - 1 != self._rows:
            raise InvalidFile(f"declares {self._rows} rows and holds {row - 1}; send it again")

    def _batch(self, frame: pl.DataFrame, row: int, others: OtherColumns) -> Batch:
        def whole(positions: pl.Series) -> pl.DataFrame:
            beside = others.at((positions.cast(pl.Int64) + row - 1).to_list())
            own = frame[positions]
            return pl.DataFrame({name: beside[name] if name in beside else own.get_column(name) for name in self.schema})

        def without_others(positions: pl.Series) -> pl.DataFrame:
            more = len(self.schema) - frame.width
            return frame[positions].with_columns(pl.lit(_PLAIN).alias(f"({more} more column{'' if more == 1 else 's'})"))

        columns, made = (frame.width + 1, without_others) if self._plain else (len(self.schema), whole)
        return Batch(frame, row, lambda positions: as_sent(positions, columns, made))

    def _texts_are_utf8(self, part: pa.RecordBatch, row: int) -> None:
        """Nobody checks that on the way, and what is written with such a text no engine reads. `row` is the part's first."""
        try:
            part.validate(full=True)
        except pa.ArrowInvalid:
            for name, column in zip(part.schema.names, part.columns, strict=True):
                for number, value in enumerate(column, row):
                    try:
                        value.as_py()
                    except UnicodeDecodeError as problem:
                        told = f"the {name[:80]} of row {number}"
                        raise InvalidFile(not_utf8(problem.object[problem.start], told)) from problem
            raise

    def _open(self, texts: list[str] | None = None) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._path,
            memory_map=False,
            pre_buffer=False,
            buffer_size=1024 * 1024,
            read_dictionary=texts,
            thrift_string_size_limit=_FOOTER_BYTES,
            thrift_container_size_limit=_FOOTER_ITEMS,
        )


def _frame(part: pa.RecordBatch) -> pl.DataFrame:
    frame = cast("pl.DataFrame", pl.from_arrow(part))
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def _dtype(field: Any) -> pl.DataType:
    """A column's type here; one that polars does not have is told by its name, and refused only where the contract asks for the column."""
    if pa.types.is_decimal256(field.type):  # polars has none of more than 38 digits
        return pl.Object()
    try:
        series = pl.from_arrow(pa.table([pa.array([], field.type)], names=["a"]))
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, NotImplementedError):
        return pl.Object()
    dtype = series.schema["a"] if isinstance(series, pl.DataFrame) else pl.Object()
    return pl.String() if dtype == pl.Categorical else dtype


def _words(problem: BaseException) -> str:
    return shorten(" ".join(str(problem).split()), 160)
