import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.errors import InputGone, LockLost, PromiseBroken
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import Publisher, check_files, content_hash
from procurement_platform_tests.lake.parts import PARTS, Stage

MONDAY, TUESDAY = dt.date(2025, 12, 1), dt.date(2025, 12, 2)


def allowed() -> None:
    """A guard that lets commits through."""


def parts_of(publisher: Publisher, day: dt.date) -> list[str]:
    files = publisher.catalog.files(PARTS, day)
    return sorted(str(v) for f in files for v in pq.read_table(f)["part"].to_pylist())


def test_committed_rows_are_the_days_state(publisher: Publisher, stage: Stage) -> None:
    done = publisher.commit(PARTS, MONDAY, "run-1", stage(MONDAY, "run-1", ["bolt", "nut"]), guard=allowed, inputs={"files": ["f1"]})
    assert parts_of(publisher, MONDAY) == ["bolt", "nut"]
    assert done.rows == 2
    known = publisher.registry.current("parts", MONDAY)
    assert known is not None
    assert (known.run_id, known.rows, known.inputs, known.state) == ("run-1", 2, {"files": ["f1"]}, "committed")


def test_a_second_run_replaces_the_first_and_leaves_other_days_alone(publisher: Publisher, stage: Stage) -> None:
    publisher.commit(PARTS, MONDAY, "run-1", stage(MONDAY, "run-1", ["bolt"]), guard=allowed, inputs={})
    publisher.commit(PARTS, TUESDAY, "run-2", stage(TUESDAY, "run-2", ["screw"]), guard=allowed, inputs={})
    publisher.commit(PARTS, MONDAY, "run-3", stage(MONDAY, "run-3", ["washer"]), guard=allowed, inputs={})
    assert parts_of(publisher, MONDAY) == ["washer"]
    assert parts_of(publisher, TUESDAY) == ["screw"]
    assert [(r.run_id, r.state) for r in publisher.registry.history("parts", MONDAY)] == [("run-3", "committed"), ("run-1", "superseded")]


def test_the_files_of_a_superseded_run_stay_on_disk(publisher: Publisher, stage: Stage) -> None:
    first = stage(MONDAY, "run-1", ["bolt"])
    publisher.commit(PARTS, MONDAY, "run-1", first, guard=allowed, inputs={})
    publisher.commit(PARTS, MONDAY, "run-2", stage(MONDAY, "run-2", ["nut"]), guard=allowed, inputs={})
    assert publisher.run_files(PARTS, MONDAY, "run-1") == first
    assert Path(first[0]).is_file()


def test_an_empty_result_empties_the_day(publisher: Publisher, stage: Stage) -> None:
    publisher.commit(PARTS, MONDAY, "run-1", stage(MONDAY, "run-1", ["bolt"]), guard=allowed, inputs={})
    done = publisher.commit(PARTS, MONDAY, "run-2", stage(MONDAY, "run-2", []), guard=allowed, inputs={})
    assert (done.rows, done.files) == (0, ())
    assert parts_of(publisher, MONDAY) == []


def test_a_run_may_commit_its_own_files_again(publisher: Publisher, stage: Stage) -> None:
    for _ in range(2):
        publisher.commit(PARTS, MONDAY, "run-1", stage(MONDAY, "run-1", ["bolt"]), guard=allowed, inputs={})
    assert parts_of(publisher, MONDAY) == ["bolt"]


def test_nothing_is_committed_when_the_lock_is_gone(publisher: Publisher, stage: Stage) -> None:
    publisher.commit(PARTS, MONDAY, "run-1", stage(MONDAY, "run-1", ["bolt"]), guard=allowed, inputs={})

    def lost() -> None:
        raise LockLost("gone")

    with pytest.raises(LockLost):
        publisher.commit(PARTS, MONDAY, "run-2", stage(MONDAY, "run-2", ["nut"]), guard=lost, inputs={})
    assert parts_of(publisher, MONDAY) == ["bolt"]
    known = publisher.registry.current("parts", MONDAY)
    assert known is not None
    assert known.run_id == "run-1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"parts": ["bolt", None]}, "1 rows without part"),
        ({"parts": ["bolt"], "run_date": TUESDAY}, "holds run dates 2025-12-02 to 2025-12-02, not 2025-12-01"),
        (
            {"parts": ["bolt"], "schema": PARTS.arrow.set(2, pa.field("amount", pa.float64()))},
            "amount is double and must be amount decimal128(18, 3)",
        ),
    ],
)
def test_what_breaks_the_tables_promises_is_not_committed(publisher: Publisher, stage: Stage, change: dict[str, object], why: str) -> None:
    publisher.commit(PARTS, MONDAY, "run-1", stage(MONDAY, "run-1", ["old"]), guard=allowed, inputs={})
    files = stage(MONDAY, "run-2", **change)
    with pytest.raises(PromiseBroken) as broken:
        publisher.commit(PARTS, MONDAY, "run-2", files, guard=allowed, inputs={})
    assert why in str(broken.value)
    assert parts_of(publisher, MONDAY) == ["old"]


def test_a_file_with_a_column_too_few_is_named(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "short.parquet"
    pq.write_table(pa.table({"run_date": [MONDAY]}), path)
    with pytest.raises(PromiseBroken, match="1 columns instead of 3"):
        check_files(lake, PARTS, MONDAY, [str(path)])


def test_the_same_rows_have_the_same_content_hash_and_others_another(lake: Lake, stage: Stage) -> None:
    first = content_hash(lake, stage(MONDAY, "run-1", ["bolt"]))
    assert content_hash(lake, stage(MONDAY, "run-2", ["bolt"])) == first
    assert content_hash(lake, stage(MONDAY, "run-3", ["nut"])) != first


def test_a_run_whose_files_were_removed_is_told_as_gone(publisher: Publisher, stage: Stage) -> None:
    files = stage(MONDAY, "run-1", ["bolt"])
    publisher.commit(PARTS, MONDAY, "run-1", files, guard=allowed, inputs={})
    Path(files[0]).unlink()
    with pytest.raises(InputGone, match="1 rows of parts 2025-12-01 are gone"):
        publisher.run_files(PARTS, MONDAY, "run-1")
    with pytest.raises(InputGone, match="which is gone"):
        publisher.catalog.files(PARTS, MONDAY)


def test_staging_again_leaves_nothing_of_the_attempt_before(publisher: Publisher, stage: Stage) -> None:
    stage(MONDAY, "run-1", ["bolt"])
    folder = publisher.stage(PARTS, MONDAY, "run-1")[0]
    assert list(Path(folder).iterdir()) == []
