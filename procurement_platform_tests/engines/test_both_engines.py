"""Every SQL file gives the same on Trino as on DuckDB: its examples, and rows made up for it."""

import datetime as dt
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from procurement_platform.engines.base import Engine, Relation
from procurement_platform.engines.compile import resolved
from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.engines.queries import Query, load_query
from procurement_platform.errors import ProcurementError, PromiseBroken
from procurement_platform.lake.tables import ARROW_TYPES
from procurement_platform.project import project_file
from procurement_platform_tests.engines.cluster_lake import ClusterLake
from procurement_platform_tests.engines.examples import Example, examples, relation, relations, spoken
from procurement_platform_tests.engines.generated import DAYS, Rows, rows
from procurement_platform_tests.engines.relations import RELATIONS, RESULTS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

EXAMPLES = list(examples())
QUERIES = sorted(f"{path.parent.name}/{path.stem}" for path in project_file("sql").glob("*/*.sql"))
GENERATED = settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each run asks a real server: what fails is shown as it is
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
    print_blob=True,
)


class Both:
    """Rows as files for either engine. On HDFS each relation has one folder, so that Trino makes its table once."""

    def __init__(self, remote: ClusterLake, folder: Path) -> None:
        self.remote, self.local, self.folders = remote, folder, remote.folder()

    def put(self, name: str, given: Any) -> tuple[Relation, Relation]:
        mine = relation(name, given, self.local)
        files = []
        for file in mine.files:
            path = f"{self.folders}/{name}/{uuid.uuid4().hex}.parquet"
            self.remote.lake.write(self.remote.lake.relative(path), Path(file).read_bytes(), lasting=False)
            files.append(path)
        return mine, Relation(mine.columns, tuple(files))


@pytest.fixture(scope="module")
def both(session_lake: ClusterLake, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(session_lake, tmp_path_factory.mktemp("both"))


def found(engine: Engine, query: Query, read: Mapping[str, Relation], run_date: dt.date) -> pa.Table | type[ProcurementError]:
    try:
        return engine.arrow(query, read, {"run_date": run_date})
    except PromiseBroken as problem:
        return type(problem)


def order_of(name: str) -> list[str]:
    """The columns that a query's own ORDER BY names."""
    order = resolved(name, load_query(name).sql, RELATIONS, "trino").args.get("order")
    return [ordered.this.name for ordered in order.expressions if isinstance(ordered.this, exp.Column)] if order else []


def in_any_order(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_on_trino(example: Example, remote: ClusterLake, tmp_path: Path) -> None:
    result = remote.engine.rows(load_query(example.query), remote.copied(relations(example, tmp_path)), example.params)
    compared = [spoken(row, example.expect[min(n, len(example.expect) - 1)]) if example.expect else row for n, row in enumerate(result)]
    assert compared == [dict(row) for row in example.expect]


@pytest.mark.parametrize("name", sorted(RESULTS.keys() & QUERIES))
def test_trino_writes_the_declared_columns(name: str, remote: ClusterLake, engine: DuckDBEngine, tmp_path: Path) -> None:
    example = max((each for each in EXAMPLES if each.query == name), key=lambda each: len(each.expect))
    query, local, target = load_query(name), relations(example, tmp_path), f"{remote.folder()}/out/part-0.parquet"
    written = remote.engine.write(query, remote.copied(local), target, RESULTS[name], example.params)
    assert written.rows == len(example.expect) > 0
    assert written.files == (target,)
    table = remote.read(written.files)
    assert {field.name: field.type for field in table.schema} == {column: ARROW_TYPES[kind] for column, kind in RESULTS[name].items()}
    assert table.to_pylist() == engine.rows(query, local, example.params)


@pytest.mark.parametrize("name", QUERIES)
def test_both_engines_give_the_same(name: str, both: Both, remote: ClusterLake, engine: DuckDBEngine) -> None:
    query, order = load_query(name), order_of(name)
    reads = query.compiled(RELATIONS).relations
    made = st.fixed_dictionaries({relation: rows(relation, repeated=name.endswith("_repeated")) for relation in reads})

    @GENERATED
    @given(inputs=made, run_date=st.sampled_from(DAYS))
    def check(inputs: dict[str, Rows], run_date: dt.date) -> None:
        pairs = {relation: both.put(relation, given) for relation, given in inputs.items()}
        mine = found(engine, query, {relation: pair[0] for relation, pair in pairs.items()}, run_date)
        other = found(remote.engine, query, {relation: pair[1] for relation, pair in pairs.items()}, run_date)
        if isinstance(mine, type) or isinstance(other, type):
            assert mine == other
            return
        assert other.schema == mine.schema
        assert in_any_order(other) == in_any_order(mine)
        assert other.select(order).to_pylist() == mine.select(order).to_pylist()

    check()


@pytest.mark.parametrize("name", QUERIES)
def test_both_engines_give_the_same_of_nothing(name: str, remote: ClusterLake, engine: DuckDBEngine) -> None:
    read, query = {name: Relation(columns) for name, columns in RELATIONS.items()}, load_query(name)
    params = {"run_date": DAYS[0]}
    mine, other = engine.arrow(query, read, params), remote.engine.arrow(query, read, params)
    assert other.schema == mine.schema
    assert other.to_pylist() == mine.to_pylist()


def test_what_overflows_on_one_engine_overflows_on_the_other(both: Both, remote: ClusterLake, engine: DuckDBEngine) -> None:
    most = Decimal("9" * 35 + ".999")
    given = [{"market": market, "sku": "A", "net_demand": most} for market in ("DE", "FR", "PL")]
    mine, other = both.put("net_demand", given)
    query = Query("q", "SELECT CAST(SUM(net_demand) AS decimal(38,3)) AS x FROM net_demand")
    for each, read in ((engine, mine), (remote.engine, other)):
        with pytest.raises(PromiseBroken, match="does not fit"):
            each.rows(query, {"net_demand": read}, {})
