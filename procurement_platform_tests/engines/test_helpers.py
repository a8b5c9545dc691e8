"""The helper functions against Python's exact decimals."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procurement_platform.engines.base import Relation
from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.engines.queries import Query
from procurement_platform.errors import PromiseBroken
from procurement_platform.lake.tables import ARROW_TYPES
from procurement_platform.texts import shorten

COLUMNS = {"k": "varchar", "q": "decimal(18,3)", "p": "decimal(18,4)"}
SCHEMA = pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in COLUMNS.items()])
PRODUCTS = Query("test/products", "SELECT multiply_money(q, p) AS m FROM t")
SUMS = Query("test/sums", "SELECT k, sum_money(q, p) AS m FROM t GROUP BY k ORDER BY k")
ROUNDED = Query("test/rounded", "SELECT CAST(round_up(q, CAST(p AS decimal(18,3))) AS decimal(18,3)) AS r FROM t")
SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

quantities = st.one_of(
    st.decimals(Decimal(-(10**11)), Decimal(10**11), places=3),
    st.decimals(Decimal(-2), Decimal(2), places=3),
    st.sampled_from([Decimal("99999.999"), Decimal(100000), Decimal("-99999.999"), Decimal(-100000)]),
)
prices = st.one_of(
    st.decimals(Decimal(-(10**10)), Decimal(10**10), places=4),
    st.decimals(Decimal(0), Decimal(1), places=4),
    st.sampled_from([Decimal("999999.9999"), Decimal(1000000), Decimal("-999999.9999"), Decimal("0.0001")]),
)


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    with localcontext(Context(prec=60, rounding=ROUND_HALF_UP)):
        yield


def money(quantity: Decimal, price: Decimal) -> Decimal:
    return (quantity * price).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def run(
    engine: DuckDBEngine, query: Query, rows: list[tuple[str | None, Decimal | None, Decimal | None]], folder: Path
) -> list[dict[str, object]]:
    path = folder / "t.parquet"
    pq.write_table(pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=SCHEMA), path)
    return engine.rows(query, {"t": Relation(COLUMNS, (str(path),))}, {})


@SETTINGS
@given(pairs=st.lists(st.tuples(quantities, prices), min_size=1, max_size=40))
def test_multiply_money_is_the_product_rounded_half_up(pairs: list[tuple[Decimal, Decimal]], engine: DuckDBEngine, tmp_path: Path) -> None:
    found = run(engine, PRODUCTS, [("k", q, p) for q, p in pairs], tmp_path)
    assert [row["m"] for row in found] == [money(q, p) for q, p in pairs]


@SETTINGS
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), quantities, prices), min_size=1, max_size=40))
def test_sum_money_rounds_each_product(rows: list[tuple[str, Decimal, Decimal]], engine: DuckDBEngine, tmp_path: Path) -> None:
    expected: dict[str, Decimal] = {}
    for key, quantity, price in rows:
        expected[key] = expected.get(key, Decimal(0)) + money(quantity, price)
    found = run(engine, SUMS, list(rows), tmp_path)
    assert {row["k"]: row["m"] for row in found} == expected


def test_sum_money_leaves_null_out_and_is_0_of_nothing(engine: DuckDBEngine, tmp_path: Path) -> None:
    found = run(engine, SUMS, [("a", None, Decimal(1)), ("b", Decimal(2), Decimal(3)), ("b", Decimal(2), None)], tmp_path)
    assert [(row["k"], str(row["m"])) for row in found] == [("a", "0.0000"), ("b", "6.0000")]


@SETTINGS
@given(pairs=st.lists(st.tuples(st.decimals(0, 10**11, places=3), st.decimals(Decimal("0.001"), 10**6, places=3)), min_size=1))
def test_round_up_is_the_least_whole_number_of_packs(pairs: list[tuple[Decimal, Decimal]], engine: DuckDBEngine, tmp_path: Path) -> None:
    found = run(engine, ROUNDED, [("k", q, p) for q, p in pairs], tmp_path)
    assert [row["r"] for row in found] == [(q // p + 1) * p if q % p else q for q, p in pairs]
    for row, (quantity, pack) in zip(found, pairs, strict=True):
        assert isinstance(row["r"], Decimal)
        assert row["r"] % pack == 0
        assert quantity <= row["r"] < quantity + pack


@pytest.mark.parametrize(
    ("quantity", "pack", "rounded"),
    [("0", "2.5", "0.000"), ("0.001", "2.5", "2.500"), ("2.5", "2.5", "2.500"), ("2.501", "2.5", "5.000"), ("7", "3", "9.000")],
)
def test_round_up(quantity: str, pack: str, rounded: str, engine: DuckDBEngine, tmp_path: Path) -> None:
    assert str(run(engine, ROUNDED, [("k", Decimal(quantity), Decimal(pack))], tmp_path)[0]["r"]) == rounded


def test_rounding_up_beyond_the_type_is_an_error_not_another_number(engine: DuckDBEngine, tmp_path: Path) -> None:
    with pytest.raises(PromiseBroken):
        run(engine, ROUNDED, [("k", Decimal("999999999999999.999"), Decimal(1000))], tmp_path)


def test_key_hash_tells_null_from_other_values_and_columns_apart(engine: DuckDBEngine, tmp_path: Path) -> None:
    query = Query("q", "SELECT CAST(COUNT(DISTINCT h) AS bigint) AS n FROM (SELECT key_hash(k, q, p) AS h FROM t) x")
    one = Decimal(1)
    rows = [("a", one, None), ("a", None, one), (None, one, one), (None, None, None), ("", None, None), ("a", one, one)]
    assert run(engine, query, [*rows, *rows], tmp_path) == [{"n": len(rows)}]


@SETTINGS
@given(texts=st.lists(st.text("ab …é中", max_size=40), min_size=1, max_size=20))
def test_shorten_is_pythons(texts: list[str], engine: DuckDBEngine, tmp_path: Path) -> None:
    query = Query("q", "SELECT k, shorten(k, 12) AS s FROM t")
    found = run(engine, query, [(text, None, None) for text in [*texts, None]], tmp_path)
    assert [row["s"] for row in found] == [*(shorten(text, 12) for text in texts), None]
