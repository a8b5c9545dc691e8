"""`procurement history` and `procurement rollback`: each run of a table, and going back to one for one date alone."""

import datetime as dt
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from procurement_platform.cli.history import COLUMNS
from procurement_platform.database.locks import DayLock
from procurement_platform.platform import Platform
from procurement_platform.procurement.tables import NET_DEMAND, SUPPLIER_ORDERS
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Done, Procurement

NEXT = "2025-12-21"
ON = dt.date.fromisoformat(DAY)


def rows_of(settings: Settings, day: str) -> list[dict[str, object]]:
    """The rows that the table holds for a date, as Iceberg names their files."""
    platform = Platform(settings)
    try:
        files = platform.catalog.files(NET_DEMAND, dt.date.fromisoformat(day))
        return [row for file in files for row in pq.read_table(file).to_pylist()]
    finally:
        platform.close()


@pytest.fixture
def twice(procurement: Procurement, quick: Settings) -> Settings:
    """Two days; the first was run again after a market sent more."""
    assert procurement("simulate", DAY, NEXT, "--orders", 300, "--faults", "none").code == 0
    assert procurement("backfill", DAY, NEXT).code == 0
    more = Path("more.csv")
    more.write_text(f"order_id,market,sku,quantity,unit_price,ordered_at\nlate,DE,BAB-00001,500,1,{DAY}T10:00:00\n")
    assert procurement("put", more, "--market", "DE", "--feed", "orders", "--date", DAY, "--suffix", "late").code == 0
    assert procurement("run", DAY).code == 0
    return quick


def runs(procurement: Procurement, day: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = procurement("history", "net_demand", "--date", day, "--format", "json").json
    assert all(tuple(line) == COLUMNS for line in found)
    return found


def test_a_date_goes_back_to_an_earlier_run_alone(procurement: Procurement, twice: Settings) -> None:
    newest, first = runs(procurement, DAY)
    assert (newest["state"], newest["published"]) == ("current", True)
    assert (first["state"], first["published"]) == ("earlier", False)
    assert newest["content"] != first["content"]
    after, other = rows_of(twice, DAY), rows_of(twice, NEXT)
    orders = procurement("orders", DAY, "--format", "json").json

    done = procurement("rollback", "net_demand", "--date", DAY, "--to", str(first["run_id"])[:8])
    assert done.code == 0, done.err
    assert f"rows of run {first['run_id']} again" in done.err
    before = rows_of(twice, DAY)
    assert before != after
    assert sum(row["market"] == "DE" and row["sku"] == "BAB-00001" and row["gross_demand"] >= 500 for row in after) == 1  # type: ignore[operator]
    assert rows_of(twice, NEXT) == other
    assert [(line["run_id"], line["state"]) for line in runs(procurement, DAY)] == [
        (first["run_id"], "current"),
        (newest["run_id"], "earlier"),
    ]
    told = (
        rf"net_demand {DAY} was rolled back to run {first['run_id']} at 20\d\d-\d\d-\d\d \d\d:\d\d UTC\. "
        rf"This is the day as it is published, which that left alone: procurement run {DAY} makes its tables anew\n"
    )
    for reader in ("orders", "demand", "exceptions"):
        assert re.fullmatch(told, procurement(reader, DAY, "--format", "json").err)
    assert "rolled back" not in procurement("orders", NEXT).err
    assert procurement("orders", DAY, "--format", "json").json == orders  # buyers see what was published

    assert procurement("rollback", "net_demand", "--date", DAY, "--to", str(newest["run_id"])).code == 0
    assert rows_of(twice, DAY) == after
    assert procurement("demand", DAY, "--format", "json").err == ""
    assert procurement("rollback", "net_demand", "--date", DAY, "--to", str(first["run_id"])).code == 0
    assert procurement("run", DAY).code == 0  # makes it anew from the day's files
    assert rows_of(twice, DAY) == after
    assert procurement("demand", DAY, "--format", "json").err == ""


KILLED_BEFORE_IT_IS_RECORDED = """
import os, signal, sys
from procurement_platform.lake.runs import RunRegistry
commit = RunRegistry.commit
def killed(self, table, *given, **named):
    if table == "net_demand":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, table, *given, **named)
RunRegistry.commit = killed
from procurement_platform.cli import main
main()
"""


def test_a_run_killed_after_its_commit_is_the_one_whose_rows_the_table_has(procurement: Procurement, twice: Settings) -> None:
    newest, first = runs(procurement, DAY)
    after = rows_of(twice, DAY)
    more = Path("still-more.csv")
    more.write_text(f"order_id,market,sku,quantity,unit_price,ordered_at\nlater,DE,BAB-00001,900,1,{DAY}T11:00:00\n")
    assert procurement("put", more, "--market", "DE", "--feed", "orders", "--date", DAY, "--suffix", "later").code == 0
    child = subprocess.run([sys.executable, "-c", KILLED_BEFORE_IT_IS_RECORDED, "run", DAY], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    landed = rows_of(twice, DAY)
    assert landed != after

    found = runs(procurement, DAY)
    last = found[0]["run_id"]
    assert [(line["run_id"], line["state"]) for line in found] == [
        (last, "current"),
        (newest["run_id"], "earlier"),
        (first["run_id"], "earlier"),
    ]
    assert "already has the rows" in refusal(procurement("rollback", "net_demand", "--date", DAY, "--to", last))
    done = procurement("rollback", "net_demand", "--date", DAY, "--to", newest["run_id"])
    assert done.code == 0, done.err
    assert rows_of(twice, DAY) == after
    assert {line["run_id"]: line["state"] for line in runs(procurement, DAY)} == {
        newest["run_id"]: "current",
        first["run_id"]: "earlier",
        last: "unfinished",
    }
    assert procurement("run", DAY).code == 0
    assert rows_of(twice, DAY) == landed


def refusal(done: Done) -> str:
    assert done.code == 1
    return done.err


def test_what_cannot_be_gone_back_to_is_one_line(procurement: Procurement, twice: Settings) -> None:
    newest, first = runs(procurement, DAY)

    def back(run: object, table: str = "net_demand") -> str:
        return refusal(procurement("rollback", table, "--date", DAY, "--to", run))

    assert "already has the rows" in back(newest["run_id"])
    assert f"has no run nonesuch; there are: {newest['run_id']}, {first['run_id']}" in back("nonesuch")
    assert "several runs begin with" in back("")
    assert "is no table; there are order_lines" in back(first["run_id"], "net_demands")
    platform = Platform(twice)
    try:
        lock = DayLock.acquire(platform.database, "procurement", ON, "somebody else")
        assert "somebody else" in back(first["run_id"])
        lock.release()
        (folder,) = NET_DEMAND.run_folders(ON, str(first["run_id"]))
        (file,) = platform.lake.files(folder)
        path = platform.lake.path(folder, file)
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path, store_decimal_as_integer=True)
        assert "are not what run" in back(first["run_id"])
        platform.lake.remove_folder(folder)
        assert "are gone" in back(first["run_id"])
        assert runs(procurement, DAY)[1]["state"] == "gone"
        platform.registry.stage(SUPPLIER_ORDERS.name, ON, "begun", SUPPLIER_ORDERS.run_folders(ON, "begun"))
        assert "never committed" in back("begun", "supplier_orders")
    finally:
        platform.close()


def test_all_dates_are_listed_by_date(procurement: Procurement, twice: Settings) -> None:
    found = procurement("history", "supplier_orders", "--format", "json").json
    assert [line["run_date"] for line in found] == [DAY, DAY, NEXT]
