"""Trino on real files of HDFS: exact values, declared columns, one file in order, nothing left behind, nothing read too little."""

import datetime as dt
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trino.client import TrinoRequest

from procurement_platform.engines import trino as module
from procurement_platform.engines.base import Relation, Scalar
from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.engines.queries import Query
from procurement_platform.errors import InputGone, ProcurementError, PromiseBroken, QueryRefused
from procurement_platform.lake.parquet import footer
from procurement_platform.lake.tables import ARROW_TYPES
from procurement_platform_tests.engines.cluster_lake import ClusterLake
from procurement_platform_tests.stack.live import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

COLUMNS = {"k": "varchar", "q": "decimal(18,3)", "n": "bigint", "d": "date"}
SCHEMA = pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in COLUMNS.items()])
READ = Query("test/read", "SELECT k, q, n FROM t ORDER BY k, n")
READ_COLUMNS = {"k": "varchar", "q": "decimal(18,3)", "n": "bigint"}


def table(*rows: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def given(remote: ClusterLake, *rows: Mapping[str, Any], path: str = "") -> dict[str, Relation]:
    return {"t": Relation(COLUMNS, (remote.put(table(*rows), path or f"{remote.folder()}/part-0.parquet"),))}


def test_write_and_read_back(remote: ClusterLake) -> None:
    target = f"{remote.folder()}/new/part-0.parquet"
    written = remote.engine.write(
        READ, given(remote, {"k": "b", "q": Decimal("1.500"), "n": 1}, {"k": "ä", "n": 2}, {"n": 3}), target, READ_COLUMNS, {}
    )
    assert (written.rows, written.files) == (3, (target,))
    assert remote.read(written.files).to_pylist() == [
        {"k": "b", "q": Decimal("1.500"), "n": 1},
        {"k": "ä", "q": None, "n": 2},
        {"k": None, "q": None, "n": 3},
    ]
    assert footer(remote.lake, target).row_group(0).column(0).compression == "ZSTD"
    assert remote.names(target.rpartition("/")[0]) == (["part-0.parquet"], [])


def test_every_type_comes_back_as_it_is_and_as_duckdb_gives_it(remote: ClusterLake, engine: DuckDBEngine, tmp_path: Path) -> None:
    columns = dict(zip("abcdefghi", ARROW_TYPES, strict=False))
    low, high = {"bigint": -(2**63), "integer": -(2**31)}, {"bigint": 2**63 - 1, "integer": 2**31 - 1}
    plain = {"varchar": ("", "ä€😀\t\n'\"\\"), "boolean": (False, True), "date": (dt.date(1900, 2, 28), dt.date(2999, 12, 31))}
    rows: list[dict[str, object]] = [{}, {}, {}]
    for name, kind in columns.items():
        if kind.startswith("decimal"):
            digits, places = map(int, kind[8:-1].split(","))
            most = f"{'9' * (digits - places)}.{'9' * places}"
            values: tuple[object, object] = (Decimal("-" + most), Decimal(most))
        else:
            values = plain.get(kind, (low.get(kind), high.get(kind)))
        rows[0][name], rows[1][name] = values
    source = pa.Table.from_pylist(rows, schema=pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in columns.items()]))
    pq.write_table(source, tmp_path / "t.parquet")
    local = {"t": Relation(columns, (str(tmp_path / "t.parquet"),))}
    query = Query("test/all", f"SELECT {', '.join(columns)} FROM t ORDER BY c")  # noqa: S608
    copies = remote.copied(local)
    found = remote.engine.arrow(query, copies, {})
    assert found.schema == engine.arrow(query, local, {}).schema == source.schema
    assert found.to_pylist() == engine.arrow(query, local, {}).to_pylist()
    written = remote.engine.write(query, copies, f"{remote.folder()}/part-0.parquet", columns, {})
    assert remote.read(written.files).to_pylist() == found.to_pylist()


def test_several_files_of_several_folders_are_one_relation_and_others_are_not(remote: ClusterLake) -> None:
    first, second = f"{remote.folder()}/a b", f"{remote.folder()}/it's 100%20 ü+"
    files = [f"{first}/1.parquet", f"{first}/2 x.parquet", f"{second}/3'ü%20.parquet"]
    for number, file in enumerate([*files, f"{first}/other.parquet", f"{second}/sub/deep.parquet"]):
        remote.put(table({"n": number}), file)
    assert [row["n"] for row in remote.engine.rows(READ, {"t": Relation(COLUMNS, tuple(files))}, {})] == [0, 1, 2]


def test_no_files_is_an_empty_relation_with_types(remote: ClusterLake) -> None:
    target = f"{remote.folder()}/x.parquet"
    assert remote.engine.rows(READ, {"t": Relation(COLUMNS)}, {}) == []
    written = remote.engine.write(READ, {"t": Relation(COLUMNS)}, target, READ_COLUMNS, {})
    assert (written.rows, written.files) == (0, ())
    assert remote.read([target]).schema == pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in READ_COLUMNS.items()])
    assert remote.names(target.rpartition("/")[0]) == (["x.parquet"], [])
    counted = Query("test/count", "SELECT COUNT(*) AS n, SUM(q) AS q FROM t")
    assert remote.engine.rows(counted, {"t": Relation(COLUMNS)}, {}) == [{"n": 0, "q": None}]


def test_a_date_in_the_path_is_no_column(remote: ClusterLake) -> None:
    rows = given(remote, {"k": "a", "d": dt.date(2025, 12, 20)}, path=f"{remote.folder()}/d=1999-01-01/k=other/t.parquet")
    assert remote.engine.rows(Query("q", "SELECT k, d FROM t"), rows, {}) == [{"k": "a", "d": dt.date(2025, 12, 20)}]


def test_a_hidden_folder_can_be_read_and_a_hidden_file_is_refused(remote: ClusterLake) -> None:
    folder = remote.folder()
    assert remote.engine.rows(READ, given(remote, {"n": 7}, path=f"{folder}/_work/x.parquet"), {})[0]["n"] == 7
    assert remote.engine.rows(READ, given(remote, {"n": 8}, path=f"{folder}/.work/x.parquet"), {})[0]["n"] == 8
    for name in ("_x.parquet", ".x.parquet"):
        with pytest.raises(QueryRefused, match="does not see"):
            remote.engine.rows(READ, given(remote, {"n": 7}, path=f"{folder}/{name}"), {})


@pytest.mark.parametrize(
    ("quantity", "number", "expected"),
    [
        (pa.array([Decimal("1.50")], pa.decimal128(9, 2)), pa.array([1], pa.int16()), "1.500"),
        (pa.array([Decimal("-1.2355")], pa.decimal128(38, 4)), pa.array([1], pa.int32()), "-1.236"),
        (pa.array([Decimal(-7)], pa.decimal128(3, 0)), pa.array([1], pa.int8()), "-7.000"),
    ],
    ids=["narrower", "finer", "whole"],
)
def test_columns_of_another_type_in_the_file_are_cast(
    quantity: "pa.Array[Any]", number: "pa.Array[Any]", expected: str, remote: ClusterLake, engine: DuckDBEngine, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"k": ["a"], "q": quantity, "n": number}), tmp_path / "t.parquet")
    local = {"t": Relation(READ_COLUMNS, (str(tmp_path / "t.parquet"),))}
    found = remote.engine.rows(READ, remote.copied(local), {})
    assert found == engine.rows(READ, local, {}) == [{"k": "a", "q": Decimal(expected), "n": 1}]


def test_parameters_are_bound(remote: ClusterLake) -> None:
    query = Query("q", "SELECT k FROM t WHERE k = CAST(:k AS varchar) AND d <= CAST(:d AS date) AND q = CAST(:q AS decimal(18,3))")
    rows = given(remote, {"k": "it's ?", "d": dt.date(2025, 1, 1), "q": Decimal("0.001")})
    params: dict[str, Scalar] = {"k": "it's ?", "d": dt.date(2025, 1, 1), "q": Decimal("0.001")}
    assert remote.engine.rows(query, rows, params) == [{"k": "it's ?"}]
    assert remote.engine.write(query, rows, f"{remote.folder()}/x.parquet", {"k": "varchar"}, params).rows == 1
    with pytest.raises(QueryRefused, match=":d has no value"):
        remote.engine.rows(query, rows, {"k": "a", "q": 1})


def test_a_result_that_is_not_as_declared_leaves_no_file(remote: ClusterLake) -> None:
    folder, full, empty = remote.folder(), given(remote, {"k": "a"}), {"t": Relation(COLUMNS)}
    before, found = remote.tables(), remote.another()
    for declared, told in (
        ({**READ_COLUMNS, "n": "integer"}, "n is bigint, declared integer"),
        ({"k": "varchar", "q": "decimal(18,3)"}, "n is bigint, declared nowhere"),
        ({**READ_COLUMNS, "z": "date"}, "z is missing, declared date"),
        ({**READ_COLUMNS, "q": "decimal(18,4)"}, r"q is decimal\(18,3\), declared decimal\(18,4\)"),
        (dict(reversed(READ_COLUMNS.items())), "another order"),
    ):
        for rows in (full, empty):
            with pytest.raises(PromiseBroken, match=told):
                found.write(READ, rows, f"{folder}/x.parquet", declared, {})
    assert remote.names(folder) == ([], [])
    found.close()
    assert remote.tables() == before


def test_a_value_that_does_not_fit_breaks_the_promise(remote: ClusterLake) -> None:
    query = Query("q", "SELECT CAST(SUM(q) AS decimal(18,3)) AS q FROM t")
    rows, folder = given(remote, *[{"q": Decimal("999999999999999.999")}] * 2), remote.folder()
    with pytest.raises(PromiseBroken, match="does not fit"):
        remote.engine.write(query, rows, f"{folder}/x.parquet", {"q": "decimal(18,3)"}, {})
    with pytest.raises(PromiseBroken, match="does not fit"):
        remote.engine.rows(query, rows, {})
    assert remote.names(folder) == ([], [])


def test_a_file_that_is_gone_is_not_read_as_none(remote: ClusterLake) -> None:
    folder = remote.folder()
    rows = given(remote, {"n": 1}, path=f"{folder}/1.parquet")
    two = {"t": Relation(COLUMNS, (*rows["t"].files, f"{folder}/2.parquet"))}
    with pytest.raises(InputGone, match=r"2\.parquet"):
        remote.engine.rows(READ, two, {})
    remote.put(table({"n": 2}), f"{folder}/2.parquet")
    assert len(remote.engine.rows(READ, two, {})) == 2
    remote.lake.remove_folder(remote.lake.relative(folder))
    for read in (rows, two):
        with pytest.raises(InputGone, match=r"1\.parquet"):
            remote.engine.rows(READ, read, {})
    with pytest.raises(InputGone):
        remote.engine.write(READ, two, f"{remote.folder()}/x.parquet", READ_COLUMNS, {})


def test_a_file_that_vanishes_while_the_query_runs(remote: ClusterLake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = remote.folder()
    rows = {"t": Relation(COLUMNS, tuple(remote.put(table({"n": n}), f"{folder}/{n}.parquet") for n in range(2)))}
    found = remote.another()
    assert len(found.rows(READ, rows, {})) == 2
    run = found._client.run

    def removing_first(*arguments: Any, **options: Any) -> Any:
        remote.lake.remove(remote.lake.relative(f"{folder}/1.parquet"))
        return run(*arguments, **options)

    monkeypatch.setattr(found._client, "run", removing_first)
    target = f"{remote.folder()}/x.parquet"
    with pytest.raises(InputGone, match=r"1\.parquet"):
        found.write(READ, rows, target, READ_COLUMNS, {})
    assert not remote.lake.exists(remote.lake.relative(target))
    found.close()


def test_a_file_written_again_is_read_again(remote: ClusterLake) -> None:
    path = f"{remote.folder()}/t.parquet"
    for number in range(4):
        assert [row["n"] for row in remote.engine.rows(READ, given(remote, {"n": number}, path=path), {})] == [number]


def test_a_damaged_file_is_one_clear_line(remote: ClusterLake) -> None:
    path = f"{remote.folder()}/t.parquet"
    remote.lake.write(remote.lake.relative(path), b"PAR1 this is none PAR1")
    began = time.monotonic()
    with pytest.raises(ProcurementError, match=r"^test/read: [^\n]*t\.parquet[^\n]*$"):
        remote.engine.rows(READ, {"t": Relation(COLUMNS, (path,))}, {})
    assert time.monotonic() - began < 20, "an error that stays is not tried again"


def test_closing_drops_the_tables_and_keeps_the_files(remote: ClusterLake) -> None:
    rows, found = given(remote, {"n": 1}), remote.another()
    for _ in range(2):
        before = remote.tables()
        assert len(found.rows(READ, rows, {})) == 1
        found.write(READ, rows, f"{remote.folder()}/x.parquet", READ_COLUMNS, {})
        assert len(remote.tables()) > len(before)
        found.close()
        assert remote.tables() == before
        assert remote.read(rows["t"].files).num_rows == 1


def test_a_table_is_made_once_for_a_folder(remote: ClusterLake) -> None:
    folder, found = remote.folder(), remote.another()
    before = set(remote.tables())
    for number in range(3):
        rows = given(remote, {"n": number}, path=f"{folder}/{number}.parquet")
        assert [row["n"] for row in found.rows(READ, rows, {})] == [number]
    assert len(set(remote.tables()) - before) == 1
    found.close()


def test_tables_that_somebody_dropped_are_made_anew(remote: ClusterLake) -> None:
    rows, found = given(remote, {"n": 1}), remote.another()
    before = set(remote.tables())
    found.rows(READ, rows, {})
    (own,) = set(remote.tables()) - before
    remote.cluster.query(f"DROP TABLE hive.{remote.schema}.{own}")
    with pytest.raises(ProcurementError, match="does not exist"):
        found.rows(READ, rows, {})
    assert len(found.rows(READ, rows, {})) == 1
    found.close()


def test_a_long_lived_engine_renews_its_tables(remote: ClusterLake, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, found, now = given(remote, {"n": 1}), remote.another(), module._now()
    before = set(remote.tables())
    found.rows(READ, rows, {})
    first = set(remote.tables()) - before
    monkeypatch.setattr(module, "_now", lambda: now + dt.timedelta(hours=13))
    assert len(found.rows(READ, rows, {})) == 1
    second = set(remote.tables()) - before - first
    assert len(second) == 1
    found.close()
    assert set(remote.tables()) == before


def test_tables_that_are_done_with_do_not_pile_up(remote: ClusterLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DROPPED_AT_ONCE", 2)
    rows, found, folder = given(remote, {"n": 1}), remote.another(), remote.folder()
    before = set(remote.tables())
    for number in range(5):
        found.write(READ, rows, f"{folder}/{number}.parquet", READ_COLUMNS, {})
    assert len(set(remote.tables()) - before) <= 1 + 3, "what is read, and those that are dropped with the next"
    found.close()
    assert set(remote.tables()) == before
    assert len(remote.names(folder)[0]) == 5


def test_what_a_killed_run_left_is_dropped_a_day_later(remote: ClusterLake, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, killed, now = given(remote, {"n": 1}), remote.another(), module._now()
    remote.engine.rows(READ, {"t": Relation(COLUMNS)}, {})
    before = set(remote.tables())
    for age in (25, 23):
        with monkeypatch.context() as patched:
            patched.setattr(module, "_now", lambda age=age: now - dt.timedelta(hours=age))
            killed.rows(READ, rows, {})
            killed._tables.clear()
            killed._ready = False
    old, young = sorted(set(remote.tables()) - before)
    remote.cluster.query(f"CREATE TABLE hive.{remote.schema}.read_20200101000000_mine AS SELECT 1 AS a")
    another = remote.another()
    another.rows(READ, {"t": Relation(COLUMNS)}, {})
    assert old not in remote.tables()
    assert {young, "read_20200101000000_mine"} <= set(remote.tables())
    assert remote.read(rows["t"].files).num_rows == 1
    for left in (young, "read_20200101000000_mine"):
        remote.cluster.query(f"DROP TABLE hive.{remote.schema}.{left}")


def test_engines_that_begin_at_once(remote: ClusterLake) -> None:
    rows, schema = given(remote, {"n": 1}), f"{remote.schema}_at_once"
    found: list[int] = []
    engines = [remote.another(schema=schema) for _ in range(4)]

    def work(number: int) -> None:
        found.append(len(engines[number].rows(READ, rows, {})))
        engines[number].close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1, 1]
    remote.cluster.query(f"DROP SCHEMA hive.{schema}")


@pytest.fixture(scope="module")
def many(session_lake: ClusterLake) -> Relation:
    """600,000 rows in three files, in no order: enough for several row groups and for all of Trino's threads."""
    folder, files = session_lake.folder(), []
    for part in range(3):
        numbers = [(n * 7919 + part) % 600_011 for n in range(200_000)]
        columns = {
            "k": [f"K{n % 50_000:05d}" for n in numbers],
            "q": pa.array([Decimal(n % 997).scaleb(-1) for n in numbers], pa.decimal128(18, 3)),
            "n": pa.array(numbers, pa.int64()),
            "d": pa.array([dt.date(2025, 12, 20)] * len(numbers)),
        }
        files.append(session_lake.put(pa.table(columns), f"{folder}/{part}.parquet"))
    return Relation(COLUMNS, tuple(files))


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_a_sorted_result_is_one_file_in_order(direction: str, many: Relation, remote: ClusterLake) -> None:
    query = Query("q", f"SELECT n, k FROM t ORDER BY n {direction}, k")  # noqa: S608
    written = remote.engine.write(query, {"t": many}, f"{remote.folder()}/part-0.parquet", {"n": "bigint", "k": "varchar"}, {})
    assert (written.rows, len(written.files)) == (600_000, 1)
    rows = remote.read(written.files)
    pairs = list(zip(rows["n"].to_pylist(), rows["k"].to_pylist(), strict=True))
    assert pairs == sorted(pairs, key=lambda pair: int(str(pair[0])), reverse=direction == "DESC")


def test_several_writers_make_several_files_named_after_the_target(many: Relation, remote: ClusterLake) -> None:
    found = remote.another()
    for name, value in (("scale_writers", "false"), ("task_scale_writers_enabled", "false"), ("task_min_writer_count", "4")):
        found._client.run(f"SET SESSION {name} = {value}")
    folder = remote.folder()
    written = found.write(Query("q", "SELECT n FROM t"), {"t": many}, f"{folder}/part-0.parquet", {"n": "bigint"}, {})
    found.close()
    expected = ["part-0.parquet", *(f"part-0.{number}.parquet" for number in range(1, len(written.files)))]
    assert len(written.files) > 1
    assert [file.rpartition("/")[2] for file in written.files] == expected
    assert remote.names(folder) == (sorted(expected), [])
    assert remote.read(written.files).num_rows == written.rows == 600_000


def test_too_little_memory_says_which_setting(many: Relation, remote: ClusterLake) -> None:
    found = remote.another()
    found._client.run("SET SESSION query_max_memory_per_node = '1MB'")
    with closing(found), pytest.raises(ProcurementError, match=r"query\.max-memory"):
        found.rows(Query("q", "SELECT k, COUNT(DISTINCT n) AS n FROM t GROUP BY k ORDER BY n, k"), {"t": many}, {})


def test_an_interrupted_query_is_ended_on_the_server(remote: ClusterLake, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, folder, user = given(remote, *({"n": number} for number in range(3_000))), remote.folder(), f"interrupted_{remote.schema}"
    slow = Query("test/slow", "SELECT CAST(SUM(a.n + b.n + c.n) AS bigint) AS n FROM t a CROSS JOIN t b CROSS JOIN t c")
    alive = f"SELECT query_id FROM system.runtime.queries WHERE \"user\" = '{user}' AND state NOT IN ('FINISHED', 'FAILED')"  # noqa: S608
    found, before, get, seen = remote.another(user=user), set(remote.tables()), TrinoRequest.get, []

    def interrupted(request: TrinoRequest, url: str) -> Any:
        seen.extend(remote.cluster.query(f"{alive} AND state = 'RUNNING' AND query LIKE '%CROSS JOIN%'"))
        if seen:
            raise KeyboardInterrupt
        return get(request, url)

    with monkeypatch.context() as patched:
        patched.setattr(TrinoRequest, "get", interrupted)
        with pytest.raises(KeyboardInterrupt):
            found.write(slow, rows, f"{folder}/x.parquet", {"n": "bigint"}, {})
    until(lambda: not remote.cluster.query(alive))
    found.close()
    assert remote.names(folder) == ([], [])
    assert set(remote.tables()) == before


@pytest.mark.parametrize("what", ["write", "rows"])
def test_a_server_that_is_killed_and_comes_back(what: str, many: Relation, remote: ClusterLake) -> None:
    """The query runs while Trino dies; it is done again once Trino is back, and nothing of the first attempt stays."""
    query = Query("q", "SELECT k, COUNT(*) AS n FROM t WHERE n >= 0 GROUP BY k ORDER BY k")
    found, folder, results = remote.another(patience=300.0), remote.folder(), []
    found.rows(query, {"t": many}, {})
    expected = len(found.rows(query, {"t": many}, {}))

    def work() -> None:
        if what == "rows":
            results.append(len(found.rows(query, {"t": many}, {})))
        else:
            results.append(found.write(query, {"t": many}, f"{folder}/x.parquet", {"k": "varchar", "n": "bigint"}, {}).rows)

    remote.cluster.kill("trino")
    thread = threading.Thread(target=work)
    thread.start()
    remote.cluster.heal()
    thread.join()
    found.close()
    assert results == [expected]
    if what == "write":
        assert remote.names(folder) == (["x.parquet"], [])
