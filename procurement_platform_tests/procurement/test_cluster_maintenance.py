"""The tasks on HDFS, Trino and the Hive Metastore: what goes, what stays, and that Trino reads the same rows all the while."""

import datetime as dt

import pytest
from sqlglot import exp
from trino.dbapi import connect

from procurement_platform.lake.maintenance.layers import remove_old_files
from procurement_platform.lake.maintenance.metadata import MARKS, reachable, remove_unreachable
from procurement_platform.lake.maintenance.orphans import Orphans
from procurement_platform.lake.maintenance.snapshots import expire_snapshots
from procurement_platform.platform import Platform
from procurement_platform.procurement.compaction import PREFIX, compact_dates
from procurement_platform.procurement.feeds import FEEDS, ORDERS
from procurement_platform.procurement.maintenance import PLACES, layers, orphans, retention
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.reference.pins import remove_unpinned
from procurement_platform.procurement.stale import stale_day
from procurement_platform.procurement.tables import NET_DEMAND, ORDER_LINES, TABLES
from procurement_platform.procurement.versions import roll_back
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.test_cluster_day import DAY, SMALL, in_trino, procurement, published
from procurement_platform_tests.stack.live import own_variables

GRACE = dt.timedelta(days=3)


def environment() -> dict[str, str]:
    """That of the home on the cluster, in which every market's lines lie in a file of their own."""
    return {**own_variables(), "PROCUREMENT_SMALL_DAY_ROWS": "0"}


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_every_task_on_the_real_servers(cluster_home: Settings) -> None:
    far = environment()
    procurement(far, "simulate", str(DAY), *SMALL, "--faults", "typical")
    for _ in range(4):
        procurement(far, "run", str(DAY))
    platform = Platform(cluster_home.model_copy(update={"compact_files": 2}))
    lake, catalog = platform.lake, platform.catalog

    def seen() -> tuple[object, ...]:
        return published(lake), {table.name: in_trino(cluster_home, table) for table in TABLES}

    try:
        before = seen()
        stray = f"{NET_DEMAND.folder(DAY)}/forgotten/part-0.parquet"
        lake.write(stray, b"12345")
        lake.write("reference/markets/0000000000000000.parquet", b"1")

        (line,) = compact_dates(platform, ORDER_LINES, [DAY])
        run = platform.registry.current(ORDER_LINES.name, DAY)
        assert run is not None
        assert run.run_id.startswith(PREFIX)
        assert len(catalog.files(ORDER_LINES, DAY)) < line.count
        assert seen() == before
        assert stale_day(platform, DAY, dt.datetime.now(dt.UTC)) is None
        roll_back(platform, ORDER_LINES, DAY, run.run_id.removeprefix(PREFIX))
        roll_back(platform, ORDER_LINES, DAY, run.run_id)
        assert seen() == before

        with platform.database.transaction() as connection:
            connection.execute(
                "UPDATE control.table_runs SET staged_at = staged_at - interval '40 days', committed_at = committed_at - interval '40 days'"
            )
        lines = retention(platform)
        assert sum(line.what.startswith("net_demand ") for line in lines) == 1
        assert all(line.bytes > 0 for line in lines if line.what.startswith("net_demand "))
        assert len(platform.registry.history(NET_DEMAND.name, DAY)) == 3
        assert seen() == before

        list(expire_snapshots(lake, catalog, TABLES, keep=1))
        assert {len(catalog.load(table).snapshots()) for table in TABLES} == {1}
        assert seen() == before

        assert [line for line in orphans(platform) if line.count] == []  # nothing is old yet
        assert lake.exists(stray)
        now = dt.datetime.now(dt.UTC)
        sweep = Orphans(platform.database, lake, catalog, DOMAIN, now + 2 * GRACE, GRACE)
        assert [(line.what, line.count, line.bytes) for line in sweep.sweep(PLACES, sweep.dates(PLACES))] == [
            (NET_DEMAND.folder(DAY), 1, 5)
        ]
        (line,) = remove_unpinned(platform, now)
        assert (line.what, line.count) == ("reference/markets", 1)
        gone = list(remove_unreachable(lake, catalog, TABLES, now + 2 * GRACE, GRACE))
        assert sum(line.count for line in gone) > len(TABLES)
        for table in TABLES:
            left = {f"{table.location}/metadata/{name}" for name in lake.files(f"{table.location}/metadata") if name != MARKS}
            assert left == reachable(lake, catalog, table)
        assert seen() == before

        procurement(far, "run", str(DAY))
        assert seen()[0] == before[0]
        told = procurement(far, "maintain", "--format", "csv")
        assert "files removed" in told or "snapshots expired" in told
    finally:
        platform.close()


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_raw_files_that_go_take_their_partition_with_them(cluster_home: Settings) -> None:
    far = own_variables()
    other = DAY + dt.timedelta(1)
    for day in (DAY, other):
        procurement(far, "simulate", str(day), *SMALL, "--faults", "none")
        procurement(far, "run", str(day))
    changes = {"raw_retention_days": 50, "late_window_days": 0, "duplicate_window_days": 0}
    platform = Platform(cluster_home.model_copy(update=changes))

    def shown() -> set[object]:
        cursor = connect(host=cluster_home.trino_host, port=cluster_home.trino_port, user="reader").cursor()  # type: ignore[no-untyped-call]
        query = exp.select("run_date", "order_id").from_(exp.table_("orders", cluster_home.raw_schema, "hive"))
        cursor.execute(query.sql("trino"))  # reads the files, where a count of partitions would not
        return {row[0] for row in cursor.fetchall()}

    def sweep() -> list[str]:
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=51)  # of the files' times; the run date is as old as that
        return [
            line.what
            for line in remove_old_files(platform.database, platform.lake, DOMAIN, layers(platform), now, DAY + dt.timedelta(51))
            if line.count
        ]

    try:
        assert shown() == {DAY, other}
        platform.lake.write(f"raw/orders/{other}/.DE.0a1b2c3d.avro.90abcdef.part", b"1234")  # what a killed upload leaves
        unfinished = Orphans(platform.database, platform.lake, platform.catalog, DOMAIN, dt.datetime.now(dt.UTC) + 2 * GRACE, GRACE)
        assert [(line.what, line.bytes) for line in unfinished.sweep(PLACES, [DAY, other])] == [(f"raw/orders/{other}", 4)]
        assert sweep() == [f"raw/orders/{DAY}", f"raw/stock/{DAY}"]
        assert shown() == {other}
        assert platform.raw_tables is not None
        assert platform.raw_tables.reconcile(FEEDS, lambda: platform.ledger.files(DAY, other), dry_run=True) == []
        platform.raw_tables.unregister(ORDERS, DAY)  # once more does no harm
        platform.raw_tables.unregister(ORDERS, other)  # as a kill before its files went leaves it
        assert shown() == set()
        procurement(far, "repair", "raw")
        assert shown() == {other}
    finally:
        platform.close()
