"""The cluster profile gives what the embedded one gives: the same files for buyers to the byte, the same rows in every table."""

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from sqlglot import exp
from trino.dbapi import connect

from procurement_platform.lake.files import Lake
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement.publication import exceptions_folder, orders_folder
from procurement_platform.procurement.tables import TABLES
from procurement_platform.settings import Settings
from procurement_platform_tests.conftest import SharedServer
from procurement_platform_tests.stack.live import own_variables

DAY = dt.date(2025, 12, 20)
SMALL = ("--orders", "400", "--skus", "60", "--markets", "3", "--seed", "11")
Rows = list[tuple[object, ...]]


def procurement(environment: dict[str, str], *arguments: str) -> str:
    """A command as people give it, in a process of its own; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROCUREMENT_", "HDFS_", "TRINO_", "DAGSTER_"))}
    command = [sys.executable, "-c", "from procurement_platform.cli import main; main()", *arguments]
    done = subprocess.run(
        command, env={**kept, **environment, "PROCUREMENT_SETTLE_SECONDS": "0"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def near(tmp_path: Path, shared_server: SharedServer) -> Iterator[dict[str, str]]:
    """The environment of an embedded home."""
    name, url = shared_server.create()
    yield {"PROCUREMENT_HOME": str(tmp_path / "near"), "PROCUREMENT_DATABASE_URL": url}
    shared_server.drop(name)


@pytest.fixture
def far(cluster_home: Settings) -> dict[str, str]:
    """The environment of a home on the cluster."""
    return own_variables()


def published(lake: Lake) -> dict[str, bytes]:
    """What buyers read, by path."""
    found: dict[str, bytes] = {}
    for folder in (orders_folder(DAY), exceptions_folder(DAY)):
        # A local lake's are links, which Lake.files leaves out.
        names = [p.name for p in Path(lake.path(folder)).iterdir() if p.is_file()] if lake.local else lake.files(folder)
        found |= {f"{folder}/{name}": lake.read(f"{folder}/{name}") for name in sorted(names) if not name.startswith(".")}
    return found


def sorted_rows(rows: list[dict[str, object]], table: Table) -> Rows:
    return sorted((tuple(row[column.name] for column in table.columns) for row in rows), key=repr)


def in_trino(settings: Settings, table: Table) -> Rows:
    cursor = connect(host=settings.trino_host, port=settings.trino_port, user="reader").cursor()  # type: ignore[no-untyped-call]
    columns = [exp.column(column.name, quoted=True) for column in table.columns]
    day = exp.cast(exp.Literal.string(DAY.isoformat()), "date")
    query = exp.select(*columns).from_(exp.table_(table.name, settings.table_schema, "iceberg")).where(exp.column("run_date").eq(day))
    cursor.execute(query.sql("trino"))
    return sorted((tuple(row) for row in cursor.fetchall()), key=repr)


def in_pyiceberg(platform: Platform, table: Table) -> Rows:
    rows = platform.catalog.load(table).scan(row_filter=f"run_date = '{DAY}'").to_arrow().to_pylist()
    return sorted_rows(rows, table)


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.parametrize("faults", ["none", "typical", "hostile", "empty"])
def test_the_same_inbox_gives_the_same_day(faults: str, near: dict[str, str], far: dict[str, str], cluster_home: Settings) -> None:
    there = Platform(cluster_home)
    url = SecretStr(near["PROCUREMENT_DATABASE_URL"])
    here = Platform(Settings(_env_file=None, home=Path(near["PROCUREMENT_HOME"]), profile="embedded", lake=None, database_url=url))
    try:
        if faults != "empty":
            for environment in (near, far):
                procurement(environment, "simulate", str(DAY), *SMALL, "--faults", faults)
            for feed in ("orders", "stock"):
                folder = f"inbox/{feed}/{DAY}"
                for entry in Path(here.lake.path(folder)).iterdir():
                    if entry.is_symlink() or ":" in entry.name:  # what only a local folder can hold has no equal on HDFS
                        entry.unlink()
                lying = here.lake.files(folder)
                assert lying == there.lake.files(folder)
                for name in lying:
                    assert there.lake.read(f"{folder}/{name}") == here.lake.read(f"{folder}/{name}"), name
        told = [procurement(environment, "run", str(DAY)) for environment in (near, far)]
        assert all("done in" in each for each in told)

        expected, found = published(here.lake), published(there.lake)
        assert list(found) == list(expected)
        assert found == expected
        assert len(expected) > (2 if faults in ("none", "typical") else 0)
        for table in TABLES:
            files = here.catalog.files(table, DAY)
            rows = sorted_rows([row for file in files for row in pq.read_table(file).to_pylist()], table)
            assert in_pyiceberg(there, table) == rows, table.name
            assert in_trino(cluster_home, table) == rows, table.name
        assert [name for folder in there.lake.folders("raw/orders") for name in there.lake.files(f"raw/orders/{folder}")] == [
            name for folder in here.lake.folders("raw/orders") for name in here.lake.files(f"raw/orders/{folder}")
        ]
        first = published(there.lake)
        procurement(far, "run", str(DAY))  # again, from the raw copies and the ledger
        assert published(there.lake) == first
    finally:
        here.close()
        there.close()
