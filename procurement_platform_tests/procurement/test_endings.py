"""How runs end and what they leave: crashes recorded once, told to the event log and the report, and gone after the next good run."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from procurement_platform.database.locks import DayLock
from procurement_platform.definitions import defs
from procurement_platform.errors import DayBusy, LakeUnavailable
from procurement_platform.instance import prepare_dagster_home
from procurement_platform.lake.committing import MAINTENANCE
from procurement_platform.platform import Platform, platform_for
from procurement_platform.processes import this_process
from procurement_platform.procurement import endings, service
from procurement_platform.procurement.assets.maintenance import MAINTENANCE as MAINTENANCE_ASSETS
from procurement_platform.procurement.endings import (
    CRASH_CHECK,
    JOB,
    KILLED,
    PROCESS_TAG,
    SILENCE,
    failure_of,
    find_killed,
    findings,
    mark_killed,
    mark_killed_maintenance,
    run_date_of,
    trace,
)
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.running import QUIET
from procurement_platform.quality.crashes import RunLog
from procurement_platform.settings import Settings, settings
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

CHECK = dg.AssetCheckKey(dg.AssetKey("exceptions"), CRASH_CHECK)


@pytest.fixture
def desk(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose days run by Dagster, in this process: its platform is the one that the day's resource finds."""
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0")
    monkeypatch.setenv("DAGSTER_HOME", str(prepare_dagster_home(home)))
    settings.cache_clear()
    shop = Shop(platform_for(settings()))
    shop.load()
    shop.put("orders", "DE", [order("1", "A", 20)])
    shop.put("stock", "DE", [count("A", 1)])
    yield shop
    shop.platform.close()


@pytest.fixture
def instance(desk: Shop) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as found:
        yield found


@pytest.fixture
def log(desk: Shop) -> RunLog:
    return RunLog(desk.platform.database, DOMAIN)


def run(desk: Shop) -> str | None:
    return service.run_day(settings(), DAY).error


def break_the_day(desk: Shop) -> None:
    """Takes away what the day is made of: every run fails until `mend`."""
    for path in (*desk.inbox.glob("orders/*/*"), *Path(desk.platform.lake.path("raw/orders")).glob("*/*.avro")):
        path.rename(path.with_name(f".{path.name}"))


def mend(desk: Shop) -> None:
    for path in Path(desk.platform.lake.path("raw/orders")).glob("*/.*.avro"):
        path.rename(path.with_name(path.name[1:]))


def crash_check(instance: dg.DagsterInstance) -> tuple[bool, str | None] | None:
    """Whether the newest result of the crash check passed, and its partition."""
    for record in instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=10):
        event = record.event.dagster_event if record.event else None
        if event is not None and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            result = event.asset_check_evaluation_data
            return result.passed, result.partition
    return None


def test_a_failed_run_is_a_crash_in_the_report_and_a_failed_check_of_its_date(desk: Shop, instance: dg.DagsterInstance) -> None:
    assert run(desk) is None
    before = desk.csvs()
    break_the_day(desk)
    error = run(desk)
    assert error is not None
    assert "is gone" in error
    assert desk.report().count("PIPELINE_CRASH") == 1
    assert desk.csvs() == before
    assert crash_check(instance) == (False, DAY.isoformat())


def test_every_crash_of_a_day_is_told(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    run(desk)
    break_the_day(desk)
    run(desk)
    run(desk)
    mend(desk)
    run(desk)
    break_the_day(desk)
    run(desk)
    assert crash_check(instance) == (False, DAY.isoformat())
    assert len(log.history(DAY)) == 3
    assert desk.report().count("PIPELINE_CRASH") == 1


def test_the_next_good_run_takes_the_crash_out_again(desk: Shop, instance: dg.DagsterInstance) -> None:
    run(desk)
    good = desk.report()
    break_the_day(desk)
    run(desk)
    mend(desk)
    assert run(desk) is None
    assert desk.report() == good
    assert crash_check(instance) == (True, DAY.isoformat())


def test_a_good_run_of_some_assets_takes_the_crash_out_too(desk: Shop, instance: dg.DagsterInstance) -> None:
    run(desk)
    good = desk.report()
    break_the_day(desk)
    run(desk)
    mend(desk)
    job = defs.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey("aggregated_orders")]
    assert job.execute_in_process(instance=instance, partition_key=str(DAY), asset_selection=keys, run_config=QUIET).success
    assert desk.report() == good
    assert crash_check(instance) == (True, DAY.isoformat())


def test_the_report_of_a_day_that_was_never_published_is_its_crash_alone(desk: Shop, instance: dg.DagsterInstance) -> None:
    trace(desk.platform, instance, untraced(instance))
    assert [line.split(",")[1] for line in desk.report().splitlines()] == ["rule", "PIPELINE_CRASH"]


def test_a_busy_day_is_no_crash(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    with DayLock.acquire(desk.platform.database, DOMAIN, DAY, "ann's run"), pytest.raises(DayBusy, match="ann's run"):
        run(desk)
    assert log.history() == []
    assert crash_check(instance) is None
    record = instance.get_run_records(limit=1)[0]
    assert record.dagster_run.status == dg.DagsterRunStatus.FAILURE
    assert trace(desk.platform, instance, record) is False
    assert log.history() == []


def untraced(instance: dg.DagsterInstance, message: str = "the process never came up") -> dg.RunRecord:
    """A run that failed before it could leave a trace."""
    job = defs.resolve_job_def(JOB)
    made = instance.create_run_for_job(job, tags={"dagster/partition": str(DAY)}, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(made, message)
    return instance.get_run_records(dg.RunsFilter(run_ids=[made.run_id]))[0]


def test_a_failure_without_a_trace_is_recorded_once(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    record = untraced(instance)
    assert trace(desk.platform, instance, record) is True
    assert trace(desk.platform, instance, record) is False
    (crash,) = log.history()
    assert (crash.run_id, crash.message) == (record.dagster_run.run_id, "the process never came up")
    assert desk.report().count("PIPELINE_CRASH") == 1
    assert crash_check(instance) == (False, DAY.isoformat())


def test_a_failure_before_a_good_run_is_history_and_does_not_stand(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    record = untraced(instance)
    assert run(desk) is None
    assert trace(desk.platform, instance, record) is True
    assert len(log.history()) == 1
    assert log.standing_crash(DAY) is None
    assert "PIPELINE_CRASH" not in desk.report()
    assert crash_check(instance) == (True, DAY.isoformat())


def test_paths_of_the_machine_are_kept_out_of_what_is_recorded(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    trace(desk.platform, instance, untraced(instance, f"no such file {desk.platform.lake.path('raw/x')} in /usr/lib/python/y.py"))
    assert log.history()[0].message == "no such file raw/x in …/y.py"


def test_a_killed_run_is_found_recorded_and_marked_once(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    made = instance.create_run_for_job(defs.resolve_job_def(JOB), tags={"dagster/partition": str(DAY)}, status=dg.DagsterRunStatus.STARTED)
    log.begin(DAY, made.run_id, "killed")
    log.at_step(DAY, made.run_id, "intake")
    with DayLock.acquire(desk.platform.database, DOMAIN, DAY, "it still runs"):
        assert find_killed(desk.platform, instance) == []
    assert find_killed(desk.platform, instance) == [DAY]
    assert find_killed(desk.platform, instance) == []
    assert [(c.run_id, c.step) for c in log.history()] == [(made.run_id, "intake")]
    status = instance.get_run_by_id(made.run_id)
    assert status is not None
    assert status.status == dg.DagsterRunStatus.FAILURE
    assert desk.report().count("PIPELINE_CRASH") == 1
    assert crash_check(instance) == (False, DAY.isoformat())


KILLED_IN = """
import datetime as dt, os, signal, sys
from procurement_platform.dayrun import DayRun
from procurement_platform.database.locks import DayLock
from procurement_platform.procurement import service
from procurement_platform.settings import settings
owner, method = sys.argv[1].split(".")
setattr({"DayRun": DayRun, "DayLock": DayLock}[owner], method, lambda self: os.kill(os.getpid(), signal.SIGKILL))
service.run_day(settings(), dt.date(2025, 12, 20))
"""


def kill_in(desk: Shop, method: str) -> None:
    """Runs the day in a process that kills itself when it comes to a method."""
    done = subprocess.run([sys.executable, "-c", KILLED_IN, method], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("breaks", "status"), [(False, dg.DagsterRunStatus.SUCCESS), (True, dg.DagsterRunStatus.FAILURE)])
def test_a_run_killed_after_it_ended_is_told_as_what_it_was(
    desk: Shop, instance: dg.DagsterInstance, log: RunLog, breaks: bool, status: dg.DagsterRunStatus
) -> None:
    assert run(desk) is None
    if breaks:
        break_the_day(desk)
    kill_in(desk, "DayLock.release")
    (killed,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    assert log.states([killed.run_id]) == {killed.run_id: "failed" if breaks else "succeeded"}
    assert find_killed(desk.platform, instance) == []
    told = instance.get_run_by_id(killed.run_id)
    assert told is not None
    assert told.status == status
    assert len(log.history(DAY)) == breaks
    assert desk.report().count("PIPELINE_CRASH") == breaks
    assert crash_check(instance) == (not breaks, DAY.isoformat())


def test_a_command_that_is_alive_is_not_said_to_be_killed(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    job, tags = defs.resolve_job_def(JOB), {"dagster/partition": str(DAY), PROCESS_TAG: this_process()}
    made = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    assert mark_killed(desk.platform, instance, DAY) == find_killed(desk.platform, instance) == []
    (still,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    assert still.run_id == made.run_id
    assert log.history() == []


def test_a_run_killed_before_its_first_step_is_recorded_by_the_next_one(desk: Shop, instance: dg.DagsterInstance, log: RunLog) -> None:
    kill_in(desk, "DayRun.begin")
    (killed,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    assert log.states([killed.run_id]) == {}
    assert run(desk) is None
    assert [(crash.run_id, crash.step) for crash in log.history(DAY)] == [(killed.run_id, None)]
    assert instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])) == []
    assert "PIPELINE_CRASH" not in desk.report()
    assert crash_check(instance) == (True, DAY.isoformat())


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_run_that_never_began_is_found_without_another_run_once_it_should_have(
    desk: Shop, instance: dg.DagsterInstance, log: RunLog, monkeypatch: pytest.MonkeyPatch, status: dg.DagsterRunStatus
) -> None:
    made = instance.create_run_for_job(defs.resolve_job_def(JOB), tags={"dagster/partition": str(DAY)}, status=status)
    monkeypatch.setattr(endings, "_BEGINS_WITHIN", 3600.0)
    assert find_killed(desk.platform, instance) == []
    monkeypatch.setattr(endings, "_BEGINS_WITHIN", 0.0)
    assert find_killed(desk.platform, instance) == [DAY]
    assert find_killed(desk.platform, instance) == []
    assert [crash.run_id for crash in log.history()] == [made.run_id]
    assert desk.report().count("PIPELINE_CRASH") == 1
    assert crash_check(instance) == (False, DAY.isoformat())


def test_findings_are_the_runs_checks_and_the_crash(desk: Shop, instance: dg.DagsterInstance) -> None:
    desk.put("orders", "GB", [order("1", "UNHEARD OF", 1)])
    run(desk)

    def found() -> dict[tuple[str, str], bool]:
        newest = instance.get_run_records(limit=1)[0].dagster_run
        return {(f.asset, f.check): f.passed for f in findings(desk.platform, instance, newest)}

    first = found()
    assert {key for key, passed in first.items() if not passed} == {
        ("raw_stock", "missing_file"),
        ("raw_orders", "missing_file"),
        ("order_lines", "unknown_product"),
        ("net_demand", "stock_unknown"),
    }
    assert first["exceptions", "pipeline_crash"] is True
    break_the_day(desk)
    run(desk)
    assert found()["exceptions", "pipeline_crash"] is False


def test_fingerprints_stay_while_the_same_is_found(desk: Shop, instance: dg.DagsterInstance) -> None:
    def marks() -> dict[str, str]:
        newest = instance.get_run_records(limit=1)[0].dagster_run
        return {f.check: f.fingerprint for f in findings(desk.platform, instance, newest) if not f.passed}

    desk.put("orders", "GB", [order("1", "NEW-1", 1)])
    run(desk)
    first = marks()
    run(desk)
    assert marks() == first
    desk.put("orders", "GB", [order("1", "NEW-1", 1), order("2", "NEW-2", 1)])
    run(desk)
    changed = marks()
    assert changed["unknown_product"] != first["unknown_product"]
    assert changed["missing_file"] == first["missing_file"]


@pytest.mark.parametrize(
    ("job", "tags", "expected"),
    [
        (JOB, {"dagster/partition": "2025-12-20"}, DAY),
        ("another_job", {"dagster/partition": "2025-12-20"}, None),
        (JOB, {}, None),
        (JOB, {"dagster/partition": "eu"}, None),
    ],
)
def test_runs_of_other_domains_are_not_ours(job: str, tags: dict[str, str], expected: dt.date | None) -> None:
    assert run_date_of(dg.DagsterRun(job_name=job, tags=tags)) == expected


def test_a_run_of_our_assets_is_ours_whatever_its_job() -> None:
    made = dg.DagsterRun("__ASSET_JOB", tags={"dagster/partition": str(DAY)}, asset_selection=frozenset({dg.AssetKey("net_demand")}))
    assert run_date_of(made) == DAY


KILLED_WITHIN_A_TASK = """
import os, signal
import dagster as dg
from procurement_platform.definitions import defs
from procurement_platform.procurement import maintenance
maintenance.expire_snapshots = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
defs.resolve_job_def("maintenance").execute_in_process(instance=dg.DagsterInstance.get())
"""


def look_later(desk: Shop, instance: dg.DagsterInstance) -> None:
    """As the sensor looks once runs that say nothing more have been silent for long."""
    mark_killed_maintenance(desk.platform, instance, dt.datetime.now(dt.UTC) + SILENCE + dt.timedelta(seconds=1))


def states(instance: dg.DagsterInstance) -> dict[str, dg.DagsterRunStatus]:
    return {run.run_id: run.status for run in instance.get_runs()}


def test_a_killed_maintenance_is_marked_at_the_second_look_at_its_silence(desk: Shop, instance: dg.DagsterInstance) -> None:
    desk.run()
    killed = subprocess.run([sys.executable, "-c", KILLED_WITHIN_A_TASK], capture_output=True, text=True, timeout=100, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with DayLock.named(desk.platform.database, MAINTENANCE, "the next one"):  # had once the server has noticed
        look_later(desk, instance)
    ((run_id, status),) = states(instance).items()
    assert status == dg.DagsterRunStatus.STARTED
    find_killed(desk.platform, instance)
    look_later(desk, instance)
    assert states(instance) == {run_id: dg.DagsterRunStatus.STARTED}
    find_killed(desk.platform, instance)
    assert states(instance) == {run_id: dg.DagsterRunStatus.STARTED}
    look_later(desk, instance)
    assert states(instance) == {run_id: dg.DagsterRunStatus.FAILURE}
    failed = failure_of(entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event is not None)
    assert failed is not None
    assert failed.message == KILLED


def test_maintenance_that_works_or_says_something_is_not_killed_nor_is_any_other_run(desk: Shop, instance: dg.DagsterInstance) -> None:
    desk.run()
    job, assets = defs.resolve_job_def("maintenance"), defs.resolve_implicit_global_asset_job_def()
    started = dg.DagsterRunStatus.STARTED
    of_job = instance.create_run_for_job(job, status=started)
    of_assets = instance.create_run_for_job(assets, status=started, asset_selection={MAINTENANCE_ASSETS[0].key})
    of_day = instance.create_run_for_job(defs.resolve_job_def(JOB), tags={"dagster/partition": str(DAY)}, status=started)

    def all_say(text: str) -> None:
        for run in (of_job, of_assets, of_day):
            instance.report_engine_event(text, run)

    all_say("a task begins")
    with DayLock.named(desk.platform.database, MAINTENANCE, "the task"):
        look_later(desk, instance)
        look_later(desk, instance)
    look_later(desk, instance)  # the task gave the lock back a moment ago
    all_say("the task ended")
    look_later(desk, instance)
    assert set(states(instance).values()) == {started}
    look_later(desk, instance)
    assert {run_id for run_id, status in states(instance).items() if status == started} == {of_day.run_id}


@pytest.mark.live
def test_an_interrupted_command_leaves_a_crash(desk: Shop, log: RunLog) -> None:
    environment = {**os.environ, "PROCUREMENT_SETTLE_SECONDS": "30"}  # the run watches its fresh files for so long
    command = [str(Path(sys.executable).with_name("procurement")), "run", str(DAY)]
    for path in desk.inbox.glob("*/*/*"):
        os.utime(path, (time.time() + 20, time.time() + 20))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "intake" in line:
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert out == ""
    (crash,) = log.history(DAY)
    assert crash.step == "intake"
    assert log.running(DAY) == []
    assert desk.report().count("PIPELINE_CRASH") == 1


def test_platforms_of_the_same_settings_are_one(desk: Shop) -> None:
    assert platform_for(settings()) is desk.platform
    assert isinstance(desk.platform, Platform)


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (LakeUnavailable("Trino at http://trino:8080 cannot be used"), ("LakeUnavailable", "Trino at http://trino:8080 cannot be used")),
        (RuntimeError("it stopped"), ("OSError", "OSError: Connection refused")),
    ],
)
def test_a_failure_is_told_in_our_own_words_and_else_by_its_root(problem: Exception, told: tuple[str, str]) -> None:
    @dg.op
    def stumbles() -> None:
        raise problem from OSError("Connection refused")

    @dg.job
    def day() -> None:
        stumbles()

    failure = failure_of(day.execute_in_process(raise_on_error=False).all_events)
    assert failure is not None
    assert (failure.step, failure.error, failure.message) == ("stumbles", *told)
