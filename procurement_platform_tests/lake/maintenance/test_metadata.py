import datetime as dt
import json

import pytest

from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line
from procurement_platform.lake.maintenance.metadata import MARKS, reachable, remove_unreachable
from procurement_platform.lake.maintenance.snapshots import expire_snapshots
from procurement_platform.lake.publish import Publisher
from procurement_platform_tests.lake.maintenance.conftest import DAY, GRACE, NOW, Age, allowed
from procurement_platform_tests.lake.parts import PARTS, Stage

FOLDER = "processed/parts/metadata"


@pytest.fixture
def expired(publisher: Publisher, stage: Stage, lake: Lake, age: Age) -> Publisher:
    """A table of twelve commits that has one snapshot left; all its files are ten days old."""
    for n in range(12):
        publisher.commit(PARTS, DAY, f"run-{n}", stage(DAY, f"run-{n}", [f"bolt-{n}"]), guard=allowed, inputs={})
    list(expire_snapshots(lake, publisher.catalog, [PARTS], keep=1))
    age()
    return publisher


def maintained(publisher: Publisher, lake: Lake, now: dt.datetime, *, dry_run: bool = False) -> list[Line]:
    return list(remove_unreachable(lake, publisher.catalog, [PARTS], now, GRACE, dry_run=dry_run))


def lying(lake: Lake) -> set[str]:
    return {f"{FOLDER}/{name}" for name in lake.files(FOLDER) if not name.startswith(".")}


def test_old_files_go_only_a_grace_period_after_nothing_led_to_them_any_more(expired: Publisher, lake: Lake) -> None:
    before, reached = lying(lake), reachable(lake, expired.catalog, PARTS)
    assert len(before - reached) > 10
    (line,) = maintained(expired, lake, NOW)
    assert (line.count, line.note) == (0, f"{len(before - reached)} more lead nowhere, and wait")
    assert lying(lake) == before  # a reader may have planned a second before the snapshots were expired
    (line,) = maintained(expired, lake, NOW + GRACE)
    assert (line.what, line.count, line.note) == (FOLDER, len(before - reached), "")
    assert line.bytes > 0
    assert lying(lake) == reached
    assert expired.catalog.load(PARTS).scan().to_arrow()["part"].to_pylist() == ["bolt-11"]
    assert maintained(expired, lake, NOW + GRACE) == []


def test_files_that_changed_within_the_grace_period_stay(expired: Publisher, lake: Lake, age: Age) -> None:
    maintained(expired, lake, NOW)
    age(FOLDER, days=-2)
    assert maintained(expired, lake, NOW + GRACE)[0].count == 0


def test_a_dry_run_neither_removes_nor_remembers(expired: Publisher, lake: Lake) -> None:
    maintained(expired, lake, NOW, dry_run=True)
    assert not lake.exists(f"{FOLDER}/{MARKS}")
    maintained(expired, lake, NOW)
    before = lying(lake)
    assert maintained(expired, lake, NOW + GRACE, dry_run=True)[0].count > 10
    assert lying(lake) == before


def test_a_file_that_is_led_to_again_is_no_longer_marked(expired: Publisher, lake: Lake) -> None:
    name = expired.catalog.load(PARTS).metadata_location.rpartition("/")[2]
    lake.write(f"{FOLDER}/{MARKS}", json.dumps({name: "2020-01-01T00:00:00+00:00"}).encode())
    maintained(expired, lake, NOW)
    assert lake.exists(f"{FOLDER}/{name}")
    assert name not in json.loads(lake.read(f"{FOLDER}/{MARKS}"))


@pytest.mark.parametrize("damaged", [b"{", b"[]"])
def test_where_the_marks_are_damaged_the_period_begins_again(expired: Publisher, lake: Lake, damaged: bytes) -> None:
    lake.write(f"{FOLDER}/{MARKS}", damaged)
    before = lying(lake)
    maintained(expired, lake, NOW)
    assert lying(lake) == before


def test_the_mark_of_a_lock_in_doubt_goes_like_any_file_that_nothing_leads_to(expired: Publisher, lake: Lake, age: Age) -> None:
    maintained(expired, lake, NOW)
    maintained(expired, lake, NOW + GRACE)
    mark = f"{FOLDER}/.in-doubt-7.json"
    lake.write(mark, b"{")
    (line,) = maintained(expired, lake, NOW + GRACE)
    assert (line.count, line.note) == (0, "1 more lead nowhere, and wait")
    assert lake.exists(mark)
    (line,) = maintained(expired, lake, NOW + 2 * GRACE)
    assert line.count == 1
    assert not lake.exists(mark)


def test_a_reader_that_loaded_the_table_before_plans_and_reads_on(expired: Publisher, lake: Lake, stage: Stage) -> None:
    loaded = expired.catalog.load(PARTS)
    for n in range(3):
        expired.commit(PARTS, DAY, f"late-{n}", stage(DAY, f"late-{n}", [f"nut-{n}"]), guard=allowed, inputs={})
    list(expire_snapshots(lake, expired.catalog, [PARTS], keep=1))
    maintained(expired, lake, NOW + dt.timedelta(days=30))
    assert loaded.scan().to_arrow()["part"].to_pylist() == ["bolt-11"]
