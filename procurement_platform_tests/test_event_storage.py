"""Dagster's storage kept open: the same files, read by Dagster's own storage, by others while it writes, and on many runs."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from procurement_platform.event_storage import KEPT, kept_instance
from procurement_platform.instance import prepare_dagster_home
from procurement_platform.settings import Settings


@dg.asset(check_specs=[dg.AssetCheckSpec("fine", asset="numbers")])
def numbers() -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    yield dg.MaterializeResult(metadata={"rows": 3})
    yield dg.AssetCheckResult(passed=True, check_name="fine")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return prepare_dagster_home(Settings(home=tmp_path))


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    kept = kept_instance(home)
    yield kept
    kept.dispose()


def run(instance: DagsterInstance) -> str:
    done = dg.materialize([numbers], instance=instance)
    assert done.success
    return done.run_id


def test_dagsters_own_storage_reads_what_was_written_while_it_is_open(home: Path, instance: DagsterInstance) -> None:
    run_id = run(instance)
    with DagsterInstance.from_config(str(home)) as other:
        record = other.get_run_by_id(run_id)
        assert record is not None
        assert record.is_success
        assert len(other.all_logs(run_id)) == len(instance.all_logs(run_id)) > 0
        event = other.get_latest_materialization_event(dg.AssetKey("numbers"))
        assert event is not None
        assert event.run_id == run_id


def test_it_reads_what_dagsters_own_storage_wrote(home: Path, instance: DagsterInstance) -> None:
    first = run(instance)
    with DagsterInstance.from_config(str(home)) as other:
        second = run(other)
    assert {record.dagster_run.run_id for record in instance.get_run_records()} == {first, second}
    assert [log.run_id for log in instance.all_logs(second)] == [second] * len(instance.all_logs(second))


def test_many_runs_keep_few_databases_open_and_each_run_its_own_events(instance: DagsterInstance) -> None:
    runs = [run(instance) for _ in range(KEPT + 3)]
    counts = {len(instance.all_logs(run_id)) for run_id in runs}
    assert len(counts) == 1
    assert counts != {0}
    assert {log.run_id for log in instance.all_logs(runs[0])} == {runs[0]}


def test_the_database_of_a_later_run_is_as_dagster_would_have_made_it(home: Path, instance: DagsterInstance) -> None:
    """It is copied from the first one's, before there were events in that."""
    first, second = run(instance), run(instance)
    folder = home / "history" / "runs"
    schemas = []
    for run_id in (first, second):
        with sqlite3.connect(folder / f"{run_id}.db") as connection:
            schemas.append(connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall())
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
            assert connection.execute("SELECT DISTINCT run_id FROM event_logs").fetchall() == [(run_id,)]
        connection.close()
    assert schemas[0] == schemas[1]


def test_an_event_touches_the_file_that_the_ui_watches(home: Path, instance: DagsterInstance) -> None:
    run_id = run(instance)
    path = home / "history" / "runs" / f"{run_id}.db"
    before = path.stat().st_mtime_ns
    instance.report_engine_event("a word", instance.get_run_by_id(run_id))
    assert path.stat().st_mtime_ns > before


def test_it_can_be_used_again_after_it_was_closed(instance: DagsterInstance) -> None:
    first = run(instance)
    instance.event_log_storage.dispose()
    instance.run_storage.dispose()
    assert instance.all_logs(first)
    assert run(instance) != first


def test_step_output_is_captured_only_where_the_settings_name_a_place(home: Path, instance: DagsterInstance, tmp_path: Path) -> None:
    assert isinstance(instance.compute_log_manager, NoOpComputeLogManager)
    place = tmp_path / "step output"
    manager = "module: dagster._core.storage.local_compute_log_manager\n  class: LocalComputeLogManager"
    with (home / "dagster.yaml").open("a") as settings:
        settings.write(f"\ncompute_logs:\n  {manager}\n  config:\n    base_dir: {place}\n")
    kept_instance.cache_clear()
    with kept_instance(home) as named:
        run(named)
    assert any(place.rglob("*.out"))


def test_wiping_leaves_no_events(instance: DagsterInstance) -> None:
    run_id = run(instance)
    instance.event_log_storage.wipe()
    assert instance.all_logs(run_id) == []
    assert instance.get_latest_materialization_event(dg.AssetKey("numbers")) is None
