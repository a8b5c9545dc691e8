"""The tasks on a whole home: what goes, what stays, what a kill leaves, and who may not run at once."""

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy, InputGone
from procurement_platform.lake.committing import MAINTENANCE
from procurement_platform.lake.maintenance.listing import Line
from procurement_platform.lake.maintenance.orphans import Orphans
from procurement_platform.platform import Platform
from procurement_platform.procurement import maintenance, service
from procurement_platform.procurement.maintenance import PLACES, TASKS, compact, expire, layers, orphans, retention
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.reference.pins import pin, remove_unpinned
from procurement_platform.procurement.stale import stale_day
from procurement_platform.procurement.tables import NET_DEMAND, ORDER_LINES, TABLES
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

KILLS = int(os.environ.get("PROCUREMENT_TEST_KILLS", "8"))
FORGOTTEN = "processed/net_demand/2025-12-20/forgotten"


def set_to(shop: Shop, **changes: object) -> None:
    shop.platform.settings = shop.platform.settings.model_copy(update=changes)


def age(shop: Shop, days: float = 100) -> None:
    """Makes everything older: files, and what the registry knows of them."""
    then = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).timestamp()
    for parent, folders, files in os.walk(shop.platform.lake.root, topdown=False):
        for name in [*folders, *files]:
            os.utime(Path(parent, name), (then, then), follow_symlinks=False)
    with shop.platform.database.transaction() as connection:
        connection.execute(
            "UPDATE control.table_runs SET staged_at = staged_at - make_interval(days => %(days)s),"
            " committed_at = committed_at - make_interval(days => %(days)s)",
            {"days": int(days)},
        )


def seen(shop: Shop) -> tuple[object, ...]:
    """All that buyers and the tables' readers have of the day."""
    day = service.published_day(shop.platform, DAY)
    tables = {t.name: sorted(map(str, shop.rows(t))) for t in TABLES}
    files = [(f.stable, shop.platform.days.read(f)) for f in day.manifest]
    return tables, files, shop.csvs(), shop.report(), list(service.quarantine(shop.platform, DAY))


def lying(shop: Shop) -> dict[str, int]:
    root = Path(shop.platform.lake.root)
    return {str(p.relative_to(root)): p.lstat().st_size for p in root.rglob("*") if p.is_file() or p.is_symlink()}


def done(lines: list[Line]) -> Mapping[str, int]:
    return {line.what: line.count for line in lines if line.count}


@pytest.fixture
def six_runs(shop: Shop) -> Shop:
    """A day that was run six times, each time from another file; everything is a hundred days old. Its lines lie in small files."""
    set_to(shop, small_day_rows=0)
    for n in range(6):
        shop.put("orders", "DE", [order("1", "A", 20 + n), order("2", "B", 5), order("3", "GONE", 1)])
        shop.put("orders", "GB", [order("7", "B", 3)])
        shop.put("stock", "DE", [count("A", 4)])
        shop.run()
    age(shop)
    return shop


def test_what_a_killed_put_left_in_the_inbox_goes_after_the_grace_period(shop: Shop) -> None:
    path = shop.put_bytes("orders", ".DE.csv.0a1b2c3d.part", b"half")
    assert orphans(shop.platform) == []
    age(shop)
    for dry_run in (True, False):
        assert done(orphans(shop.platform, dry_run=dry_run)) == {f"inbox/orders/{DAY}": 1}
    assert not path.exists()
    assert orphans(shop.platform, everything=False) == []


def test_what_a_killed_run_left_of_a_raw_copy_goes_after_the_grace_period(six_runs: Shop) -> None:
    lake = six_runs.platform.lake
    halves = [f"raw/orders/{DAY}/.DE.0a1b2c3d.avro.part", f"raw/stock/{DAY}/_other/.DE.csv.0a1b2c3d.tmp"]
    raw = {path for path in lying(six_runs) if path.startswith("raw/")}
    for path in halves:
        lake.write(path, b"half")
    assert {f"raw/orders/{DAY}", f"raw/stock/{DAY}"}.isdisjoint(done(orphans(six_runs.platform)))
    age(six_runs)
    assert done(orphans(six_runs.platform, everything=False)).items() >= {f"raw/orders/{DAY}": 1, f"raw/stock/{DAY}": 1}.items()
    assert {path for path in lying(six_runs) if path.startswith("raw/")} == raw


def test_nothing_of_a_home_that_is_in_use_is_touched(six_runs: Shop) -> None:
    set_to(six_runs, run_retention_days=1000)
    before, files = seen(six_runs), set(lying(six_runs))
    assert done(retention(six_runs.platform)) == {}
    assert done(orphans(six_runs.platform)).keys() <= {f"{t.location}/metadata" for t in TABLES}
    assert seen(six_runs) == before
    gone = files - set(lying(six_runs))
    assert {path for path in gone if "/metadata/" not in path} == set()


def test_old_runs_of_all_dates_go_and_three_stay(six_runs: Shop) -> None:
    before = seen(six_runs)
    told = retention(six_runs.platform, dry_run=True)
    assert seen(six_runs) == before
    lines = retention(six_runs.platform)
    assert [line.what for line in told] == [line.what for line in lines]
    assert sum(line.what.startswith("net_demand 2025-12-20 run ") for line in lines) == 3
    assert all(line.bytes > 0 for line in lines if line.count)
    assert len(six_runs.platform.registry.history(NET_DEMAND.name, DAY)) == 3
    assert len(six_runs.platform.lake.folders("processed/net_demand/2025-12-20")) == 3
    assert seen(six_runs) == before
    assert retention(six_runs.platform) == []
    six_runs.run()
    assert seen(six_runs)[1:4] == before[1:4]


def test_a_run_that_was_replaced_a_moment_ago_stays_for_those_who_read_it(six_runs: Shop) -> None:
    set_to(six_runs, run_retention_runs=1)
    with six_runs.platform.database.transaction() as connection:
        connection.execute("UPDATE control.table_runs SET committed_at = now() WHERE table_name = 'net_demand' AND state = 'committed'")
    newest, replaced, *earlier = [run.run_id for run in six_runs.platform.registry.history(NET_DEMAND.name, DAY)]
    gone = {line.what.rpartition(" ")[2] for line in retention(six_runs.platform) if line.what.startswith("net_demand ")}
    assert gone == set(earlier)
    assert set(six_runs.platform.lake.folders("processed/net_demand/2025-12-20")) == {newest, replaced}


def test_a_run_leaves_an_old_one_that_was_the_day_s_until_a_moment_ago_to_those_who_read_it(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 20)])
    first = shop.run()
    age(shop)
    planned = shop.platform.catalog.files(NET_DEMAND, DAY)  # by a query that goes on meanwhile
    for _ in range(3):
        shop.run()
    assert all(Path(path).is_file() for path in planned)
    assert first in shop.platform.lake.folders("processed/net_demand/2025-12-20")
    age(shop, shop.platform.settings.orphan_grace_days + 1)
    shop.run()
    assert first not in shop.platform.lake.folders("processed/net_demand/2025-12-20")


def test_what_nothing_names_goes_and_the_day_runs_on(six_runs: Shop) -> None:
    lake = six_runs.platform.lake
    strays = (
        f"{FORGOTTEN}/part-0.parquet",
        "quarantine/files/orders/2025-12-20/X.0000.csv",
        "logs/violations/2025-12-20/lost/intake/part-0.parquet",
    )
    for path in (*strays, "output/supplier_orders/2025-12-20/.S1.csv.part", "reference/markets/0000000000000000.parquet"):
        lake.write(path, b"1")
    age(six_runs)
    before = seen(six_runs)
    assert done(orphans(six_runs.platform)) == {
        "processed/net_demand/2025-12-20": 1,
        "quarantine/files/orders/2025-12-20": 1,
        "logs/violations/2025-12-20": 1,
        "output/supplier_orders/2025-12-20": 1,
        "reference/markets": 1,
    }
    assert seen(six_runs) == before
    assert not any(lake.exists(path) for path in strays)
    six_runs.run()
    assert seen(six_runs)[1:4] == before[1:4]


def test_every_layer_but_the_inbox_is_looked_at(six_runs: Shop) -> None:
    folders = {
        str(Path(path).parent) for path in lying(six_runs) if not path.startswith(("inbox/", "reference/")) and "/metadata/" not in path
    }
    looked_at = {place.of(DAY) for place in PLACES}
    assert {folder for folder in folders if not any(f"{folder}/".startswith(f"{place}/") for place in looked_at)} == set()


def test_a_reference_version_is_not_removed_while_a_day_pins_it(shop: Shop) -> None:
    shop.run()
    shop.load({"products": "sku,name\nA,Apple\nB,Bread\nC,Cheese\nN,Nothing\n"})
    age(shop)
    connection = shop.platform.database.connect(autocommit=True)
    connection.execute("SET lock_timeout = '50ms'")
    with shop.platform.database.transaction() as pinning:
        pinning.execute("LOCK TABLE control.reference_pins IN ROW EXCLUSIVE MODE")  # as `pin` does before it looks for files
        with connection.transaction(), pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute("LOCK TABLE control.reference_pins IN SHARE ROW EXCLUSIVE MODE")
    connection.close()
    before = {p.path for p in pin(shop.platform, DAY).values()}
    pin(shop.platform, DAY, refresh=True)
    after = {p.path for p in pin(shop.platform, DAY).values()}
    (line,) = remove_unpinned(shop.platform, dt.datetime.now(dt.UTC))
    assert line.count == 1
    assert [path for path in before | after if not shop.platform.lake.exists(path)] == list(before - after)


def test_files_as_sent_are_kept_unless_a_setting_says_otherwise(six_runs: Shop) -> None:
    assert list(layers(six_runs.platform)) == []
    raw = {path for path in lying(six_runs) if path.startswith("raw/")}
    retention(six_runs.platform)
    assert raw == {path for path in lying(six_runs) if path.startswith("raw/")}


def test_files_as_sent_of_dates_that_may_still_change_are_kept_however_short_the_setting(six_runs: Shop) -> None:
    set_to(six_runs, raw_retention_days=1, superseded_retention_days=1, rejected_retention_days=1)
    assert {layer.days for layer in layers(six_runs.platform)} == {42}


def test_a_day_whose_files_as_sent_are_gone_stays_as_published_and_says_why_it_cannot_run(six_runs: Shop) -> None:
    set_to(six_runs, raw_retention_days=50, late_window_days=0, duplicate_window_days=0)
    six_runs.platform.settings = six_runs.platform.settings.model_copy(update={"run_retention_days": 1000})
    before, ledger = seen(six_runs), six_runs.ledger()
    if six_runs.platform.settings.today() <= DAY + dt.timedelta(days=50):
        pytest.skip("the run date is not old enough on this machine's clock")
    assert "raw/orders/2025-12-20" in done(retention(six_runs.platform))
    assert (seen(six_runs), six_runs.ledger()) == (before, ledger)
    for path in six_runs.inbox.rglob("*.avro"):
        path.unlink()
    with pytest.raises(InputGone, match=r"raw copy of .* is gone: put the file into the inbox again"):
        six_runs.run()
    assert seen(six_runs)[0:3] == before[0:3]


def test_snapshots_of_all_tables_are_expired(six_runs: Shop) -> None:
    set_to(six_runs, snapshot_retention=2)
    before = seen(six_runs)
    assert {line.what for line in expire(six_runs.platform)} == {table.name for table in TABLES}
    assert {len(six_runs.platform.catalog.load(table).snapshots()) for table in TABLES} <= {1, 2}
    assert seen(six_runs) == before


@pytest.mark.parametrize("task", TASKS)
def test_one_task_at_a_time(shop: Shop, task: str) -> None:
    with (
        DayLock.named(shop.platform.database, MAINTENANCE, "maintain orphans, elsewhere"),
        pytest.raises(DayBusy, match=r"^maintenance is being worked on"),
    ):
        TASKS[task](shop.platform)


def test_days_that_are_worked_on_are_left_and_told(six_runs: Shop) -> None:
    six_runs.platform.lake.write(f"{FORGOTTEN}/part-0.parquet", b"1")
    set_to(six_runs, compact_files=2)
    age(six_runs)
    with DayLock.acquire(six_runs.platform.database, DOMAIN, DAY, "a run"):
        lines = [line for task in TASKS.values() for line in task(six_runs.platform)]
        told = [line.what for line in lines if line.note == "a run is at work there"]
    assert told == [f"{ORDER_LINES.name} {DAY}", f"{DOMAIN} {DAY}", f"{DOMAIN} {DAY}"]
    assert six_runs.platform.lake.exists(f"{FORGOTTEN}/part-0.parquet")


def test_a_scheduled_task_looks_at_recent_dates_and_a_share_of_others(six_runs: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[dt.date] = []

    def sweep(_self: object, _places: object, dates: Iterable[dt.date]) -> Iterator[Line]:
        looked.extend(dates)
        return iter(())

    monkeypatch.setattr(maintenance, "OLD_DATES", 0)
    monkeypatch.setattr(Orphans, "sweep", sweep)
    set_to(six_runs, late_window_days=0)
    orphans(six_runs.platform, everything=False)
    orphans(six_runs.platform)
    assert looked == [DAY]


CHILD = """
import os, signal, sys
from procurement_platform.project import PACKAGE

limit, lines = int(sys.argv[1]), 0
ours = tuple(str(PACKAGE / part) for part in ("lake", "procurement"))

def count(frame, event, argument):
    global lines
    if event == "line":
        lines += 1
        if lines == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    return count

def enter(frame, event, argument):
    return count if frame.f_code.co_filename.startswith(ours) else None

from procurement_platform.cli import main
from procurement_platform.procurement import compaction, maintenance
sys.argv[1:] = ["maintain"]
sys.settrace(enter)
try:
    main()
finally:
    sys.settrace(None)
    sys.stderr.write(f"lines: {lines}\\n")
"""


def killed_at(line: int) -> int:
    """Runs all tasks in a process that is killed at a line of the lake's and the domain's code; the lines it ran where it was not."""
    ended = subprocess.run([sys.executable, "-c", CHILD, str(line)], capture_output=True, text=True, timeout=100, check=False)
    if ended.returncode == -signal.SIGKILL:
        return 0
    assert ended.returncode == 0, ended.stderr
    return int(ended.stderr.rsplit("lines: ", 1)[1])


@pytest.mark.timeout(600)
def test_killed_at_any_line_nothing_that_is_read_is_missing_and_the_next_one_ends_it(
    six_runs: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCUREMENT_COMPACT_FILES", "2")
    monkeypatch.setenv("PROCUREMENT_SMALL_DAY_ROWS", "0")
    monkeypatch.setenv("PROCUREMENT_SNAPSHOT_RETENTION", "3")
    set_to(six_runs, compact_files=2)
    before = seen(six_runs)

    def litter() -> None:
        """Something to do for every task."""
        six_runs.platform.lake.write(f"{FORGOTTEN}/part-0.parquet", b"1")
        six_runs.run()
        age(six_runs)

    litter()
    lines = killed_at(0)
    assert lines > 1000
    for number in range(KILLS):
        litter()
        killed_at(1 + lines * (2 * number + 1) // (2 * KILLS))
        assert seen(six_runs) == before
        for table in TABLES:
            assert all(map(six_runs.platform.lake.exists, six_runs.platform.catalog.files(table, DAY)))
        assert stale_day(six_runs.platform, DAY, dt.datetime.now(dt.UTC)) is None
    compact(six_runs.platform)
    fresh = Platform(six_runs.platform.settings)
    try:
        for task in TASKS.values():
            task(fresh)
    finally:
        fresh.close()
    assert seen(six_runs) == before
    assert not six_runs.platform.lake.exists(FORGOTTEN)
    assert len(six_runs.platform.catalog.files(ORDER_LINES, DAY)) == 1
    assert len(six_runs.platform.registry.history(NET_DEMAND.name, DAY)) == 3
    six_runs.run()
    assert seen(six_runs)[1:4] == before[1:4]
