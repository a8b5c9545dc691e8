"""Row-in, row-out examples of SQL files (`sql/README.md` has the format): read, run, compared. Any engine can be held to them."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from procurement_platform.engines.base import Relation, Scalar
from procurement_platform.engines.queries import load_query
from procurement_platform.lake.tables import ARROW_TYPES
from procurement_platform.project import project_file
from procurement_platform_tests.engines.relations import RELATIONS

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """One case of one SQL file: relations' rows in, the result's rows out (each expected row names the columns it speaks of)."""

    query: str
    name: str
    params: Mapping[str, Scalar]
    given: Mapping[str, Sequence[Row]]
    expect: Sequence[Row]

    def __str__(self) -> str:
        return f"{self.query.rpartition('/')[2]}: {self.name}"


def examples() -> Iterator[Example]:
    """Every example of every SQL file, in the order of the files."""
    for path in sorted(project_file("sql").glob("*/*.yaml")):
        query = f"{path.parent.name}/{path.stem}"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        shared = content.get("given", {})
        for case in content["cases"]:
            given = {**shared, **case.get("given", {})}
            yield Example(query, case["name"], {**content.get("params", {}), **case.get("params", {})}, given, case["expect"])


def relations(example: Example, folder: Path) -> dict[str, Relation]:
    """The example's relations as Parquet files. What the query reads and the example leaves out is empty."""
    schemas = {name: columns for name, columns in RELATIONS.items() if name in _read(example.query)}
    unread = example.given.keys() - schemas.keys()
    assert not unread, f"{example}: {', '.join(sorted(unread))} given, but the query does not read it"
    return {name: relation(name, example.given.get(name, ()), folder) for name in schemas}


def relation(name: str, rows: Sequence[Row], folder: Path) -> Relation:
    """Rows (missing columns are NULL; decimals as text or numbers) as a Parquet file; no rows, no file."""
    columns = RELATIONS[name]
    if not rows:
        return Relation(columns)
    for row in rows:
        assert not row.keys() - columns.keys(), f"{name} has no column {', '.join(row.keys() - columns.keys())}"
    arrays = [pa.array([_value(row.get(column), kind) for row in rows], ARROW_TYPES[kind]) for column, kind in columns.items()]
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(arrays, names=list(columns)), path)
    return Relation(columns, (str(path),))


def spoken(row: Row, like: Row) -> dict[str, object]:
    """The columns of a row that an expected row speaks of, as YAML writes them: decimals as text with all their places."""
    assert not like.keys() - row.keys(), f"the result has no column {', '.join(like.keys() - row.keys())}"
    return {column: str(row[column]) if isinstance(row[column], Decimal) else row[column] for column in like}


def _read(query: str) -> set[str]:
    return set(load_query(query).compiled(RELATIONS).relations)


def _value(value: object, kind: str) -> object:
    if value is None or not kind.startswith("decimal"):
        return value
    assert not isinstance(value, float), f"{value!r}: write decimals in quotes"
    return Decimal(str(value))


RUN_DATE = dt.date(2025, 12, 20)
