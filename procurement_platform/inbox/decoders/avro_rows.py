"""Avro of any shape, a row at a time by fastavro: nested records, maps, wide unions, references. Slower, and reads everything.

What polars reads of such rows is written for it once more, alone: so a column is the same whatever stands beside it.
"""

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import fastavro
import polars as pl

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.container import Block, Bounds, Header, blocks, encode_block
from procurement_platform.inbox.decoders import Batch, Wanted, as_sent
from procurement_platform.inbox.decoders.avro_schema import DECIMAL_BYTES, LARGEST, bare, decimal_digits, dtypes, head, is_decimal, record
from procurement_platform.inbox.decoders.avro_texts import AS_TEXT, as_text
from procurement_platform.inbox.task import Limits
from procurement_platform.texts import shorten

_BATCH_ROWS = 10_000
_FLOATS = ("float", "double")
_TEXTS = ("string", "int", "long", "enum")


class NotUtf8(InvalidFile):
    """A text of an Avro file whose bytes are no UTF-8."""


class RowReader:
    """Reads rows by fastavro: of fields that polars reads (`types`) the plain values, of others texts where a logical type says more."""

    def __init__(self, header: Header, types: Collection[str]) -> None:
        try:
            fields = [
                {"name": each["name"], "type": bare(each["type"], None if each["name"] in types else AS_TEXT)}
                for each in header.schema["fields"]
            ]
            self._schema = fastavro.parse_schema({**header.schema, "fields": fields})
        except Exception as problem:  # whatever a made-up schema makes of the parser
            raise InvalidFile(f"has an Avro schema that cannot be read ({_words(problem)}); send it again") from problem

    def rows(self, block: Block) -> Iterator[dict[str, Any]]:
        """A block's rows.

        Raises:
            InvalidFile: damaged, or more bytes than its rows; NotUtf8 where the first thing wrong is a text.
        """
        data = io.BytesIO(block.data)
        for number in range(block.first_row, block.first_row + block.rows):
            yield self._row(data, number, block)
        if data.tell() != len(block.data):
            raise InvalidFile(f"is damaged in {block}: its rows do not fill it exactly; send it again")

    def _row(self, data: io.BytesIO, number: int, block: Block) -> dict[str, Any]:
        try:
            row = fastavro.schemaless_reader(data, self._schema, None)
        except MemoryError:
            raise
        except UnicodeDecodeError as problem:  # bytes that changed on their way make such texts, too: nobody can tell
            told = f"a text in row {number} has the byte 0x{problem.object[problem.start]:02x}"
            remedy = "export the file as UTF-8, send it again"
            raise NotUtf8(f"is damaged in block {block.number}, or not UTF-8: {told}; {remedy}") from problem
        except Exception as problem:  # fastavro's errors are those of whatever it stumbles over
            raise InvalidFile(f"is damaged at row {number} in block {block.number} ({_words(problem)}); send it again") from problem
        return cast("dict[str, Any]", row)


class FlatRows:
    """Writes the fields of rows that polars reads, as polars reads them."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._schema = fastavro.parse_schema(_with_longs(bare(record(types))))
        self._decimals = [name for name, declared in types.items() if is_decimal(declared)]

    def shorten(self, row: dict[str, Any]) -> bool:
        """Makes a decimal that polars has no room for the largest that it has, which no contract takes; tells whether there was one."""
        found = False
        for name in self._decimals:
            value = row[name]
            if value is not None and len(value) >= DECIMAL_BYTES:
                number = int.from_bytes(value, "big", signed=True)
                if len(value) > DECIMAL_BYTES or abs(number) > LARGEST:
                    row[name] = max(-LARGEST, min(number, LARGEST)).to_bytes(DECIMAL_BYTES, "big", signed=True)
                    found = True
        return found

    def encode(self, rows: Iterable[dict[str, Any]]) -> bytes:
        """The rows one after the other, with decimals of the length that polars has room for."""
        data = io.BytesIO()
        for row in rows:
            self.shorten(row)
            fastavro.schemaless_writer(data, self._schema, row)
        return data.getvalue()


class AvroRows:
    """Reads an Avro file row by row. `types` are the fields that polars reads; exact values of others travel as text, as those of CSV."""

    def __init__(self, path: Path, header: Header, start: int, limits: Limits, types: dict[str, Any]) -> None:
        self._path = path
        self._header = header
        self._start = start
        self._limits = limits
        self._reader = RowReader(header, types)
        self._types = types
        self._flat = dtypes(head(types, header.sync)) if types else {}
        self.schema: dict[str, pl.DataType] = {
            each["name"]: self._flat[each["name"]] if each["name"] in types else _dtype(each["type"]) for each in header.schema["fields"]
        }

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]:
        wanted = [name for name in self.schema if name in columns]
        rows: list[dict[str, Any]] = []
        first = 1
        for block in self._blocks(some):
            if rows and block.first_row != first + len(rows):  # blocks were left out
                yield self._batch(rows, first, wanted)
                rows = []
            first = first if rows else block.first_row
            for number, row in enumerate(self._reader.rows(block), block.first_row):
                rows.append(row)
                if len(rows) == _BATCH_ROWS:
                    yield self._batch(rows, first, wanted)
                    rows, first = [], number + 1
        if rows:
            yield self._batch(rows, first, wanted)

    def _blocks(self, some: Wanted | None) -> Iterator[Block]:
        with self._path.open("rb", buffering=1024 * 1024) as file:
            file.seek(self._start)
            yield from blocks(file, self._header, Bounds.of(self._limits), some)

    def _batch(self, rows: list[dict[str, Any]], first: int, wanted: list[str]) -> Batch:
        frame = self._frame(rows, wanted, _cell)

        def whole(positions: pl.Series) -> pl.DataFrame:
            return self._frame([rows[position] for position in positions], list(self.schema), as_text)

        return Batch(frame, first, lambda positions: as_sent(positions, len(self.schema), whole))

    def _frame(self, rows: list[dict[str, Any]], columns: list[str], cell: Callable[[Any], str | None]) -> pl.DataFrame:
        types = {name: self._types[name] for name in columns if name in self._types}
        frame = self._read(rows, types) if types and rows else pl.DataFrame(schema={name: self._flat[name] for name in types})
        others = [name for name in columns if name not in types]
        texts = [pl.Series(name, [cell(row[name]) for row in rows], pl.String) for name in others]
        return pl.DataFrame([*frame.get_columns(), *texts]).select(columns)

    def _read(self, rows: list[dict[str, Any]], types: dict[str, Any]) -> pl.DataFrame:
        sync = self._header.sync
        return pl.read_avro(io.BytesIO(head(types, sync) + encode_block(len(rows), FlatRows(types).encode(rows), sync)))


def _dtype(declared: Any) -> pl.DataType:
    """The type a column gets that polars does not read: exact kinds as text, everything else as it must not be used."""
    branches = [branch for branch in (declared if isinstance(declared, list) else [declared]) if branch != "null"]
    if not branches:
        return pl.Null()
    kinds = {_kind(branch) for branch in branches}
    if kinds <= {"text"}:
        return pl.String()
    return pl.Object() if kinds.isdisjoint(_FLOATS) else pl.Float64()


def _kind(branch: Any) -> str:
    kind = branch.get("type") if isinstance(branch, dict) else branch
    logical = branch.get("logicalType") if isinstance(branch, dict) else None
    if logical is None or logical == "uuid":
        return "text" if kind in _TEXTS else kind if kind in _FLOATS else "other"
    return "text" if logical == "decimal" and decimal_digits(branch) else "other"


def _with_longs(schema: Any) -> Any:
    """A schema with longs for ints: they are written alike, and no int is too large for one."""
    if isinstance(schema, list):
        return [_with_longs(each) for each in schema]
    if isinstance(schema, dict):
        return schema | {key: _with_longs(schema[key]) for key in ("type", "fields") if key in schema}
    return "long" if schema == "int" else schema


def _cell(value: Any) -> str | None:
    return None if value is None else str(value)


def _words(problem: BaseException) -> str:
    return shorten(" ".join(str(problem).split()) or type(problem).__name__, 160)
