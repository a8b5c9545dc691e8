import datetime as dt

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.lake.days import Days
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import Publisher
from procurement_platform.lake.retention import by_tags, remove_old_runs
from procurement_platform_tests.lake.parts import PARTS, Stage

DAY, OTHER = dt.date(2025, 12, 1), dt.date(2025, 12, 2)
FOLDER = "processed/parts/2025-12-01"


def allowed() -> None:
    """A guard that lets commits through."""


@pytest.fixture
def five_runs(publisher: Publisher, stage: Stage, database: Database) -> None:
    """Five runs of a day, each forty days old and a second after the one before; `run-0` is published, `run-4` is the state."""
    for n in range(5):
        publisher.commit(PARTS, DAY, f"run-{n}", stage(DAY, f"run-{n}", ["bolt"]), guard=allowed, inputs={})
        with database.transaction() as connection:
            connection.execute(
                "UPDATE control.table_runs SET staged_at = now() - interval '40 days' + make_interval(secs => %s) WHERE run_id = %s",
                (n, f"run-{n}"),
            )
    Days(database, publisher.lake).publish("shop", DAY, "run-0", {"parts": "run-0"}, [], {}, allowed)


@pytest.mark.usefixtures("five_runs")
def test_old_runs_go_and_what_is_named_stays(publisher: Publisher, database: Database, lake: Lake) -> None:
    assert remove_old_runs(database, lake, DAY, days=30, runs=2) == [f"{FOLDER}/run-1", f"{FOLDER}/run-2"]
    assert lake.folders(FOLDER) == ["run-0", "run-3", "run-4"]
    assert [r.run_id for r in publisher.registry.history("parts", DAY)] == ["run-4", "run-3", "run-0"]
    assert len(publisher.catalog.files(PARTS, DAY)) == 1
    assert remove_old_runs(database, lake, DAY, days=30, runs=2) == []


@pytest.mark.usefixtures("five_runs")
def test_what_a_tag_names_can_be_read_as_long_as_it_is_there(publisher: Publisher, database: Database, lake: Lake) -> None:
    table, held = publisher.catalog.load(PARTS), by_tags(publisher.catalog, [PARTS])
    (audited,) = [
        snapshot.snapshot_id
        for snapshot in table.snapshots()
        if any("/run-1/" in task.file.file_path for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files())
    ]
    table.manage_snapshots().create_tag(audited, "audit").commit()
    assert remove_old_runs(database, lake, DAY, days=30, runs=2, held=held) == [f"{FOLDER}/run-2"]
    assert publisher.catalog.load(PARTS).scan(snapshot_id=audited).to_arrow().num_rows == 1
    publisher.catalog.load(PARTS).manage_snapshots().remove_tag("audit").commit()
    assert remove_old_runs(database, lake, DAY, days=30, runs=2, held=held) == [f"{FOLDER}/run-1"]


@pytest.mark.usefixtures("five_runs")
def test_young_runs_stay_however_many_there_are(database: Database, lake: Lake) -> None:
    assert remove_old_runs(database, lake, DAY, days=41, runs=1) == []


@pytest.mark.usefixtures("five_runs")
def test_other_days_are_left_alone(database: Database, lake: Lake) -> None:
    assert remove_old_runs(database, lake, OTHER, days=0, runs=1) == []
    assert len(lake.folders(FOLDER)) == 5


@pytest.mark.usefixtures("five_runs")
def test_a_file_that_a_published_day_names_keeps_its_folder(publisher: Publisher, database: Database, lake: Lake) -> None:
    days = Days(database, lake)
    file = days.put(f"{FOLDER}/run-2/csv/s.csv", "s.csv", [b"1"], 1)
    days.publish("shop", DAY, "run-2", {}, [file], {}, allowed)
    assert remove_old_runs(database, lake, DAY, days=30, runs=1) == [f"{FOLDER}/run-{n}" for n in (0, 1, 3)]
    assert days.read(file) == b"1"


@pytest.mark.usefixtures("five_runs")
def test_the_folder_that_stable_links_lead_to_stays_also_where_it_has_no_file(publisher: Publisher, database: Database, lake: Lake) -> None:
    days = Days(database, lake)
    publisher.registry.stage("published_day", DAY, "run-2", (f"{FOLDER}/run-2/csv",))
    day = days.publish("shop", DAY, "run-2", {}, [], {}, allowed)
    days.link(day, FOLDER, "run-2/csv")
    with database.transaction() as connection:
        connection.execute("UPDATE control.table_runs SET staged_at = now() - interval '40 days'")
    remove_old_runs(database, lake, DAY, days=30, runs=0)
    assert lake.folders(FOLDER) == ["run-2", "run-4"]
    assert lake.exists(f"{FOLDER}/.current")


@pytest.mark.usefixtures("five_runs")
def test_a_run_that_was_killed_after_its_commit_keeps_the_rows_that_the_table_has(
    publisher: Publisher, stage: Stage, database: Database, lake: Lake
) -> None:
    publisher.catalog.replace(PARTS, DAY, stage(DAY, "landed", ["nut"]), {})
    for n in range(3):
        stage(DAY, f"killed-{n}", ["screw"])
    with database.transaction() as connection:
        connection.execute("UPDATE control.table_runs SET committed_at = committed_at - interval '35 days'")
        connection.execute("UPDATE control.table_runs SET staged_at = staged_at - interval '31 days' WHERE state = 'staged'")
    remove_old_runs(database, lake, DAY, days=30, runs=1)
    assert len(publisher.catalog.files(PARTS, DAY)) == 1
    publisher.commit(PARTS, DAY, "run-5", stage(DAY, "run-5", ["bolt"]), guard=allowed, inputs={})
    assert f"{FOLDER}/landed" in remove_old_runs(database, lake, DAY, days=30, runs=1)


@pytest.mark.usefixtures("five_runs")
def test_a_kill_between_folder_and_row_is_healed(publisher: Publisher, database: Database, lake: Lake) -> None:
    lake.remove_folder(f"{FOLDER}/run-1")
    remove_old_runs(database, lake, DAY, days=30, runs=2)
    assert publisher.registry.get(PARTS.name, DAY, "run-1") is None
