"""Avro: flat records through polars, a chunk of blocks at a time; anything else through fastavro, a row at a time.

polars believes what a block declares: it stops after the declared rows and never looks whether bytes are left. So each chunk gets one more
row at its end, which comes out right only if exactly the declared rows were read before it.
"""

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
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
    encode_long,
    read_header,
)
from procurement_platform.inbox.decoders import BATCH_BYTES, Batch, Decoder, Wanted, as_sent
from procurement_platform.inbox.decoders.avro_schema import LARGEST, dtypes, flat, head, value_type, width
from procurement_platform.inbox.task import Limits

_SOME_BYTES = BATCH_BYTES // 4  # of rows that are read again, whole: while SQL holds memory, too
_LAST_ROW = "\x00the row after the last\x00"


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
    types = {each["name"]: read for each in fields if (read := flat(each.get("type"))) is not None}
    layout = _layout(types) if len(types) == len(names) else None
    if layout is None:
        from procurement_platform.inbox.decoders.avro_rows import AvroRows

        return AvroRows(path, header, start, limits, types)
    return AvroColumns(path, header, start, limits, types, layout)


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

    def __init__(self, path: Path, header: Header, start: int, limits: Limits, types: dict[str, Any], layout: _Layout) -> None:
        self._path = path
        self._header = header
        self._start = start
        self._limits = limits
        self._types = types
        self._layout = layout
        self._head = head(types, header.sync)
        self.schema = dtypes(self._head)

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]:
        wanted = [name for name in self.schema if name in columns]
        complete = len(wanted) == len(self.schema) or some is not None  # rows that are wanted are wanted whole
        for chunk in self._chunks(some):
            yield self._batch(chunk, None if complete else wanted, None if some is None else _numbers(chunk))

    def _batch(self, chunk: list[Block], wanted: list[str] | None, numbers: pl.Series | None) -> Batch:
        frame = self._decode(chunk, wanted)

        @cache
        def whole() -> pl.DataFrame:
            return frame if wanted is None else self._decode(chunk, None)

        return Batch(frame, chunk[0].first_row, lambda positions: as_sent(positions, len(self.schema), lambda some: whole()[some]), numbers)

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
            if len(chunk) > 1:
                return pl.concat([self._decode([block], columns) for block in chunk])
            return self._read_again(chunk[0], columns, problem)

    def _read_again(self, block: Block, columns: list[str] | None, damage: _Damaged) -> pl.DataFrame:
        """A block that polars cannot read: it has a decimal that is too large, or is damaged; polars does not say whether by a text."""
        from procurement_platform.inbox.decoders.avro_rows import FlatRows, NotUtf8, RowReader

        writer = FlatRows(self._types)
        try:
            reader = RowReader(self._header, self._types)
            if any(map(writer.shorten, reader.rows(block))):
                return self._read([replace(block, data=writer.encode(reader.rows(block)))], columns)
        except NotUtf8:
            raise
        except (InvalidFile, _Damaged):
            pass  # damaged it is, in whichever words
        raise InvalidFile(f"is damaged in {block}: {damage}; send it again") from damage

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
        if any(_too_large(column.to_physical()) for column in frame if column.dtype.is_decimal()):
            raise _Damaged("it has a decimal of more than 38 digits")
        return frame.select(columns or frame.columns).head(rows)


def _too_large(decimals: pl.Series) -> bool:
    return any(isinstance(most, int) and abs(most) > LARGEST for most in (decimals.min(), decimals.max()))


def _numbers(chunk: list[Block]) -> pl.Series:
    return pl.concat(pl.int_range(block.first_row, block.first_row + block.rows, eager=True) for block in chunk)


def _layout(types: dict[str, Any]) -> _Layout | None:
    """The layout of flat records, None where no column of texts could tell the row after the last."""
    least, last_row, teller = 0, io.BytesIO(), None
    for name, declared in types.items():
        branch, optional = value_type(declared), isinstance(declared, list)
        least += 1 if optional else width(branch)
        if teller is None and branch in ("string", {"type": "string"}):
            teller = name
            last_row.write(encode_long(declared.index(branch)) if optional else b"")
            last_row.write(encode_bytes(_LAST_ROW.encode()))
        elif optional:
            last_row.write(encode_long(declared.index("null")))
        else:
            last_row.write(bytes(width(branch)))
    return None if teller is None else _Layout(least, last_row.getvalue(), teller)
