import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy, LakeUnavailable
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.layers import Layer, remove_old_files
from procurement_platform.lake.maintenance.listing import Line
from procurement_platform_tests.lake.maintenance.conftest import NOW, Age

TODAY = dt.date(2025, 12, 31)
RAW, OLD_ONLY = Layer("raw/orders", 60), Layer("raw/orders", 60, "_superseded")


@pytest.fixture
def raw(lake: Lake, age: Age) -> Lake:
    """Files of three dates, one of them within sixty days; all came a hundred days ago."""
    for date in ("2025-09-01", "2025-10-01", "2025-12-01"):
        lake.write(f"raw/orders/{date}/DE.avro", b"12345")
        lake.write(f"raw/orders/{date}/_superseded/DE.old.avro", b"1")
    lake.write("raw/orders/notes/read.me", b"")
    age(days=100)
    return lake


def swept(database: Database, lake: Lake, *layers: Layer, dry_run: bool = False) -> list[Line]:
    return list(remove_old_files(database, lake, "shop", layers, NOW, TODAY, dry_run=dry_run))


def test_dates_whose_time_is_over_go_whole_and_nothing_else_does(raw: Lake, database: Database) -> None:
    lines = swept(database, raw, RAW)
    assert [(x.what, x.count, x.bytes) for x in lines] == [("raw/orders/2025-09-01", 2, 6), ("raw/orders/2025-10-01", 2, 6)]
    assert raw.folders("raw/orders") == ["2025-12-01", "notes"]
    assert swept(database, raw, RAW) == []


def test_one_folder_of_each_date_alone(raw: Lake, database: Database) -> None:
    assert [x.what for x in swept(database, raw, OLD_ONLY)] == ["raw/orders/2025-09-01/_superseded", "raw/orders/2025-10-01/_superseded"]
    assert raw.files("raw/orders/2025-09-01") == ["DE.avro"]


def test_files_that_came_late_have_their_time_from_then_on(raw: Lake, database: Database) -> None:
    raw.write("raw/orders/2025-09-01/GB.avro", b"1")
    assert [x.what for x in swept(database, raw, RAW)] == ["raw/orders/2025-10-01"]


def test_a_day_that_is_worked_on_is_left_and_told(raw: Lake, database: Database) -> None:
    with DayLock.acquire(database, "shop", dt.date(2025, 9, 1), "a run"):
        busy, done = swept(database, raw, RAW)
    assert (busy.what, busy.note) == ("raw/orders/2025-09-01", "a run is at work there")
    assert done.what == "raw/orders/2025-10-01"
    assert raw.exists("raw/orders/2025-09-01/DE.avro")


def test_a_dry_run_removes_nothing(raw: Lake, database: Database) -> None:
    told = swept(database, raw, RAW, dry_run=True)
    assert len(raw.folders("raw/orders")) == 4
    assert told == swept(database, raw, RAW)


def test_others_forget_a_folder_under_its_days_lock_before_it_goes(raw: Lake, database: Database) -> None:
    told: list[dt.date] = []

    def forget(run_date: dt.date, guard: Callable[[], None]) -> None:
        guard()
        with pytest.raises(DayBusy, match="procurement maintain retention"):
            DayLock.acquire(database, "shop", run_date, "a run")
        assert raw.exists(f"raw/orders/{run_date}/DE.avro")
        told.append(run_date)

    layer = replace(RAW, forget=forget)
    swept(database, raw, layer, dry_run=True)
    assert told == []
    swept(database, raw, layer)
    assert told == [dt.date(2025, 9, 1), dt.date(2025, 10, 1)]
    assert raw.folders("raw/orders") == ["2025-12-01", "notes"]


def test_a_folder_that_others_could_not_forget_stays_for_the_next_time(raw: Lake, database: Database) -> None:
    def away(_: dt.date, __: Callable[[], None]) -> None:
        raise LakeUnavailable("the metastore is away")

    with pytest.raises(LakeUnavailable):
        swept(database, raw, replace(RAW, forget=away))
    assert len(raw.folders("raw/orders")) == 4
    assert len(swept(database, raw, RAW)) == 2
