"""The column-wise Avro writer against readers that are not ours."""

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.simulator.avro_writer import AvroWriter, Codec, varint

SYNC = bytes(range(16))
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 3}
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "maybe", "type": ["null", "string"], "default": None},
        {"name": "small", "type": ["int", "null"]},
        {"name": "large", "type": "long"},
        {"name": "number", "type": DECIMAL},
        {"name": "price", "type": ["null", DECIMAL]},
        {"name": "moment", "type": ["null", INSTANT]},
        {"name": "flag", "type": ["null", "boolean"]},
    ],
}
_FIELDS: dict[str, pa.DataType] = {
    "text": pa.string(),
    "maybe": pa.string(),
    "small": pa.int32(),
    "large": pa.int64(),
    "number": pa.decimal128(18, 3),
    "price": pa.decimal128(18, 3),
    "moment": pa.timestamp("us", "UTC"),
    "flag": pa.bool_(),
}
ARROW = pa.schema(_FIELDS)

_DECIMALS = st.integers(-(10**18) + 1, 10**18 - 1).map(lambda number: Decimal(number).scaleb(-3))
ROW = st.fixed_dictionaries(
    {
        "text": st.text(max_size=5),
        "maybe": st.none() | st.text(max_size=80),
        "small": st.none() | st.integers(-(2**31), 2**31 - 1),
        "large": st.integers(-(2**63), 2**63 - 1),
        "number": _DECIMALS,
        "price": st.none() | _DECIMALS,
        "moment": st.none() | st.datetimes(timezones=st.just(dt.UTC)),
        "flag": st.none() | st.booleans(),
    }
)


def written(table: pa.Table, schema: dict[str, Any] = SCHEMA, *, codec: Codec = "null", rows_per_block: int = 3) -> bytes:
    sink = io.BytesIO()
    AvroWriter(sink, schema, SYNC, codec=codec, rows_per_block=rows_per_block).write(table)
    return sink.getvalue()


def read(content: bytes) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(content)))


@given(st.lists(ROW, max_size=10), st.integers(0, 5), st.integers(1, 4))
def test_fastavro_reads_back_what_was_written(rows: list[dict[str, object]], skipped: int, rows_per_block: int) -> None:
    table = pa.Table.from_pylist(rows, ARROW).slice(skipped)  # a slice's buffers begin before its rows
    assert read(written(table, rows_per_block=rows_per_block)) == rows[skipped:]


@given(st.lists(ROW, min_size=1, max_size=10))
def test_polars_reads_back_what_was_written(rows: list[dict[str, object]]) -> None:
    columns = [name for name in _FIELDS if name != "small"]  # polars reads unions with null first only
    schema = SCHEMA | {"fields": [field for field in SCHEMA["fields"] if field["name"] in columns]}
    table = pa.Table.from_pylist(rows, ARROW).select(columns)
    assert pl.read_avro(io.BytesIO(written(table, schema))).equals(pl.DataFrame(table))


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
def test_codecs(codec: Codec) -> None:
    rows = [dict.fromkeys(_FIELDS) | {"text": f"row {n % 7}", "large": n, "number": Decimal(n).scaleb(-3)} for n in range(5000)]
    content = written(pa.Table.from_pylist(rows, ARROW), codec=codec, rows_per_block=1000)
    assert read(content) == rows
    assert content.count(SYNC) == 6


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_contracts_can_be_written(feed: Any) -> None:
    schema = json.loads(feed.contract.avsc)
    kinds = {"text": pa.string(), "integer": pa.int32(), "instant": pa.timestamp("us", "UTC")}
    arrow = pa.schema({f.name: kinds[f.kind] if f.kind in kinds else pa.decimal128(f.precision, f.scale) for f in feed.contract.fields})
    values = {"text": "x", "integer": 7, "instant": dt.datetime(2025, 12, 20, tzinfo=dt.UTC), "decimal": Decimal("1.5")}
    full = {each.name: values[each.kind] for each in feed.contract.fields}
    least = {each.name: None if each.optional else values[each.kind] for each in feed.contract.fields}
    assert read(written(pa.Table.from_pylist([full, least], arrow), schema)) == [full, least]


def test_large_and_chunked_tables_are_the_same_bytes_as_whole_ones() -> None:
    rows = [dict.fromkeys(_FIELDS) | {"text": "x" * (n % 40), "large": n * 10**9, "number": Decimal(n)} for n in range(40_000)]
    table = pa.Table.from_pylist(rows, ARROW)
    pieces = pa.concat_tables([table.slice(0, 12_345), table.slice(12_345)])
    content = written(table, rows_per_block=2048)
    assert written(pieces, rows_per_block=2048) == content
    assert read(content) == rows


def test_large_strings_are_strings() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "text", "type": "string"}]}
    assert read(written(pa.table({"text": pa.array(["", "é", "ab"], pa.large_string())}), schema)) == [{"text": t} for t in ("", "é", "ab")]


def test_a_null_where_the_schema_has_none_is_refused() -> None:
    rows = [dict.fromkeys(_FIELDS) | {"large": 1, "number": Decimal(1)}]
    with pytest.raises(ValueError, match="text has 1 NULLs"):
        written(pa.Table.from_pylist(rows, ARROW))


def test_a_file_without_rows_is_whole() -> None:
    assert read(written(ARROW.empty_table())) == []


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints_are_those_of_avro(number: int) -> None:
    assert fastavro.schemaless_reader(io.BytesIO(varint(number)), {"type": "long"}, None) == number
