"""The Parquet files that decoding leaves: written row group by row group, under a temporary name until they are whole."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.lake.tables import ARROW_TYPES

ROW_GROUP_ROWS = 128 * 1024  # DuckDB reads row groups of this size side by side
_WAITING_BYTES = 32 * 1024 * 1024  # rows with long texts are written sooner
_SAMPLE_ROWS = 10_000


class ParquetOutput:
    """Rows of a lake table for one file of a market. `constants` are the columns with one value for all rows.

    The same rows in the same batches give the same bytes. Nothing is left behind unless `keep` is called.
    """

    def __init__(self, final: Path, unfinished: Path, columns: dict[str, str], constants: dict[str, object]) -> None:
        self._final = final
        self._unfinished = unfinished
        self._columns = columns
        self._constants = constants
        self._waiting: list[pl.DataFrame] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        if frame.height:
            self._waiting.append(frame)
            self._waiting_rows += frame.height
            self._waiting_bytes += int(frame.estimated_size())
            self.rows += frame.height
        if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= _WAITING_BYTES:
            self._flush()

    def keep(self) -> tuple[str, ...]:
        """Finishes the file under its own name: its path, or none where there were no rows."""
        self._flush()
        if self._writer is None:
            return ()
        self._writer.close()
        self._writer = None
        self._unfinished.replace(self._final)
        return (str(self._final),)

    def discard(self) -> None:
        """Removes whatever was written."""
        self._waiting = []
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._unfinished.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._waiting:
            return
        frame = pl.concat(self._waiting, rechunk=True) if len(self._waiting) > 1 else self._waiting[0]
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        table = self._arrow(frame)
        if self._writer is None:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open(frame, table.schema)
        self._writer.write_table(table, row_group_size=frame.height)

    def _arrow(self, frame: pl.DataFrame) -> pa.Table:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        return pa.table([self._column(name, kind, table) for name, kind in self._columns.items()], names=list(self._columns))

    def _column(self, name: str, kind: str, table: pa.Table) -> "pa.Array[Any] | pa.ChunkedArray[Any]":
        if name not in self._constants:
            return table[name]
        value = pa.array([self._constants[name]], type=ARROW_TYPES[kind])
        # One dictionary entry and a run of zeros: written without looking at a single value.
        zeros = pa.Array.from_buffers(pa.int8(), table.num_rows, [None, pa.py_buffer(bytes(table.num_rows))])
        return pa.DictionaryArray.from_arrays(zeros, value)

    def _open(self, frame: pl.DataFrame, schema: pa.Schema) -> pq.ParquetWriter:
        sample = frame.head(_SAMPLE_ROWS)
        # A dictionary of nearly unique values costs time and saves nothing.
        repeated = [
            name for name, dtype in frame.schema.items() if dtype != pl.Int64 and sample[name].n_unique() * 4 < sample[name].count()
        ]
        numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric() and name not in repeated]
        return pq.ParquetWriter(
            self._unfinished,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[*repeated, *self._constants],  # type: ignore[arg-type]
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
            store_decimal_as_integer=True,
            write_statistics=[*self._constants, "row_number"],  # what catalogs partition by; the others' cost a tenth of the time
            store_schema=False,  # readers see the Parquet types, not how the columns happened to lie in memory
        )
