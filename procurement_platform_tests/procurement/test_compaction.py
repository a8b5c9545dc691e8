"""Compaction changes files and nothing else: rows, what is published, what follows, and what can be gone back to."""

import datetime as dt
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import InputGone
from procurement_platform.lake.maintenance.listing import Line
from procurement_platform.lake.publish import COMPACTED
from procurement_platform.lake.tables import Table
from procurement_platform.procurement import compaction, planning, publication
from procurement_platform.procurement.coherence import DayState
from procurement_platform.procurement.compaction import PREFIX, compact_dates, quiet_dates
from procurement_platform.procurement.publication import DOMAIN, published_lines
from procurement_platform.procurement.stale import stale_after, stale_day, stale_days
from procurement_platform.procurement.tables import ORDER_LINES, STOCK_LINES, TABLES
from procurement_platform.procurement.versions import history, roll_back
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

NEXT = DAY + dt.timedelta(days=1)
LATER = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)


def small_means(shop: Shop, files: int) -> None:
    """How many files are many. There are as many as were sent."""
    shop.platform.settings = shop.platform.settings.model_copy(update={"compact_files": files, "small_day_rows": 0})


@pytest.fixture
def days(shop: Shop) -> str:
    """Two days; the second has orders that repeat and contradict the first's, and one market sent two files. The first's run id."""
    small_means(shop, 3)
    put_day(shop)
    first = shop.run()
    shop.put("orders", "DE", [order("1", "A", 20, ordered_at="2025-12-20T13:00:00Z"), order("8", "C", 2)], day=NEXT)
    shop.put("orders", "GB", [order("7", "B", 9), order("9", "B", 4)], day=NEXT)
    shop.all_counted(day=NEXT)
    shop.run(NEXT)
    return first


def put_day(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 20, ordered_at="2025-12-20T13:00:00Z"), order("2", "B", 5)])
    shop.put("orders", "DE", [order("3", "C", 7)], suffix="__late")
    shop.put("orders", "GB", [order("7", "B", 3)])
    shop.put("orders", "JP", [order("5", "A", 2)])
    shop.put("stock", "DE", [count("A", 4, 1)])
    shop.put("stock", "GB", [count("B", 1)])
    shop.put("stock", "JP", [])


def compacted(shop: Shop, table: Table = ORDER_LINES, *, dry_run: bool = False) -> list[Line]:
    return list(compact_dates(shop.platform, table, [DAY], dry_run=dry_run))


def rows(shop: Shop, table: Table, day: dt.date = DAY) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in shop.rows(table, day))


def published(shop: Shop, day: dt.date) -> tuple[object, ...]:
    """All bytes that buyers see, and the content of each table behind them."""
    found = shop.platform.days.get(DOMAIN, day)
    assert found is not None
    contents = {name: run.content_hash for name, run in shop.platform.registry.committed(day, [table.name for table in TABLES]).items()}
    return [(f.stable, f.sha256) for f in found.manifest], shop.csvs(day), shop.report(day), contents


def test_the_rows_are_the_same_in_one_file_in_the_order_of_the_markets(shop: Shop, days: str) -> None:
    before, seen = rows(shop, ORDER_LINES), published(shop, DAY)
    (line,) = compacted(shop)
    assert (line.what, line.count, line.note) == (f"order_lines {DAY}", 4, "into 1")
    (file,) = shop.platform.catalog.files(ORDER_LINES, DAY)
    assert f"/{PREFIX}{days}/" in file
    assert rows(shop, ORDER_LINES) == before
    found = pq.read_table(file).to_pylist()
    assert found == sorted(found, key=lambda row: (row["market"], row["file_id"], row["row_number"]))
    assert published(shop, DAY) == seen
    assert compacted(shop) == []


def test_nothing_is_stale_or_mixed_after_it(shop: Shop, days: str) -> None:
    compacted(shop)
    compacted(shop, STOCK_LINES)
    now = dt.datetime.now(dt.UTC)
    assert stale_days(shop.platform, now, [DAY, NEXT]) == []
    assert [stale_day(shop.platform, day, now) for day in (DAY, NEXT)] == [None, None]
    assert stale_after(shop.platform, DAY, now) == []
    run = shop.day()
    with run.step("look"):
        DayState.of(run).check(*(table.name for table in TABLES), "exceptions")
    run.close()


def test_the_day_and_the_next_one_run_again_give_the_same_bytes(shop: Shop, days: str) -> None:
    seen = {day: published(shop, day) for day in (DAY, NEXT)}
    assert ("CONFLICTING_ORDER", "GB", "B", "GB.avro", 1) in shop.exceptions(NEXT)
    assert any(rule == "DUPLICATE_ORDER" and market == "DE" for rule, market, *_ in shop.exceptions(NEXT))
    compacted(shop)
    compacted(shop, STOCK_LINES)
    shop.run(NEXT)  # its orders are compared with the compacted lines
    assert published(shop, NEXT) == seen[NEXT]
    shop.run(DAY)
    assert {day: published(shop, day) for day in (DAY, NEXT)} == seen


def test_the_steps_after_it_give_the_same_from_the_compacted_lines(shop: Shop, days: str) -> None:
    seen = published(shop, DAY)
    compacted(shop)
    compacted(shop, STOCK_LINES)
    run = shop.day()
    for name, step in (
        ("aggregated_orders", planning.make_aggregated_orders),
        ("net_demand", planning.make_net_demand),
        ("supplier_orders", planning.make_supplier_orders),
        ("exceptions", publication.make_exceptions),
        ("published_day", publication.publish_day),
    ):
        with run.step(name):
            step(run)
    run.close()
    assert published(shop, DAY) == seen


def test_buyers_day_names_the_run_that_has_the_rows_now_and_going_back_works_either_way(shop: Shop, days: str) -> None:
    before = rows(shop, ORDER_LINES)
    content = published_lines(shop.platform, DAY, DAY)[DAY].content_hash
    compacted(shop)
    states = {version.run_id: (version.state, version.published) for version in history(shop.platform, ORDER_LINES, DAY)}
    assert states == {days: ("earlier", False), PREFIX + days: ("current", True)}
    for back in (days, PREFIX + days, days):
        roll_back(shop.platform, ORDER_LINES, DAY, back)
        assert rows(shop, ORDER_LINES) == before
        assert published_lines(shop.platform, DAY, DAY)[DAY].content_hash == content
    assert len(shop.platform.catalog.files(ORDER_LINES, DAY)) == 4
    compacted(shop)  # whose files are there already
    assert len(shop.platform.catalog.files(ORDER_LINES, DAY)) == 1
    assert rows(shop, ORDER_LINES) == before


def test_a_compacted_file_that_changed_cannot_be_gone_back_to(shop: Shop, days: str) -> None:
    compacted(shop)
    (file,) = shop.platform.catalog.files(ORDER_LINES, DAY)
    roll_back(shop.platform, ORDER_LINES, DAY, days)
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file, store_decimal_as_integer=True)
    with pytest.raises(InputGone, match="are not what run compact-"):
        roll_back(shop.platform, ORDER_LINES, DAY, PREFIX + days)


def test_files_that_changed_are_not_written_anew(shop: Shop, days: str) -> None:
    file = shop.platform.catalog.files(ORDER_LINES, DAY)[0]
    table = pq.read_table(file)
    pq.write_table(table, file, store_decimal_as_integer=True, compression="none")
    with pytest.raises(InputGone, match="are not what run"):
        compacted(shop)
    assert len(shop.platform.catalog.files(ORDER_LINES, DAY)) == 4


def test_few_files_or_large_ones_are_left(shop: Shop, days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_means(shop, 5)
    assert compacted(shop) == []
    small_means(shop, 4)
    monkeypatch.setattr(compaction, "LARGE", 100)
    assert compacted(shop) == []
    monkeypatch.undo()
    assert len(compacted(shop)) == 1


def test_only_dates_that_are_quiet_are_compacted(shop: Shop, days: str) -> None:
    assert quiet_dates(shop.platform, ORDER_LINES, dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)) == []
    assert quiet_dates(shop.platform, ORDER_LINES, dt.datetime.now(dt.UTC)) == [DAY, NEXT]


def test_a_dry_run_writes_nothing(shop: Shop, days: str) -> None:
    (line,) = compacted(shop, dry_run=True)
    assert line.count == 4
    assert shop.platform.registry.get(ORDER_LINES.name, DAY, PREFIX + days) is None
    assert len(shop.platform.catalog.files(ORDER_LINES, DAY)) == 4


def test_a_day_that_is_worked_on_is_left_and_told(shop: Shop, days: str) -> None:
    with DayLock.acquire(shop.platform.database, DOMAIN, DAY, "a run"):
        (line,) = compacted(shop)
    assert line.note == "a run is at work there"
    assert len(compacted(shop)) == 1


def test_a_reader_that_planned_before_reads_on(shop: Shop, days: str) -> None:
    scan = shop.platform.catalog.load(ORDER_LINES).scan(row_filter=f"run_date = '{DAY}'")
    planned = [task.file.file_path for task in scan.plan_files()]
    compacted(shop)
    assert sum(pq.read_metadata(path).num_rows for path in planned) == 5
    assert scan.to_arrow().num_rows == 5


@pytest.mark.parametrize("moment", ["write", "replace", "commit", "rename"])
def test_stopped_at_any_commit_the_next_one_ends_it(shop: Shop, days: str, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(BaseException):
        pass

    def stop(*_: object, **__: object) -> None:
        raise Stopped

    before, seen = rows(shop, ORDER_LINES), published(shop, DAY)
    target: tuple[object, str] = {
        "write": (shop.platform.publisher.catalog, "replace"),
        "replace": (shop.platform.publisher.registry, "commit"),
        "commit": (compaction, "_rename"),
        "rename": (shop.platform.publisher.lake, "sync"),
    }[moment]
    monkeypatch.setattr(*target, stop)
    with pytest.raises(Stopped):
        compacted(shop)
    monkeypatch.undo()
    assert rows(shop, ORDER_LINES) == before
    assert stale_days(shop.platform, dt.datetime.now(dt.UTC), [DAY, NEXT]) == []
    compacted(shop)
    assert compacted(shop) == []
    assert (rows(shop, ORDER_LINES), published(shop, DAY)) == (before, seen)
    current = shop.platform.registry.current(ORDER_LINES.name, DAY)
    assert current is not None
    assert current.run_id == PREFIX + days
    assert current.inputs[COMPACTED] is not None
    day = shop.platform.days.get(DOMAIN, DAY)
    assert day is not None
    assert day.tables[ORDER_LINES.name] == PREFIX + days
    assert [Path(path).parent.name for path in shop.platform.catalog.files(ORDER_LINES, DAY)] == [PREFIX + days]
