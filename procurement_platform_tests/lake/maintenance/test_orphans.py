from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.errors import LockLost
from procurement_platform.lake.days import Days
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line
from procurement_platform.lake.maintenance.orphans import Orphans, Place
from procurement_platform.lake.publish import Publisher
from procurement_platform_tests.lake.maintenance.conftest import DAY, OTHER, PLACES, Age, allowed
from procurement_platform_tests.lake.parts import PARTS, Stage

FOLDER = "processed/parts/2025-12-01"
REPORT = "logs/exceptions/date=2025-12-01"


@pytest.fixture
def committed(publisher: Publisher, stage: Stage) -> Publisher:
    """Two runs of a day, both known, and one of another day."""
    for run_id in ("run-0", "run-1"):
        publisher.commit(PARTS, DAY, run_id, stage(DAY, run_id, [run_id]), guard=allowed, inputs={})
    publisher.commit(PARTS, OTHER, "run-2", stage(OTHER, "run-2", ["nut"]), guard=allowed, inputs={})
    return publisher


def swept(orphans: Orphans) -> list[Line]:
    return list(orphans.sweep(PLACES, sorted(orphans.dates(PLACES))))


def every_file(lake: Lake) -> set[str]:
    return {str(path.relative_to(lake.root)) for path in Path(lake.root).rglob("*") if path.is_file() or path.is_symlink()}


@pytest.mark.usefixtures("committed")
def test_what_is_named_stays_and_what_is_nobodys_goes(lake: Lake, orphans: Orphans, age: Age) -> None:
    named = every_file(lake)
    lake.write(f"{FOLDER}/forgotten/part-0.parquet", b"12345")
    lake.write(f"{FOLDER}/forgotten/_work/repeated.parquet", b"1")
    lake.write("processed/parts/2025-12-02/stray.parquet", b"22")
    age()
    lines = swept(orphans)
    # The other day is not published: a file that lies there by itself may tell of a crash.
    assert [(x.what, x.did, x.count, x.bytes) for x in lines] == [(FOLDER, "files removed", 2, 6)]
    assert every_file(lake) == {*named, "processed/parts/2025-12-02/stray.parquet"}
    assert swept(orphans) == []


@pytest.mark.usefixtures("committed")
def test_what_changed_within_the_grace_period_stays(lake: Lake, orphans: Orphans, age: Age) -> None:
    lake.write(f"{FOLDER}/forgotten/a.parquet", b"1")
    age()
    lake.write(f"{FOLDER}/forgotten/b.parquet", b"1")  # one file of a folder is being written: all of it stays
    assert swept(orphans) == []
    assert lake.files(f"{FOLDER}/forgotten") == ["a.parquet", "b.parquet"]


def test_a_run_that_is_announced_keeps_its_folder(publisher: Publisher, lake: Lake, orphans: Orphans, age: Age) -> None:
    publisher.stage(PARTS, DAY, "staged")
    lake.write(f"{FOLDER}/staged/part-0.parquet", b"1")
    lake.write(f"{FOLDER}/staged/.part-0.parquet.1234.part", b"22")
    lake.write(f"{FOLDER}/staged/.write_20251201_1/000", b"333")
    lake.write(f"{FOLDER}/.x.part", b"4444")
    lake.write(f"{FOLDER}/.current/x", b"1")
    age()
    (line,) = swept(orphans)
    assert (line.count, line.bytes) == (3, 9)  # what was not whole yet when it was killed
    assert lake.files(f"{FOLDER}/staged") == ["part-0.parquet"]
    assert lake.folders(FOLDER) == [".current", "staged"]


def test_folders_that_a_run_left_empty_go_without_a_word(lake: Lake, orphans: Orphans, age: Age) -> None:
    lake.make_folder(f"{FOLDER}/removed/part")
    age()
    assert swept(orphans) == []
    assert lake.folders(FOLDER) == []


def test_leftovers_that_are_young_stay(publisher: Publisher, lake: Lake, orphans: Orphans) -> None:
    publisher.stage(PARTS, DAY, "staged")
    lake.write(f"{FOLDER}/staged/.write_1/000", b"333")
    assert swept(orphans) == []


def test_a_file_that_a_snapshot_names_stays_though_the_registry_forgot_it(
    committed: Publisher, lake: Lake, orphans: Orphans, database: Database, age: Age
) -> None:
    with database.transaction() as connection:
        connection.execute("DELETE FROM control.table_runs")
    before = every_file(lake)
    age()
    assert swept(orphans) == []  # run-0 is in an earlier snapshot, which is kept
    assert every_file(lake) == before
    assert committed.catalog.load(PARTS).scan().to_arrow().num_rows == 2


def test_a_published_days_files_and_runs_stay_and_others_beside_them_go(
    committed: Publisher, lake: Lake, orphans: Orphans, database: Database, age: Age
) -> None:
    days = Days(database, lake)
    report = days.put(f"{REPORT}/run-9/exceptions.csv", f"{REPORT}/exceptions.csv", [b"1"], 1)
    day = days.publish("shop", DAY, "run-9", {"parts": "run-1", "stock": "run-7"}, [report], {}, allowed)
    days.settle(day, REPORT)
    lake.write(f"{FOLDER}/run-7/part-0.parquet", b"1")
    lake.write(f"{FOLDER}/run-6/part-0.parquet", b"1")
    lake.write(f"{REPORT}/stale.csv", b"1")
    age()
    assert [(x.what, x.count) for x in swept(orphans)] == [(FOLDER, 1), (REPORT, 1)]
    assert days.read(report) == b"1"
    assert lake.files(REPORT) == ["exceptions.csv"]
    assert lake.folders(FOLDER) == ["run-0", "run-1", "run-7"]
    assert committed.catalog.files(PARTS, DAY)


def test_what_a_day_that_never_was_published_tells_stays(lake: Lake, orphans: Orphans, age: Age) -> None:
    lake.write(f"{REPORT}/exceptions.csv", b"its crash")
    age()
    assert swept(orphans) == []
    assert lake.exists(f"{REPORT}/exceptions.csv")


def test_files_as_sent_stay_as_long_as_the_ledger_names_them(lake: Lake, orphans: Orphans, database: Database, age: Age) -> None:
    for name in ("known.csv", "unknown.csv"):
        lake.write(f"quarantine/files/orders/2025-12-01/{name}", b"1")
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO control.files (file_id, feed, run_date, name, file_name, market, format, sha256, size_bytes, state, raw_path)"
            " VALUES ('1', 'orders', %s, 'DE', 'DE.csv', 'DE', 'csv', '', 1, 'rejected', 'quarantine/files/orders/2025-12-01/known.csv')",
            (DAY,),
        )
    age()
    assert [x.what for x in swept(orphans)] == ["quarantine/files/orders/2025-12-01"]
    assert lake.files("quarantine/files/orders/2025-12-01") == ["known.csv"]


def test_of_files_as_sent_that_are_kept_only_what_never_became_whole_goes(
    lake: Lake, orphans: Orphans, database: Database, age: Age
) -> None:
    raw, folder = Place("raw/orders", kept=True), "raw/orders/2025-12-01"
    whole = (f"{folder}/DE.0a.avro", f"{folder}/_superseded/DE.0b.avro", f"{folder}/.DE.avro", f"{folder}/DE.part", f"{folder}/.x/DE.csv")
    halves = (
        f"{folder}/.DE.0a.avro.1234abcd.part",
        f"{folder}/_other/.GB.csv.0123456789abcdef.tmp",
        f"{folder}/_superseded/.DE.0b.avro.5678abcd.part",
    )
    for path in (*whole, *halves):
        lake.write(path, b"12")

    def sweep(*, dry_run: bool = False) -> list[Line]:
        return list(replace(orphans, dry_run=dry_run).sweep([raw], orphans.dates([raw])))

    assert sweep() == []  # a run may be at it
    age()
    lake.write(f"{folder}/.FR.0d.avro.90abcdef.part", b"1")
    assert [(x.what, x.did, x.count, x.bytes) for x in sweep(dry_run=True)] == [(folder, "files removed", 3, 6)]
    with DayLock.acquire(database, "shop", DAY, "a run"):
        assert [x.note for x in sweep()] == ["a run is at work there"]
    assert [(x.what, x.count) for x in sweep()] == [(folder, 3)]
    assert every_file(lake) == {*whole, f"{folder}/.FR.0d.avro.90abcdef.part"}
    assert sweep() == []


def test_the_inbox_raw_and_folders_of_no_table_are_not_looked_at(lake: Lake, orphans: Orphans, age: Age) -> None:
    for path in (
        "inbox/orders/2025-12-01/DE.csv",
        "raw/orders/2025-12-01/DE.avro",
        "processed/other/2025-12-01/x",
        "processed/parts/notes/x",
    ):
        lake.write(path, b"1")
    age()
    before = every_file(lake)
    assert swept(orphans) == []
    assert every_file(lake) == before


@pytest.mark.usefixtures("committed")
def test_a_day_that_is_worked_on_is_left_and_told(lake: Lake, orphans: Orphans, database: Database, age: Age) -> None:
    lake.write(f"{FOLDER}/forgotten/a.parquet", b"1")
    age()
    with DayLock.acquire(database, "shop", DAY, "a run"):
        (line,) = swept(orphans)
    assert (line.what, line.note) == ("shop 2025-12-01", "a run is at work there")
    assert lake.exists(f"{FOLDER}/forgotten/a.parquet")
    assert swept(orphans)[0].count == 1


@pytest.mark.usefixtures("committed")
def test_no_day_is_locked_and_no_metadata_is_read_where_nothing_is_left_over(orphans: Orphans, database: Database, age: Age) -> None:
    age()
    with DayLock.acquire(database, "shop", DAY, "a run"):
        assert swept(replace(orphans, catalog=None)) == []  # type: ignore[arg-type]  # it would fail if it were asked


@pytest.mark.usefixtures("committed")
def test_a_dry_run_says_the_same_and_removes_nothing(lake: Lake, orphans: Orphans, age: Age) -> None:
    lake.write(f"{FOLDER}/forgotten/a.parquet", b"1")
    age()
    told = swept(replace(orphans, dry_run=True))
    assert lake.exists(f"{FOLDER}/forgotten/a.parquet")
    assert told == swept(orphans)


def test_a_reader_that_planned_before_reads_the_files_of_a_run_that_was_replaced(
    committed: Publisher, stage: Stage, orphans: Orphans, age: Age
) -> None:
    planned = [task.file.file_path for task in committed.catalog.load(PARTS).scan().plan_files()]
    committed.commit(PARTS, DAY, "newer", stage(DAY, "newer", ["nail"]), guard=allowed, inputs={})
    age()
    assert swept(orphans) == []
    assert sum(pq.read_metadata(path).num_rows for path in planned) == 2


def test_where_the_days_lock_is_lost_nothing_more_is_removed(lake: Lake, orphans: Orphans, database: Database, age: Age) -> None:
    lake.write(f"{FOLDER}/forgotten/a.parquet", b"1")
    age()
    lock = DayLock.acquire(database, "shop", DAY, "maintenance")
    with database.transaction() as connection:
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'maintenance'")
    with pytest.raises(LockLost):
        orphans._remove(PLACES[0], DAY, lock)  # between taking the lock and removing
    assert lake.exists(f"{FOLDER}/forgotten/a.parquet")
