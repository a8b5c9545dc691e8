"""The engine on real files: exact values, declared columns, the same bytes twice, clear errors, bounded memory and reach."""

import datetime as dt
import hashlib
import itertools
import os
from collections.abc import Mapping
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.engines.base import Relation, Scalar
from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.engines.queries import Query
from procurement_platform.errors import InputGone, ProcurementError, PromiseBroken, QueryRefused
from procurement_platform.lake.tables import ARROW_TYPES

COLUMNS = {"k": "varchar", "q": "decimal(18,3)", "p": "decimal(18,4)", "n": "bigint", "d": "date"}
SCHEMA = pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in COLUMNS.items()])
READ = Query("test/read", "SELECT k, q, n FROM t ORDER BY k, n")
READ_COLUMNS = {"k": "varchar", "q": "decimal(18,3)", "n": "bigint"}


def file(folder: Path, rows: list[Mapping[str, Any]], name: str = "t.parquet") -> Relation:
    path = folder / name
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA), path)
    return Relation(COLUMNS, (str(path),))


def one(engine: DuckDBEngine, expression: str, folder: Path, **row: object) -> object:
    return engine.rows(Query("test/one", f"SELECT {expression} AS x FROM t"), {"t": file(folder, [row])}, {})[0]["x"]  # noqa: S608


def test_write_and_read_back(engine: DuckDBEngine, tmp_path: Path) -> None:
    given = file(tmp_path, [{"k": "b", "q": Decimal("1.500"), "n": 1}, {"k": "a", "n": 2}, {"n": 3}])
    target = tmp_path / "new" / "part-0.parquet"
    assert engine.write(READ, {"t": given}, str(target), READ_COLUMNS, {}).rows == 3
    assert pq.read_table(target).to_pylist() == [
        {"k": "a", "q": None, "n": 2},
        {"k": "b", "q": Decimal("1.500"), "n": 1},
        {"k": None, "q": None, "n": 3},
    ]
    assert pq.ParquetFile(target).metadata.row_group(0).column(0).compression == "ZSTD"


def test_several_files_and_urls_are_one_relation(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    first, second = file(tmp_path, [{"k": "a"}], "1.parquet"), file(tmp_path / "a b", [{"k": "b"}], "2.parquet")
    relation = Relation(COLUMNS, (*first.files, Path(second.files[0]).as_uri()))
    assert [row["k"] for row in engine.rows(READ, {"t": relation}, {})] == ["a", "b"]


def test_other_file_systems_through_fsspec(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/lake/t.parquet", Path(file(tmp_path, [{"k": "a", "n": 7}]).files[0]).read_bytes())
    engine = DuckDBEngine(temporary=tmp_path / "tmp", folders=("memory://lake", str(tmp_path)))
    try:
        target = "memory://lake/out.parquet"
        assert engine.write(READ, {"t": Relation(COLUMNS, ("memory://lake/t.parquet",))}, target, READ_COLUMNS, {}).rows == 1
        with memory.open("/lake/out.parquet", "rb") as written:
            assert pq.read_table(written).to_pylist() == [{"k": "a", "q": None, "n": 7}]
    finally:
        engine.close()


def test_no_files_is_an_empty_relation_with_types(engine: DuckDBEngine, tmp_path: Path) -> None:
    assert engine.rows(READ, {"t": Relation(COLUMNS)}, {}) == []
    assert engine.write(READ, {"t": Relation(COLUMNS)}, str(tmp_path / "x.parquet"), READ_COLUMNS, {}).rows == 0
    assert pq.read_schema(tmp_path / "x.parquet").names == list(READ_COLUMNS)
    counted = Query("test/count", "SELECT COUNT(*) AS n, SUM(q) AS q FROM t")
    assert engine.rows(counted, {"t": Relation(COLUMNS)}, {}) == [{"n": 0, "q": None}]


def test_a_date_in_the_path_is_no_column(engine: DuckDBEngine, tmp_path: Path) -> None:
    folder = tmp_path / "d=1999-01-01" / "k=other"
    folder.mkdir(parents=True)
    given = file(folder, [{"k": "a", "d": dt.date(2025, 12, 20)}])
    assert engine.rows(Query("q", "SELECT k, d FROM t"), {"t": given}, {}) == [{"k": "a", "d": dt.date(2025, 12, 20)}]


def test_columns_of_another_type_in_the_file_are_cast(engine: DuckDBEngine, tmp_path: Path) -> None:
    path = tmp_path / "narrow.parquet"
    pq.write_table(pa.table({"k": ["a"], "q": pa.array([Decimal("1.50")], pa.decimal128(9, 2)), "n": pa.array([1], pa.int16())}), path)
    relation = Relation({"k": "varchar", "q": "decimal(18,3)", "n": "bigint"}, (str(path),))
    assert engine.write(READ, {"t": relation}, str(tmp_path / "out.parquet"), READ_COLUMNS, {}).rows == 1
    assert engine.rows(READ, {"t": relation}, {}) == [{"k": "a", "q": Decimal("1.500"), "n": 1}]


def test_parameters_are_bound(engine: DuckDBEngine, tmp_path: Path) -> None:
    query = Query("q", "SELECT k FROM t WHERE k = CAST(:k AS varchar) AND d <= CAST(:d AS date) AND q = CAST(:q AS decimal(18,3))")
    given = {"t": file(tmp_path, [{"k": "it's", "d": dt.date(2025, 1, 1), "q": Decimal("0.001")}])}
    params: dict[str, Scalar] = {"k": "it's", "d": dt.date(2025, 1, 1), "q": Decimal("0.001")}
    assert engine.rows(query, given, params) == [{"k": "it's"}]
    assert engine.write(query, given, str(tmp_path / "x.parquet"), {"k": "varchar"}, params).rows == 1
    with pytest.raises(QueryRefused, match=":d has no value"):
        engine.rows(query, given, {"k": "a", "q": 1})
    with pytest.raises(QueryRefused, match=":d is a datetime"):
        engine.rows(query, given, {**params, "d": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)})


def test_a_result_that_is_not_as_declared_leaves_no_file(engine: DuckDBEngine, tmp_path: Path) -> None:
    target = tmp_path / "x.parquet"
    given = {"t": file(tmp_path, [{"k": "a"}])}
    for declared, told in (
        ({**READ_COLUMNS, "n": "integer"}, "n is bigint, declared integer"),
        ({"k": "varchar", "q": "decimal(18,3)"}, "n is bigint, declared nowhere"),
        ({**READ_COLUMNS, "z": "date"}, "z is missing, declared date"),
        (dict(reversed(READ_COLUMNS.items())), "another order"),
    ):
        with pytest.raises(PromiseBroken, match=told):
            engine.write(READ, given, str(target), declared, {})
        assert not target.exists()


def test_a_value_that_does_not_fit_breaks_the_promise(engine: DuckDBEngine, tmp_path: Path) -> None:
    query = Query("q", "SELECT CAST(SUM(q) AS decimal(18,3)) AS q FROM t")
    given = {"t": file(tmp_path, [{"q": Decimal("999999999999999.999")}] * 2)}
    with pytest.raises(PromiseBroken, match="does not fit"):
        engine.write(query, given, str(tmp_path / "x.parquet"), {"q": "decimal(18,3)"}, {})
    assert not (tmp_path / "x.parquet").exists()


def test_a_file_that_is_gone(engine: DuckDBEngine, tmp_path: Path) -> None:
    with pytest.raises(InputGone, match=r"nothing\.parquet"):
        engine.rows(READ, {"t": Relation(COLUMNS, (str(tmp_path / "nothing.parquet"),))}, {})


def test_a_file_written_again_is_read_again(engine: DuckDBEngine, tmp_path: Path) -> None:
    path, words, query = tmp_path / "t.parquet", itertools.product(("aaaaaaaaaa", "b", "cc"), repeat=3), Query("q", "SELECT k FROM t")
    for keys in [*words, *itertools.product(("aaaaaaaaaa", "b", "cc"), repeat=4)]:
        pq.write_table(pa.table({"k": list(keys)}), path)
        os.utime(path, (1_766_000_000, 1_766_000_000))
        assert [row["k"] for row in engine.rows(query, {"t": Relation({"k": "varchar"}, (str(path),))}, {})] == list(keys)


def test_a_damaged_file_is_one_clear_line(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 this is none PAR1")
    with pytest.raises(ProcurementError, match=r"^test/read: [^\n]*t\.parquet[^\n]*$"):
        engine.rows(READ, {"t": Relation(COLUMNS, (str(tmp_path / "t.parquet"),))}, {})


def test_a_file_without_the_column(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(QueryRefused, match='"q"'):
        engine.rows(READ, {"t": Relation(COLUMNS, (str(tmp_path / "t.parquet"),))}, {})


def test_the_engine_reaches_its_folders_only(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    inside, outside = file(tmp_path / "lake", [{"k": "a"}]), file(tmp_path, [{"k": "b"}])
    engine = DuckDBEngine(temporary=tmp_path / "tmp", folders=((tmp_path / "lake").as_uri(),))
    try:
        assert [row["k"] for row in engine.rows(READ, {"t": inside}, {})] == ["a"]
        assert engine.rows(READ, {"t": Relation(COLUMNS)}, {}) == []
        with pytest.raises(ProcurementError, match="file system operations are disabled"):
            engine.rows(READ, {"t": outside}, {})
        with pytest.raises(ProcurementError, match="file system operations are disabled"):
            engine.write(READ, {"t": inside}, str(tmp_path / "x.parquet"), READ_COLUMNS, {})
        with pytest.raises(ProcurementError, match="file system operations are disabled"):
            engine.rows(READ, {"t": Relation(COLUMNS, (str(tmp_path / "lake" / ".." / "t.parquet"),))}, {})
    finally:
        engine.close()


def test_close_removes_the_private_folder_and_the_engine_opens_again(tmp_path: Path) -> None:
    engine = DuckDBEngine(temporary=tmp_path / "tmp")
    for _ in range(2):
        assert engine.rows(READ, {"t": Relation(COLUMNS)}, {}) == []
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        engine.close()
        assert list((tmp_path / "tmp").iterdir()) == []


def test_folders_of_dead_processes_are_swept_and_others_are_not(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead, alive, strange = f"duckdb-{child}-x", f"duckdb-{os.getpid()}-x", "duckdb-mine-x"
    for name in (dead, alive, strange):
        (tmp_path / name).mkdir()
    engine = DuckDBEngine(temporary=tmp_path)
    engine.rows(READ, {"t": Relation(COLUMNS)}, {})
    engine.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted((alive, strange))


def test_dagster_duckdb_is_a_connection(tmp_path: Path) -> None:
    from dagster_duckdb import DuckDBResource

    engine = DuckDBEngine(connect=DuckDBResource(database=":memory:").get_connection, temporary=tmp_path)
    assert engine.rows(READ, {"t": Relation(COLUMNS)}, {}) == []
    engine.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Relation:
    """600,000 rows in three files, in no order: enough for several row groups and for both threads."""
    folder = tmp_path_factory.mktemp("many")
    files = []
    for part in range(3):
        numbers = [(n * 7919 + part) % 600_011 for n in range(200_000)]
        table = pa.table(
            {
                "k": [f"K{n % 50_000:05d}" for n in numbers],
                "q": pa.array([Decimal(n % 997).scaleb(-1) for n in numbers], pa.decimal128(18, 3)),
                "p": pa.array([Decimal(n % 89).scaleb(-2) for n in numbers], pa.decimal128(18, 4)),
                "n": pa.array(numbers, pa.int64()),
                "d": pa.array([dt.date(2025, 12, 20)] * len(numbers)),
            }
        )
        pq.write_table(table, folder / f"{part}.parquet", row_group_size=20_000)
        files.append(str(folder / f"{part}.parquet"))
    return Relation(COLUMNS, tuple(files))


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT k, q, n FROM t ORDER BY n, k, q", READ_COLUMNS),
        ("SELECT k, SUM(q) AS q, COUNT(*) AS n FROM t GROUP BY k ORDER BY k", {**READ_COLUMNS, "q": "decimal(38,3)"}),
        ("SELECT k, q, n FROM t WHERE n <> 5", READ_COLUMNS),
    ],
    ids=["sorted", "grouped", "filtered"],
)
def test_the_same_bytes_twice_with_two_threads(
    sql: str, columns: dict[str, str], many: Relation, engine: DuckDBEngine, tmp_path: Path
) -> None:
    digests = set()
    for run in range(3):
        target = tmp_path / f"{run}.parquet"
        engine.write(Query("test/many", sql), {"t": many}, str(target), columns, {})
        digests.add(hashlib.sha256(target.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_one_thread_reads_a_little_and_all_of_them_more(many: Relation, tmp_path: Path) -> None:
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(many.files[0]).slice(0, 10), few)
    threads: list[int] = []
    with duckdb.connect(":memory:") as connection:
        engine = DuckDBEngine(connect=lambda: nullcontext(connection), threads=2, temporary=tmp_path)
        for files in ((str(few),), many.files, (str(few),)):
            engine.rows(Query("q", "SELECT COUNT(*) AS n FROM t"), {"t": Relation(COLUMNS, files)}, {})
            threads += connection.execute("SELECT current_setting('threads')").fetchone() or ()
        engine.close()
    assert threads == [1, 2, 1]


def test_a_filter_keeps_the_order_it_reads_in(many: Relation, engine: DuckDBEngine, tmp_path: Path) -> None:
    engine.write(Query("q", "SELECT n FROM t WHERE n <> 5"), {"t": many}, str(tmp_path / "x.parquet"), {"n": "bigint"}, {})
    expected = [n for file in many.files for n in pq.read_table(file, columns=["n"])["n"].to_pylist() if n != 5]
    assert pq.read_table(tmp_path / "x.parquet")["n"].to_pylist() == expected


def test_more_than_memory_spills_and_leaves_nothing(many: Relation, tmp_path: Path) -> None:
    engine = DuckDBEngine(memory_mib=64, temporary=tmp_path / "tmp", folders=(str(Path(many.files[0]).parent), str(tmp_path)))
    query = Query("q", "SELECT k, q, p, n, d FROM t ORDER BY q, p, n, k")
    try:
        assert engine.write(query, {"t": many}, str(tmp_path / "x.parquet"), COLUMNS, {}).rows == 600_000
    finally:
        engine.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_too_little_memory_says_which_setting(many: Relation, tmp_path: Path) -> None:
    engine = DuckDBEngine(memory_mib=2, temporary=tmp_path)
    try:
        with pytest.raises(ProcurementError, match="PROCUREMENT_SQL_MEMORY_MIB"):
            engine.rows(Query("q", "SELECT k, COUNT(DISTINCT n) AS n FROM t GROUP BY k ORDER BY n, k"), {"t": many}, {})
    finally:
        engine.close()


def test_nulls_sort_last_both_ways(engine: DuckDBEngine, tmp_path: Path) -> None:
    given = {"t": file(tmp_path, [{"n": None}, {"n": 1}, {"n": 2}])}
    assert [row["n"] for row in engine.rows(Query("q", "SELECT n FROM t ORDER BY n"), given, {})] == [1, 2, None]
    assert [row["n"] for row in engine.rows(Query("q", "SELECT n FROM t ORDER BY n DESC"), given, {})] == [2, 1, None]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("add_days(d, 1)", dt.date(2028, 3, 1)),
        ("add_days(d, 0)", dt.date(2028, 2, 29)),
        ("add_days(d, -60)", dt.date(2027, 12, 31)),
        ("add_days(d, 366)", dt.date(2029, 3, 1)),
        ("CAST(q AS varchar)", "2.000"),
        ("CAST(d AS varchar)", "2028-02-29"),
    ],
)
def test_values_written_out(expression: str, expected: object, engine: DuckDBEngine, tmp_path: Path) -> None:
    assert one(engine, expression, tmp_path, d=dt.date(2028, 2, 29), q=Decimal("2.000")) == expected
