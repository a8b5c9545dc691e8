"""Avro of any shape, a row at a time by fastavro: nested records, maps, wide unions, references. Slower, and reads everything."""

import datetime as dt
import io
import json
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import fastavro
import polars as pl

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.container import Block, Bounds, Header, blocks
from procurement_platform.inbox.decoders import SHOWN_CHARACTERS, Batch, Wanted
from procurement_platform.inbox.task import Limits
from procurement_platform.texts import shorten

_BATCH_ROWS = 10_000
_FLOATS = ("float", "double")
_TEXTS = ("string", "int", "long", "enum")
_LOGICAL = {
    "decimal": "text",
    "uuid": "text",
    "timestamp-millis": "instant",
    "timestamp-micros": "instant",
    "local-timestamp-millis": "local",
    "local-timestamp-micros": "local",
}


class AvroRows:
    """Reads an Avro file whose rows are read one by one. Exact values travel as text: `Reading` parses them as it does for CSV."""

    def __init__(self, path: Path, header: Header, start: int, limits: Limits) -> None:
        self._path = path
        self._header = header
        self._start = start
        self._limits = limits
        try:
            self._schema = fastavro.parse_schema(header.schema)
        except Exception as problem:  # whatever a made-up schema makes of the parser
            raise InvalidFile(f"has an Avro schema that cannot be read ({_words(problem)}); send it again") from problem
        self.schema: dict[str, pl.DataType] = {field["name"]: _dtype(field["type"]) for field in header.schema["fields"]}

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]:
        wanted = [name for name in self.schema if name in columns]
        rows: list[dict[str, Any]] = []
        first = 1
        for block in self._blocks(some):
            if rows and block.first_row != first + len(rows):  # blocks were left out
                yield self._batch(rows, first, wanted)
                rows = []
            first = first if rows else block.first_row
            data = io.BytesIO(block.data)
            for number in range(block.first_row, block.first_row + block.rows):
                rows.append(self._row(data, number, block))
                if len(rows) == _BATCH_ROWS:
                    yield self._batch(rows, first, wanted)
                    rows, first = [], number + 1
            if data.tell() != len(block.data):
                raise InvalidFile(f"is damaged in {block}: its rows do not fill it exactly; send it again")
        if rows:
            yield self._batch(rows, first, wanted)

    def _blocks(self, some: Wanted | None) -> Iterator[Block]:
        with self._path.open("rb", buffering=1024 * 1024) as file:
            file.seek(self._start)
            yield from blocks(file, self._header, Bounds.of(self._limits), some)

    def _row(self, data: io.BytesIO, number: int, block: Block) -> dict[str, Any]:
        try:
            row = fastavro.schemaless_reader(data, self._schema, None)
        except MemoryError:
            raise
        except UnicodeDecodeError as problem:
            raise _not_utf8(problem, number, block) from problem
        except Exception as problem:  # fastavro's errors are those of whatever it stumbles over
            raise InvalidFile(f"is damaged at row {number} in block {block.number} ({_words(problem)}); send it again") from problem
        return cast("dict[str, Any]", row)

    def _batch(self, rows: list[dict[str, Any]], first: int, wanted: list[str]) -> Batch:
        frame = pl.DataFrame([pl.Series(name, [_cell(row[name], self.schema[name]) for row in rows], self.schema[name]) for name in wanted])

        def whole(positions: pl.Series) -> pl.DataFrame:
            sent = [rows[position] for position in positions]
            return pl.DataFrame([pl.Series(name, [_text(row[name]) for row in sent], pl.String) for name in self.schema])

        return Batch(frame, first, whole)


def bad_text(header: Header, block: Block) -> InvalidFile | None:
    """The error of a damaged block where the first thing wrong with it is a text that is not UTF-8."""
    data, row = io.BytesIO(block.data), block.first_row
    try:
        schema = fastavro.parse_schema(header.schema)
        while row < block.first_row + block.rows:
            fastavro.schemaless_reader(data, schema, None)
            row += 1
    except MemoryError:
        raise
    except UnicodeDecodeError as problem:
        return _not_utf8(problem, row, block)
    except Exception:  # noqa: BLE001  damaged otherwise: fastavro's errors are those of whatever it stumbles over
        return None
    return None


def _not_utf8(problem: UnicodeDecodeError, row: int, block: Block) -> InvalidFile:
    """Bytes that changed on their way make such texts, too: nobody can tell."""
    told = f"a text in row {row} has the byte 0x{problem.object[problem.start]:02x}"
    return InvalidFile(f"is damaged in block {block.number}, or not UTF-8: {told}; export the file as UTF-8, send it again")


def _dtype(declared: Any) -> pl.DataType:
    """The type a column of this Avro type gets: exact kinds as text, instants as such, everything else as it must not be used."""
    branches = [branch for branch in (declared if isinstance(declared, list) else [declared]) if branch != "null"]
    if not branches:
        return pl.Null()
    kinds = {_kind(branch) for branch in branches}
    if kinds <= {"text"}:
        return pl.String()
    if kinds == {"instant"}:
        return pl.Datetime("us", "UTC")
    if kinds == {"local"}:
        return pl.Datetime("us")
    if not kinds.isdisjoint(_FLOATS):
        return pl.Float64()
    return pl.Object()


def _kind(branch: Any) -> str:
    logical = branch.get("logicalType") if isinstance(branch, dict) else None
    kind = branch.get("type") if isinstance(branch, dict) else branch
    if logical is None:
        return "text" if kind in _TEXTS else kind if kind in _FLOATS else "other"
    return _LOGICAL.get(logical, "other")


def _cell(value: Any, dtype: pl.DataType) -> Any:
    if dtype == pl.String:
        return None if value is None else _exact_text(value)
    return value


def _exact_text(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return _exact_text(value)
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    return json.dumps(value, default=str)[: 2 * SHOWN_CHARACTERS]


def _words(problem: BaseException) -> str:
    return shorten(" ".join(str(problem).split()) or type(problem).__name__, 160)
