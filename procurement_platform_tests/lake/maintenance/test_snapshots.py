import threading
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitStateUnknownException

from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.snapshots import expire_snapshots
from procurement_platform.lake.publish import Publisher
from procurement_platform_tests.lake.maintenance.conftest import DAY, OTHER, allowed
from procurement_platform_tests.lake.parts import PARTS, Stage


@pytest.fixture
def six(publisher: Publisher, stage: Stage) -> Publisher:
    """Six commits: two dates, one of them replaced four times."""
    publisher.commit(PARTS, OTHER, "other", stage(OTHER, "other", ["nut"]), guard=allowed, inputs={})
    for n in range(5):
        publisher.commit(PARTS, DAY, f"run-{n}", stage(DAY, f"run-{n}", [f"bolt-{n}"]), guard=allowed, inputs={})
    return publisher


def test_the_newest_snapshots_stay_and_the_rows_do(six: Publisher, lake: Lake) -> None:
    before = six.catalog.load(PARTS)
    count, current = len(before.snapshots()), before.metadata.current_snapshot_id
    (line,) = expire_snapshots(lake, six.catalog, [PARTS], keep=2)
    assert (line.what, line.count, line.note) == ("parts", count - 2, "2 kept")
    after = six.catalog.load(PARTS)
    assert len(after.snapshots()) == 2
    assert after.metadata.current_snapshot_id == current
    assert sorted(map(str, after.scan().to_arrow()["part"].to_pylist())) == ["bolt-4", "nut"]
    (again,) = expire_snapshots(lake, six.catalog, [PARTS], keep=2)
    assert again.count == 0


def test_the_current_snapshot_stays_whatever_is_asked(six: Publisher, lake: Lake) -> None:
    list(expire_snapshots(lake, six.catalog, [PARTS], keep=0))
    assert len(six.catalog.load(PARTS).snapshots()) == 1
    assert six.catalog.load(PARTS).scan().to_arrow().num_rows == 2


def test_a_snapshot_that_a_tag_names_stays(six: Publisher, lake: Lake) -> None:
    first = six.catalog.load(PARTS).snapshots()[0].snapshot_id
    six.catalog.load(PARTS).manage_snapshots().create_tag(first, "audit").commit()
    list(expire_snapshots(lake, six.catalog, [PARTS], keep=1))
    assert first in [s.snapshot_id for s in six.catalog.load(PARTS).snapshots()]


def test_a_dry_run_says_the_same_and_does_nothing(six: Publisher, lake: Lake) -> None:
    before = len(six.catalog.load(PARTS).snapshots())
    (told,) = expire_snapshots(lake, six.catalog, [PARTS], keep=2, dry_run=True)
    assert len(six.catalog.load(PARTS).snapshots()) == before
    (done,) = expire_snapshots(lake, six.catalog, [PARTS], keep=2)
    assert told == done


def test_a_table_that_was_never_made_is_not_made(publisher: Publisher, lake: Lake) -> None:
    assert list(expire_snapshots(lake, publisher.catalog, [PARTS], keep=1)) == []
    assert not lake.exists(PARTS.location)


def test_who_planned_before_reads_on(six: Publisher, lake: Lake) -> None:
    planned = [task.file.file_path for task in six.catalog.load(PARTS).scan().plan_files()]
    loaded = six.catalog.load(PARTS)
    oldest = loaded.snapshots()[1].snapshot_id
    list(expire_snapshots(lake, six.catalog, [PARTS], keep=1))
    assert sum(pq.read_metadata(path).num_rows for path in planned) == 2
    assert loaded.scan(snapshot_id=oldest).to_arrow().num_rows == 2  # its metadata was loaded, its manifests were not


def test_an_expiry_whose_outcome_is_not_known_is_looked_at_again(six: Publisher, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, asked = SqlCatalog.commit_table, list[object]()

    def landed(*given: Any) -> None:
        asked.append(commit(*given))
        raise CommitStateUnknownException("no answer")

    monkeypatch.setattr(SqlCatalog, "commit_table", landed)
    (line,) = expire_snapshots(lake, six.catalog, [PARTS], keep=2)
    assert len(asked) == 1
    assert line.note == "2 kept"
    assert len(six.catalog.load(PARTS).snapshots()) == 2


def test_commits_made_meanwhile_all_land(six: Publisher, lake: Lake, stage: Stage) -> None:
    staged = [(f"more-{n}", stage(DAY, f"more-{n}", [f"screw-{n}"])) for n in range(8)]

    def commit() -> None:
        for run_id, files in staged:
            six.commit(PARTS, DAY, run_id, files, guard=allowed, inputs={})

    other = threading.Thread(target=commit)
    other.start()
    while other.is_alive():
        list(expire_snapshots(lake, six.catalog, [PARTS], keep=1))
    other.join()
    assert sorted(map(str, six.catalog.load(PARTS).scan().to_arrow()["part"].to_pylist())) == ["nut", "screw-7"]
