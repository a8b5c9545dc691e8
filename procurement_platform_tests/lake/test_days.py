import datetime as dt
from pathlib import Path

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.errors import InputGone, LockLost
from procurement_platform.lake.days import Days, ManifestFile, PublishedDay
from procurement_platform.lake.files import Lake

DAY = dt.date(2025, 12, 20)
FOLDER = "output/orders/2025-12-20"
REPORT = "logs/reports/2025-12-20"


def allowed() -> None:
    """A guard that lets publishing through."""


@pytest.fixture
def days(database: Database, lake: Lake) -> Days:
    return Days(database, lake)


def files(days: Days, run: str, **contents: bytes) -> list[ManifestFile]:
    return [days.put(f"{FOLDER}/{run}/csv/{n}.csv", f"{FOLDER}/{n}.csv", [data], 1) for n, data in contents.items()]


def published(days: Days, run: str, **contents: bytes) -> PublishedDay:
    return days.publish("shop", DAY, run, {"orders": run}, files(days, run, **contents), {"files": ["f1"]}, allowed)


def test_a_day_is_invisible_until_it_is_published(days: Days) -> None:
    made = files(days, "run-1", s1=b"1")
    assert days.get("shop", DAY) is None
    assert days.latest("shop") is None
    day = days.publish("shop", DAY, "run-1", {"orders": "run-1"}, made, {}, allowed)
    assert days.get("shop", DAY) == day
    assert days.latest("shop") == DAY
    assert days.between("shop", DAY, DAY) == [day]


def test_a_domain_does_not_see_anothers_days(days: Days) -> None:
    published(days, "run-1", s1=b"1")
    assert days.get("farm", DAY) is None


def test_publishing_again_replaces_the_day(days: Days) -> None:
    published(days, "run-1", s1=b"1")
    day = published(days, "run-2", s1=b"2")
    assert days.get("shop", DAY) == day
    assert (day.run_id, day.tables, day.inputs) == ("run-2", {"orders": "run-2"}, {"files": ["f1"]})


def test_nothing_is_published_when_the_lock_is_gone(days: Days) -> None:
    def lost() -> None:
        raise LockLost("gone")

    with pytest.raises(LockLost):
        days.publish("shop", DAY, "run-1", {}, [], {}, lost)
    assert days.get("shop", DAY) is None


def test_the_stable_path_holds_exactly_the_manifest(days: Days, lake: Lake) -> None:
    days.settle(published(days, "run-1", s1=b"1", s2=b"2"), FOLDER)
    mended = days.settle(published(days, "run-2", s2=b"2", s3=b"3"), FOLDER)
    assert lake.files(FOLDER) == ["s2.csv", "s3.csv"]
    assert sorted(mended) == [f"{FOLDER}/s1.csv", f"{FOLDER}/s3.csv"]
    assert lake.folders(FOLDER) == ["run-1", "run-2"]


@pytest.mark.parametrize("damage", [b"", b"X", b"longer than it was"])
def test_a_damaged_stable_file_is_mended_from_the_manifest(days: Days, lake: Lake, damage: bytes) -> None:
    day = published(days, "run-1", s1=b"1")
    days.settle(day, FOLDER)
    lake.write(f"{FOLDER}/s1.csv", damage)
    assert days.settle(day, FOLDER) == [f"{FOLDER}/s1.csv"]
    assert lake.read(f"{FOLDER}/s1.csv") == b"1"
    assert days.settle(day, FOLDER) == []


def test_linked_files_are_the_manifests_of_that_folder_alone(days: Days, lake: Lake) -> None:
    made = [*files(days, "run-1", s1=b"1"), days.put("logs/run-1/report.csv", "logs/report.csv", [b"r"], 1)]
    day = days.publish("shop", DAY, "run-1", {}, made, {}, allowed)
    assert days.link(day, FOLDER, "run-1/csv") == [f"{FOLDER}/s1.csv"]
    assert lake.read(f"{FOLDER}/s1.csv") == b"1"
    assert not lake.exists("logs/report.csv")
    assert days.settle(day, "logs") == ["logs/report.csv"]
    assert lake.read("logs/report.csv") == b"r"
    assert days.link(day, FOLDER, "run-1/csv") == []


@pytest.mark.parametrize("damage", [b"", b"X", b"longer than it was"])
def test_a_damaged_stable_file_is_a_link_again_and_the_runs_copy_stays(days: Days, lake: Lake, damage: bytes) -> None:
    day = published(days, "run-1", s1=b"1")
    days.link(day, FOLDER, "run-1/csv")
    lake.write(f"{FOLDER}/s1.csv", damage)  # as an editor does: beside it, then over it
    assert days.link(day, FOLDER, "run-1/csv") == [f"{FOLDER}/s1.csv"]
    assert lake.read(f"{FOLDER}/s1.csv") == b"1"


def test_a_file_of_another_folder_that_leads_through_changes_in_the_same_step(
    days: Days, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(run: str, text: bytes) -> PublishedDay:
        report = days.put(f"{REPORT}/{run}/report.csv", f"{REPORT}/report.csv", [text], 1)
        return days.publish("shop", DAY, run, {}, [*files(days, run, s1=text), report], {}, allowed)

    def settle(day: PublishedDay) -> list[str]:
        return [*days.lead_through(day, REPORT, FOLDER), *days.link(day, FOLDER, f"{day.run_id}/csv", REPORT)]

    def seen() -> tuple[bytes, bytes]:
        return lake.read(f"{FOLDER}/s1.csv"), lake.read(f"{REPORT}/report.csv")

    lake.write(f"{REPORT}/report.csv", b"a file of its own")
    lake.write(f"{REPORT}/stale.csv", b"stale")
    first = publish("run-1", b"1")
    assert settle(first) == [f"{REPORT}/report.csv", f"{REPORT}/stale.csv", f"{FOLDER}/s1.csv"]
    assert seen() == (b"1", b"1")
    assert settle(first) == []
    assert not lake.exists(f"{REPORT}/stale.csv")
    second, moments = publish("run-2", b"2"), []
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        moments.append(seen())
        try:
            return replace(path, target)
        finally:
            moments.append(seen())

    with monkeypatch.context() as looking:
        looking.setattr(Path, "replace", watched)
        settle(second)
    assert set(moments) == {(b"1", b"1"), (b"2", b"2")}
    lake.write(f"{REPORT}/run-2/report.csv", b"changed")
    with pytest.raises(InputGone, match=r"run-2/report\.csv is not what was published"):
        settle(second)


def test_a_runs_copy_that_somebody_wrote_into_is_noticed_and_not_switched_to(days: Days, lake: Lake) -> None:
    days.link(published(days, "run-1", s1=b"1"), FOLDER, "run-1/csv")
    day = published(days, "run-2", s1=b"2")
    lake.write(f"{FOLDER}/run-2/csv/s1.csv", b"3")
    with pytest.raises(InputGone, match=r"run-2/csv/s1\.csv is not what was published"):
        days.link(day, FOLDER, "run-2/csv")
    assert lake.read(f"{FOLDER}/s1.csv") == b"1"


def test_a_published_file_that_changed_or_went_away_is_never_handed_out(days: Days, lake: Lake) -> None:
    file = published(days, "run-1", s1=b"1").manifest[0]
    assert days.read(file) == b"1"
    lake.write(file.path, b"2")
    with pytest.raises(InputGone, match="not what was published"):
        days.read(file)
    lake.remove(file.path)
    with pytest.raises(InputGone, match="is gone"):
        days.read(file)
