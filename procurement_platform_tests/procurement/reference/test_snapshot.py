"""What the reference tables hold, typed, and its version by content."""

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.sample import ensure_sample
from procurement_platform.procurement.reference.snapshot import content_version, parquet_bytes, read_tables
from procurement_platform.procurement.reference.tables import REFERENCE_TABLES


def test_types_are_those_declared_and_values_exact(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO reference.markets (market, name, currency, timezone, active_from, orders_cutoff, sends_stock)"
            " VALUES ('DE', '', 'EUR', 'UTC', '2025-01-31', '07:05:00', false)"
        )
        connection.execute(
            "INSERT INTO reference.products (sku, name, category) VALUES ('1', 'a,\"b\"', NULL), ('b', 'NULL', ''), ('B', 'x\ny', 'é')"
        )
        connection.execute("INSERT INTO reference.suppliers VALUES ('S', 'x', 'EUR', 99999999.9999)")
        connection.execute("INSERT INTO reference.supplier_products (supplier_id, sku, unit_price) VALUES ('S', 'b', 0.1)")
    with database.connect() as connection:
        tables = read_tables(connection)
    assert {name: table.schema for name, table in tables.items()} == {table.name: table.arrow for table in REFERENCE_TABLES}
    [market] = tables["markets"].to_pylist()
    assert market["name"] == ""
    assert (market["active_from"], market["active_to"]) == (dt.date(2025, 1, 31), None)
    assert (market["orders_cutoff"], market["stock_cutoff"]) == ("07:05", "06:00")
    assert (market["sends_orders"], market["sends_stock"]) == (True, False)
    assert [(row["sku"], row["name"], row["category"]) for row in tables["products"].to_pylist()] == [
        ("1", 'a,"b"', None),
        ("B", "x\ny", "é"),
        ("b", "NULL", ""),
    ]
    assert tables["suppliers"]["min_order_value"].to_pylist() == [Decimal("99999999.9999")]
    assert tables["supplier_products"]["unit_price"].to_pylist() == [Decimal("0.1000")]
    assert tables["planning_parameters"].num_rows == 0


def test_all_tables_are_of_one_moment(database: Database) -> None:
    ensure_sample(database)
    with database.connect(autocommit=True) as reader, database.connect() as writer:
        with reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            before = reader.execute("SELECT count(*) FROM reference.planning_parameters").fetchone()
            writer.execute("DELETE FROM reference.planning_parameters")
            writer.commit()
            assert reader.execute("SELECT count(*) FROM reference.planning_parameters").fetchone() == before
        assert read_tables(reader)["planning_parameters"].num_rows == 0
        assert reader.info.transaction_status.name == "IDLE"


_ROWS = st.lists(st.tuples(st.none() | st.text(max_size=4), st.none() | st.integers(-999, 999)), max_size=12)


def _table(rows: list[tuple[str | None, int | None]], *, cut: int = 0) -> pa.Table:
    texts = [text for text, _ in rows]
    numbers = [None if number is None else Decimal(number).scaleb(-3) for _, number in rows]
    fields: list[pa.Field[Any]] = [pa.field("text", pa.string()), pa.field("number", pa.decimal128(18, 3))]
    schema = pa.schema(fields)
    return pa.concat_tables(
        pa.table([pa.array(texts[part]), pa.array(numbers[part], pa.decimal128(18, 3))], schema=schema)
        for part in (slice(0, cut), slice(cut, None))
    )


@given(_ROWS, st.integers(0, 12))
def test_chunks_do_not_count(rows: list[tuple[str | None, int | None]], cut: int) -> None:
    whole, pieces = _table(rows), _table(rows, cut=cut)
    assert content_version(pieces) == content_version(whole)
    assert content_version(pa.concat_tables([whole, whole]).slice(len(rows))) == content_version(whole)
    assert parquet_bytes(pieces) == parquet_bytes(whole)


@given(_ROWS, _ROWS)
def test_versions_are_equal_for_equal_content_only(
    one: list[tuple[str | None, int | None]], other: list[tuple[str | None, int | None]]
) -> None:
    assert (content_version(_table(one)) == content_version(_table(other))) == (one == other)


def test_names_types_nulls_and_cell_limits_count() -> None:
    variants = [
        pa.table({"a": ["x", "yz"]}),
        pa.table({"a": ["xy", "z"]}),
        pa.table({"b": ["x", "yz"]}),
        pa.table({"a": ["xyz", ""]}),
        pa.table({"a": ["xyz", None]}),
        pa.table({"a": pa.array([Decimal("1.000")], pa.decimal128(18, 3))}),
        pa.table({"a": pa.array([Decimal("1.0000")], pa.decimal128(18, 4))}),
        pa.table({"a": ["1.000"]}),
    ]
    assert len({content_version(table) for table in variants}) == len(variants)
    assert all(len(content_version(table)) == 16 for table in variants)


def test_the_version_stays_the_same_over_releases() -> None:
    """Pinned: another value here makes every day of every user see all reference tables as changed."""
    table = pa.table(
        {
            "a": pa.array(["x", None, "é"]),
            "b": pa.array([Decimal("1.500"), None, Decimal("-2.000")], pa.decimal128(18, 3)),
            "c": pa.array([True, False, None]),
            "d": pa.array([dt.date(2025, 12, 20), None, dt.date(1, 1, 1)]),
            "e": pa.array([1, None, -3], pa.int32()),
        }
    )
    assert content_version(table) == "a587fa4d86d53942"


def test_parquet_bytes_read_back_equal(database: Database) -> None:
    ensure_sample(database)
    with database.connect() as connection:
        table = read_tables(connection)["supplier_products"]
    content = parquet_bytes(table)
    assert pq.read_table(pa.BufferReader(content)).equals(table)
    assert pl.read_parquet(content).equals(pl.DataFrame(table))
