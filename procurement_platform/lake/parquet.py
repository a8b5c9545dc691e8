"""Parquet files of the lake, wherever the lake is: footers, columns and rows, read in pieces of what is asked for."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.lake.files import Lake


def footer(lake: Lake, path: str) -> pq.FileMetaData:
    """A file's footer: its schema, its number of rows, the statistics of its columns. No row is read."""
    with ExitStack() as closing:
        return pq.read_metadata(_source(lake, path, closing))


def read_columns(lake: Lake, files: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
    """Small files of one schema as one table, in the order given; at least one file.

    `columns` None: all of them.
    """
    with ExitStack() as closing:
        tables = [pq.read_table(_source(lake, path, closing), columns=list(columns) if columns else None) for path in files]
    return pa.concat_tables(tables)


def read_rows(lake: Lake, path: str, batch: int = 1_000) -> Iterator[dict[str, object]]:
    """A file's rows, one after the other."""
    for rows in read_batches(lake, path, batch=batch):
        yield from rows.to_pylist()


def read_batches(lake: Lake, path: str, columns: Sequence[str] | None = None, *, batch: int = 10_000) -> Iterator[pa.RecordBatch]:
    """A file's rows in order, at most `batch` of them at a time, so that none of its size is held.

    `columns` None: all of them.
    """
    with ExitStack() as closing, pq.ParquetFile(_source(lake, path, closing)) as file:
        yield from file.iter_batches(batch_size=batch, columns=list(columns) if columns else None)


def _source(lake: Lake, path: str, closing: ExitStack) -> str | IO[bytes]:
    """A local file by its name, any other opened by the lake's file system."""
    return path if lake.local else closing.enter_context(lake.open(path))
