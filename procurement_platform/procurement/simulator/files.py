"""Write market files into the inbox as a market would: in its format and spelling, under a name that is ignored until the file is whole."""

import datetime as dt
import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.inbox.feeds import Feed
from procurement_platform.lake.files import Lake
from procurement_platform.procurement.simulator.avro_writer import AvroWriter
from procurement_platform.procurement.simulator.styles import Style
from procurement_platform.procurement.simulator.written import note, sha256_of


class _Text(Protocol):
    """Says a frame in a text format; the first of a file may need a header."""

    def __call__(self, frame: pl.DataFrame, *, first: bool) -> str: ...


@dataclass(frozen=True)
class WrittenFile:
    """A file in the inbox: its path relative to that, its data rows (0 for a file of bytes nobody counted), its size."""

    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Spoiled:
    """Rows written after all others: copies of a file's first rows with `texts` in `column`, one row each. Text formats only."""

    column: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Desk:
    """Where a market's files of one day are written from. `zone` is the market's."""

    lake: Lake
    day: dt.date
    seed: int
    zone: str
    style: Style

    def path(self, feed: Feed, name: str) -> str:
        """A file's path relative to the inbox."""
        return f"{feed.name}/{self.day.isoformat()}/{name}.{self.style.format}"

    def write(
        self, feed: Feed, name: str, tables: Iterable[pa.Table], *, extra: dict[str, str] | None = None, spoiled: Spoiled | None = None
    ) -> WrittenFile:
        """Write the tables, at least one (the contract's columns, times in UTC), as the file `name`.

        `extra`: columns that are in no contract, and the one text each has.
        """
        path, rows, copies = self.path(feed, name), 0, 0

        def own_words() -> Iterator[pa.Table]:
            nonlocal rows
            for table in tables:
                rows += table.num_rows
                yield self._own_words(feed, table, extra or {})

        with self._open(path) as sink:
            match self.style.format:
                case "avro":
                    sync = hashlib.sha256(f"{self.seed} {path}".encode()).digest()[:16]
                    schema = self.style.avro_schema(feed, tuple(extra or ()))
                    writer = AvroWriter(sink, schema, sync, codec=self.style.codec)
                    for table in own_words():
                        writer.write(table)
                case "parquet":
                    _write_parquet(sink, own_words())
                case "csv":
                    copies = _write_text(sink, self._texts(own_words()), _csv, self._spoiled(feed, spoiled))
                case "csv.gz":
                    with gzip.GzipFile("", "wb", 1, sink, mtime=0) as packed:
                        copies = _write_text(packed, self._texts(own_words()), _csv, self._spoiled(feed, spoiled))
                case "jsonl":
                    copies = _write_text(sink, self._texts(own_words()), _jsonl, self._spoiled(feed, spoiled))
        return WrittenFile(path, rows + copies, self.lake.size(f"inbox/{path}"))

    def write_bytes(self, path: str, content: Iterable[bytes]) -> WrittenFile:
        """Write a file of any bytes, under a path relative to the inbox."""
        with self._open(path) as sink:
            for part in content:
                sink.write(part)
        return WrittenFile(path, 0, self.lake.size(f"inbox/{path}"))

    def text(self, feed: Feed, table: pa.Table) -> pl.DataFrame:
        """The rows as the market's text files have them."""
        return next(self._texts(iter([self._own_words(feed, table, {})])))

    @contextmanager
    def _open(self, path: str) -> Iterator[BinaryIO]:
        folder, _, name = f"inbox/{path}".rpartition("/")
        self.lake.make_folder(folder)
        beside = f"{folder}/.{name}.part"
        try:
            with self.lake.fs.open(self.lake.path(beside), "wb") as sink:
                yield sink
            note(self.lake, path, sha256_of(self.lake, beside))
            self.lake.move(beside, f"{folder}/{name}")
        except BaseException:
            self.lake.remove(beside)
            raise

    def _own_words(self, feed: Feed, table: pa.Table, extra: dict[str, str]) -> pa.Table:
        names = self.style.columns(feed)
        table = table.select(list(names)).rename_columns(list(names.values()))
        for name, text in extra.items():
            table = table.append_column(name, pa.repeat(pa.scalar(text), table.num_rows))
        return table

    def _texts(self, tables: Iterator[pa.Table]) -> Iterator[pl.DataFrame]:
        pattern = "%Y-%m-%dT%H:%M:%S%.3f" + ("%:z" if self.style.clock == "offset" else "")
        instants = pl.selectors.datetime().dt.convert_time_zone(self.zone).dt.strftime(pattern)
        return (pl.DataFrame(table).with_columns(instants) for table in tables)

    def _spoiled(self, feed: Feed, spoiled: Spoiled | None) -> Callable[[pl.DataFrame], pl.DataFrame] | None:
        if spoiled is None:
            return None
        name = self.style.columns(feed)[spoiled.column]
        return lambda first: first.head(len(spoiled.texts)).with_columns(pl.Series(name, spoiled.texts[: first.height], dtype=pl.String))


def _csv(frame: pl.DataFrame, *, first: bool) -> str:
    return frame.write_csv(include_header=first)


def _jsonl(frame: pl.DataFrame, *, first: bool) -> str:  # noqa: ARG001 -- every line names its columns
    return frame.write_ndjson()


def _write_text(
    sink: BinaryIO | gzip.GzipFile, frames: Iterator[pl.DataFrame], text: _Text, spoiled: Callable[[pl.DataFrame], pl.DataFrame] | None
) -> int:
    """Writes the frames, then the spoiled copies of the first one's rows; says how many those are."""
    head = next(frames)
    sink.write(text(head, first=True).encode())
    for frame in frames:
        sink.write(text(frame, first=False).encode())
    if spoiled is None:
        return 0
    copies = spoiled(head)
    sink.write(text(copies, first=False).encode())
    return copies.height


def _write_parquet(sink: BinaryIO, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pq.ParquetWriter(sink, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
