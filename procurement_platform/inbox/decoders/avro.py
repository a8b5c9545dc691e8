"""Avro: flat records through polars, a chunk of blocks at a time; anything else through fastavro, a row at a time.

polars believes what a block declares: it stops after the declared rows and never looks whether bytes are left. So each chunk gets one more
row at its end, which comes out right only if exactly the declared rows were read before it.
"""

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox.container import (
    Block,
    Bounds,
    Header,
    blocks,
    encode_block,
    encode_bytes,
    encode_header,
    encode_long,
    read_header,
)
from procurement_platform.inbox.decoders import BATCH_BYTES, Batch, Decoder, Wanted
from procurement_platform.inbox.task import Limits
from procurement_platform.texts import shorten

_SOME_BYTES = BATCH_BYTES // 4  # of rows that are read again, whole: while SQL holds memory, too
_LAST_ROW = "\x00the row after the last\x00"
_WIDTHS = {"boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
_MAX_PRECISION = 38
_MAX_FIXED = 16  # bytes of a decimal of that precision


def open_avro(path: Path, limits: Limits) -> Decoder:
    """The decoder that fits the file's schema.

    Raises:
        InvalidFile: no Avro container file, or no record of columns in it.
    """
    with path.open("rb") as file:
        header = read_header(file)
        start = file.tell()
    fields = header.schema.get("fields") if isinstance(header.schema, dict) and header.schema.get("type") == "record" else None
    if not isinstance(fields, list) or not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in fields):
        raise InvalidFile("holds no records: its Avro schema must be a record with a field per column")
    names = [each["name"] for each in fields]
    if len(names) > limits.max_columns:
        raise OverLimit(
            f"has {len(names)} columns, more than {limits.max_columns}; leave out those nobody asked for (PROCUREMENT_MAX_COLUMNS)"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidFile(f"has the column {twice[:80]!r} twice; send it once")
    layout = _flat_layout(fields)
    if layout is None:
        from procurement_platform.inbox.decoders.avro_rows import AvroRows

        return AvroRows(path, header, start, limits)
    return AvroColumns(path, header, start, limits, layout)


class _Damaged(Exception):
    """Blocks whose bytes do not decode to the rows they declare."""


@dataclass(frozen=True)
class _Layout:
    """Of a flat record: the least bytes of a row, the row after the last, and the column that tells it."""

    least_row_bytes: int
    last_row: bytes
    teller: str


class AvroColumns:
    """Flat records, by polars."""

    def __init__(self, path: Path, header: Header, start: int, limits: Limits, layout: _Layout) -> None:
        self._path = path
        self._header = header
        self._start = start
        self._limits = limits
        self._layout = layout
        self._head = encode_header(header)
        try:
            self.schema = dict(pl.read_avro(io.BytesIO(self._head)).schema)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
            raise InvalidFile(f"has an Avro schema that cannot be read: {shorten(str(problem), 200)}") from problem

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]:
        wanted = [name for name in self.schema if name in columns]
        complete = len(wanted) == len(self.schema) or some is not None  # rows that are wanted are wanted whole
        for chunk in self._chunks(some):
            frame = self._decode(chunk, None if complete else wanted)

            def whole(rows: pl.Series, chunk: list[Block] = chunk, frame: pl.DataFrame = frame) -> pl.DataFrame:
                return (frame if complete else self._decode(chunk, None))[rows]

            yield Batch(frame, chunk[0].first_row, whole, None if some is None else _numbers(chunk))

    def _chunks(self, some: Wanted | None) -> Iterator[list[Block]]:
        limits = self._limits
        chunk: list[Block] = []
        size = 0
        with self._path.open("rb", buffering=1024 * 1024) as file:
            file.seek(self._start)
            for block in blocks(file, self._header, Bounds.of(limits, self._layout.least_row_bytes), some):
                if chunk and size + len(block.data) > (BATCH_BYTES if some is None else _SOME_BYTES):
                    yield chunk
                    chunk, size = [], 0
                chunk.append(block)
                size += len(block.data)
        if chunk:
            yield chunk

    def _decode(self, chunk: list[Block], columns: list[str] | None) -> pl.DataFrame:
        try:
            return self._read(chunk, columns)
        except _Damaged as problem:
            for block in chunk if len(chunk) > 1 else ():
                try:
                    self._read([block], columns)
                except _Damaged as cause:
                    raise self._invalid(block, cause) from cause
            raise self._invalid(chunk[0], problem) from problem

    def _invalid(self, block: Block, damage: _Damaged) -> InvalidFile:
        """What is wrong with a damaged block: polars does not say whether it is bytes that are no text."""
        from procurement_platform.inbox.decoders.avro_rows import bad_text

        return bad_text(self._header, block) or InvalidFile(f"is damaged in {block}: {damage}; send it again")

    def _read(self, chunk: list[Block], columns: list[str] | None) -> pl.DataFrame:
        layout = self._layout
        rows = sum(block.rows for block in chunk)
        data = b"".join((*(block.data for block in chunk), layout.last_row))
        container = io.BytesIO(self._head + encode_block(rows + 1, data, self._header.sync))
        asked = columns if columns is None or layout.teller in columns else [*columns, layout.teller]
        try:
            frame = pl.read_avro(container, columns=asked)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
            raise _Damaged("its rows cannot be read") from problem
        if frame.height != rows + 1 or frame[layout.teller][-1] != _LAST_ROW:
            raise _Damaged("its rows do not fill it exactly")
        return frame.select(columns or frame.columns).head(rows)


def _numbers(chunk: list[Block]) -> pl.Series:
    return pl.concat(pl.int_range(block.first_row, block.first_row + block.rows, eager=True) for block in chunk)


def _flat_layout(fields: list[dict[str, Any]]) -> _Layout | None:
    """The layout of records that polars reads right, None where it does not (nested, maps, wide unions, references)."""
    least, last_row, teller = 0, io.BytesIO(), None
    for each in fields:
        declared = each.get("type")
        optional = isinstance(declared, list)
        branches = declared if isinstance(declared, list) else [declared]
        others = [branch for branch in branches if branch != "null"]
        width = _width(others[0]) if len(others) == 1 and len(branches) == 1 + optional else None
        if width is None:
            return None
        [branch] = others
        least += 1 if optional else width
        if teller is None and _is_text(branch):
            teller = str(each["name"])
            last_row.write(encode_long(branches.index(branch)) if optional else b"")
            last_row.write(encode_bytes(_LAST_ROW.encode()))
        elif optional:
            last_row.write(encode_long(branches.index("null")))
        else:
            last_row.write(bytes(width))
    return None if teller is None else _Layout(least, last_row.getvalue(), teller)


def _is_text(branch: Any) -> bool:
    return branch == "string" or (isinstance(branch, dict) and branch.get("type") == "string" and "logicalType" not in branch)


def _width(branch: Any) -> int | None:
    """The least bytes a value takes, None for a type that polars is not asked to read."""
    if not isinstance(branch, dict):
        return _WIDTHS.get(branch) if isinstance(branch, str) else None
    precision = branch.get("precision", 1)
    if branch.get("logicalType") == "decimal" and not (isinstance(precision, int) and 1 <= precision <= _MAX_PRECISION):
        return None
    size, width = branch.get("size"), None
    match branch.get("type"):
        case "fixed" if isinstance(size, int) and 0 < size <= _MAX_FIXED:
            width = size
        case "enum" if branch.get("symbols"):
            width = 1
        case str() as name if "items" not in branch:
            width = _WIDTHS.get(name)
    return width
