"""A lake with a catalog and a registry, and a way to stage rows."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.database.connect import Database
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import Publisher
from procurement_platform.lake.runs import RunRegistry
from procurement_platform.settings import Settings
from procurement_platform_tests.lake.parts import PARTS, Stage


@pytest.fixture
def lake(home: Settings) -> Lake:
    return Lake(home.lake_url)


@pytest.fixture
def publisher(lake: Lake, database: Database) -> Iterator[Publisher]:
    catalog = TableCatalog(lake, database.sqlalchemy_url)
    yield Publisher(lake, catalog, RunRegistry(database))
    catalog.close()


@pytest.fixture
def stage(publisher: Publisher) -> Stage:
    def staged(
        day: dt.date, run_id: str, parts: Sequence[str | None], *, run_date: dt.date | None = None, schema: pa.Schema | None = None
    ) -> list[str]:
        folder = publisher.stage(PARTS, day, run_id)[0]
        path = Path(folder) / "part-0.parquet"
        rows = {"run_date": [run_date or day] * len(parts), "part": list(parts), "amount": [None] * len(parts)}
        table = pa.table(rows, schema=PARTS.arrow)
        pq.write_table(table.cast(schema) if schema else table, path, store_decimal_as_integer=True)
        return [str(path)]

    return staged
