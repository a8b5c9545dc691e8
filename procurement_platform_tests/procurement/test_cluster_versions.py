"""Going back to an earlier run on the cluster: Trino and PyIceberg have that run's rows, and another date keeps its own."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.expressions import EqualTo
from sqlglot import exp
from trino.dbapi import connect

from procurement_platform.platform import Platform
from procurement_platform.procurement.tables import NET_DEMAND
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.test_cluster_day import SMALL, Rows, procurement, sorted_rows
from procurement_platform_tests.stack.live import own_variables

DAY, NEXT = dt.date(2025, 12, 20), dt.date(2025, 12, 21)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture
def platform(cluster_home: Settings) -> Iterator[Platform]:
    found = Platform(cluster_home)
    yield found
    found.close()


def rows_of(platform: Platform, day: dt.date) -> Rows:
    """What the table holds for a date, as Trino and PyIceberg agree."""
    settings, columns = platform.settings, [exp.column(column.name, quoted=True) for column in NET_DEMAND.columns]
    cursor = connect(host=settings.trino_host, port=settings.trino_port, user="reader").cursor()  # type: ignore[no-untyped-call]
    table = exp.table_(NET_DEMAND.name, settings.table_schema, "iceberg")
    of_day = exp.column("run_date").eq(exp.cast(exp.Literal.string(day.isoformat()), "date"))
    cursor.execute(exp.select(*columns).from_(table).where(of_day).sql("trino"))
    in_trino = sorted((tuple(row) for row in cursor.fetchall()), key=repr)
    scan = platform.catalog.load(NET_DEMAND).scan(row_filter=EqualTo(term="run_date", value=day.isoformat()))
    assert sorted_rows(scan.to_arrow().to_pylist(), NET_DEMAND) == in_trino
    return in_trino


def test_a_date_goes_back_to_an_earlier_run_alone(platform: Platform, tmp_path: Path) -> None:
    environment = own_variables()

    def runs() -> list[tuple[str, str]]:
        told = procurement(environment, "history", "net_demand", "--date", str(DAY), "--format", "json")
        return [(line["run_id"], line["state"]) for line in json.loads(told)]

    procurement(environment, "simulate", str(DAY), str(NEXT), *SMALL, "--faults", "none")
    procurement(environment, "backfill", str(DAY), str(NEXT))
    before, other = rows_of(platform, DAY), rows_of(platform, NEXT)
    sku = str(before[0][[column.name for column in NET_DEMAND.columns].index("sku")])
    more = tmp_path / "more.csv"
    more.write_text(f"order_id,market,sku,quantity,unit_price,ordered_at\nlate,DE,{sku},500,1,{DAY}T10:00:00\n")
    procurement(environment, "put", str(more), "--market", "DE", "--feed", "orders", "--date", str(DAY), "--suffix", "late")
    procurement(environment, "run", str(DAY))
    after = rows_of(platform, DAY)
    assert len({repr(rows) for rows in (before, after, other)}) == 3
    [(newest, current), (first, earlier)] = runs()
    assert (current, earlier) == ("current", "earlier")

    told = procurement(environment, "rollback", "net_demand", "--date", str(DAY), "--to", first[:8])
    assert f"rows of run {first} again" in told
    assert rows_of(platform, DAY) == before
    assert rows_of(platform, NEXT) == other
    assert runs() == [(first, "current"), (newest, "earlier")]

    procurement(environment, "rollback", "net_demand", "--date", str(DAY), "--to", newest)
    assert rows_of(platform, DAY) == after
    assert rows_of(platform, NEXT) == other
