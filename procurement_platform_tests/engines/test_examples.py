"""Every SQL file does what its examples say, writes the columns its table declares, and parses as Trino's SQL."""

from pathlib import Path

import pytest
import sqlglot

from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.engines.queries import load_query
from procurement_platform.project import project_file
from procurement_platform_tests.engines.examples import RUN_DATE, Example, examples, relations, spoken
from procurement_platform_tests.engines.relations import RELATIONS, RESULTS

EXAMPLES = list(examples())
QUERIES = sorted(f"{path.parent.name}/{path.stem}" for path in project_file("sql").glob("*/*.sql"))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example(example: Example, engine: DuckDBEngine, tmp_path: Path) -> None:
    rows = engine.rows(load_query(example.query), relations(example, tmp_path), example.params)
    compared = [spoken(row, example.expect[min(n, len(example.expect) - 1)]) if example.expect else row for n, row in enumerate(rows)]
    assert compared == [dict(row) for row in example.expect]


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.query in RESULTS], ids=str)
def test_example_writes_the_declared_columns(example: Example, engine: DuckDBEngine, tmp_path: Path) -> None:
    target = str(tmp_path / "out" / "part-0.parquet")
    written = engine.write(load_query(example.query), relations(example, tmp_path), target, RESULTS[example.query], example.params)
    assert written.rows == len(example.expect)
    assert written.files == ((target,) if example.expect else ())
    assert Path(target).exists()


@pytest.mark.parametrize("name", QUERIES)
def test_each_query_has_three_examples(name: str) -> None:
    assert sum(example.query == name for example in EXAMPLES) >= 3, f"sql/{name}.yaml needs more cases"


@pytest.mark.parametrize("name", QUERIES)
def test_each_query_is_trino_sql(name: str) -> None:
    text = load_query(name).for_trino(RELATIONS, {"run_date": RUN_DATE})
    tree = sqlglot.parse_one(text, read="trino")
    assert not list(tree.find_all(sqlglot.exp.Placeholder)), "every parameter is a literal"


@pytest.mark.parametrize("name", [name for name in QUERIES if name in RESULTS])
def test_each_query_has_the_tables_columns_on_trino_too(name: str) -> None:
    # Types as sqlglot infers them for Trino; only where it can.
    from procurement_platform.engines.compile import resolved

    query = load_query(name)
    tree = resolved(name, query.sql, RELATIONS, "trino")
    assert tree.named_selects == list(RESULTS[name])
    for column, (name_, declared) in zip(tree.selects, RESULTS[name].items(), strict=True):
        assert column.type is not None
        inferred = column.type.sql(dialect="trino").lower().replace(", ", ",")
        if "," in inferred or not declared.startswith("decimal"):
            assert inferred == declared, name_
