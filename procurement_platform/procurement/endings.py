"""How Dagster runs of the domain ended, and what follows: crashes that left no trace are recorded, and what checks found is gathered."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)

from procurement_platform.database.locks import DayLock, is_free
from procurement_platform.dayrun import without_paths
from procurement_platform.errors import DayBusy
from procurement_platform.finished import PARTITION_TAG, utc
from procurement_platform.inbox.identity import parse_date
from procurement_platform.lake.committing import MAINTENANCE
from procurement_platform.platform import Platform
from procurement_platform.processes import is_gone
from procurement_platform.procurement.publication import DOMAIN, show_crash
from procurement_platform.procurement.service import notice_killed
from procurement_platform.quality.alerts import Finding, fingerprint
from procurement_platform.quality.crashes import RunLog
from procurement_platform.quality.rules import PIPELINE_CRASH

CRASH_CHECK = PIPELINE_CRASH.check_name
REPORT = AssetKey("exceptions")
JOB = "procurement_day"
KILLED = "The run was killed before it ended, and found so later."
_RUNNING = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
_BEGINS_WITHIN = 180.0  # seconds: the embedded PostgreSQL may have to be recovered first, and a killed run's connection noticed
PROCESS_TAG = "procurement/process"
AFTERWARDS = "The run had succeeded; its process was killed before it said so."
SUSPECTED = "Nobody works on maintenance. A run of it that says nothing more for two minutes is taken for one that was killed."
SILENCE = dt.timedelta(minutes=2)  # a step's process takes seconds to start


@dataclass(frozen=True)
class Failure:
    """Why a run failed: its step, the name of the error at the root, and what that said."""

    step: str | None
    error: str
    message: str


_OWN = "procurement_platform."


def failure_of(events: Iterable[DagsterEvent]) -> Failure | None:
    """The first failed step's cause, in the platform's own words where it has any; where no step failed, what Dagster says of the run."""
    of_run = None
    for event in events:
        if event.is_step_failure:
            cause = event.step_failure_data.error
            while cause is not None and cause.cause is not None and not cause.message.startswith(_OWN):
                cause = cause.cause
            text = " ".join((cause.message if cause else event.message or "").split())
            name, _, rest = text.partition(": ")
            own = name.startswith(_OWN)
            return Failure(event.step_key, name.rpartition(".")[2], rest if own else text)
        if event.event_type == DagsterEventType.RUN_FAILURE:
            error = event.job_failure_data.error if event.event_specific_data else None
            text = error.message if error else event.message or "the run failed before its first step"
            of_run = Failure(None, "", " ".join(text.split()))
    return of_run


def run_date_of(run: DagsterRun) -> dt.date | None:
    """The run date of a run of this domain; None for any other run."""
    from procurement_platform.procurement.assets import KEYS

    ours = run.job_name == JOB or not KEYS.isdisjoint(run.asset_selection or ())
    return parse_date(run.tags.get(PARTITION_TAG, "")) if ours else None


def tell_crash(instance: DagsterInstance, run: DagsterRun, *, passed: bool) -> None:
    """Stores the result of the PIPELINE_CRASH check of a run's date, outside of any step.

    It is told of the run. Dagster keeps one result of a partitioned check per date that belongs to no run, and refuses a second.
    """
    result = AssetCheckEvaluation(
        asset_key=REPORT,
        check_name=CRASH_CHECK,
        passed=passed,
        metadata={},
        severity=AssetCheckSeverity.ERROR,
        description="the day's last run succeeded" if passed else "the day's last run crashed: see its exceptions",
        blocking=False,
        partition=run.tags[PARTITION_TAG],
    )
    event = DagsterEvent(DagsterEventType.ASSET_CHECK_EVALUATION.value, run.job_name, event_specific_data=result)
    instance.report_dagster_event(event, run.run_id)


def find_killed(platform: Platform, instance: DagsterInstance) -> list[dt.date]:
    """Notices killed runs: records each as its day's crash and tells the event log. Returns their run dates."""
    dates = [run_date for run_date, _ in notice_killed(platform)]
    early = mark_killed(platform, instance)
    for run_date in early:
        _bring_up(platform, run_date)
    mark_killed_maintenance(platform, instance, dt.datetime.now(dt.UTC))
    return dates + early


def mark_killed(platform: Platform, instance: DagsterInstance, run_date: dt.date | None = None) -> list[dt.date]:
    """Tells the event log of runs known to be killed: by itself it would say for hours that they run.

    One that was killed before its first step is known to the event log alone: it is recorded as its day's crash. Returns their run dates.
    """
    tags = {PARTITION_TAG: run_date.isoformat()} if run_date else {}
    now, chosen = dt.datetime.now(dt.UTC), RunsFilter(statuses=_RUNNING, tags=tags)
    records = instance.get_run_records(chosen)
    log, early = RunLog(platform.database, DOMAIN), []
    # Of those that ended meanwhile the log tells; whoever ended before it was asked is not among those that still say they run.
    states = log.states([record.dagster_run.run_id for record in records]) if records else {}
    for record in records:
        run, day = record.dagster_run, run_date_of(record.dagster_run)
        if day is None:
            continue
        state = states.get(run.run_id)
        if state is None and _never_began(platform, record, now) and _still_runs(instance, run):
            log.never_began(day, run.run_id, _began(record))
            early.append(day)
            state = "killed"
        ended = state in ("succeeded", "failed") and is_gone(run.tags.get(PROCESS_TAG, "")) and _still_runs(instance, run)
        if ended and state == "succeeded":
            event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, run.job_name, message=AFTERWARDS)
            instance.report_dagster_event(event, run.run_id)
        elif ended or state == "killed":
            instance.report_run_failed(run, KILLED)
            crash = log.standing_crash(day)
            if crash is not None and crash.run_id == run.run_id:
                tell_crash(instance, run, passed=False)
    return early


def _never_began(platform: Platform, record: RunRecord, now: dt.datetime) -> bool:
    """Whether a run that the run log does not know cannot begin any more: its process is gone, or it should long have begun."""
    run = record.dagster_run
    gone = is_gone(run.tags.get(PROCESS_TAG, ""))
    if gone is not None:
        return gone
    launched = run.remote_job_origin is not None
    if launched and run.status == DagsterRunStatus.NOT_STARTED:
        return False  # it waits for its turn
    waits = platform.settings.lock_wait_seconds if launched else 0  # for the day; a command finds it busy, and fails
    return now - _began(record) > dt.timedelta(seconds=waits + _BEGINS_WITHIN)


def _still_runs(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the event log says so still: it is asked right before the contrary is written into it."""
    found = instance.get_run_by_id(run.run_id)
    return found is not None and found.status in _RUNNING


def _began(record: RunRecord) -> dt.datetime:
    return dt.datetime.fromtimestamp(record.start_time, dt.UTC) if record.start_time else utc(record.create_timestamp)


def _bring_up(platform: Platform, run_date: dt.date) -> bool:
    """Brings a day's report up to how its last run ended, where nobody works on the day; returns whether it says that it crashed."""
    try:
        lock = DayLock.acquire(platform.database, DOMAIN, run_date, "procurement: reporting a crash")
    except DayBusy:
        return False  # the run that holds the day will do it
    with lock:
        return show_crash(platform, run_date)


def mark_killed_maintenance(platform: Platform, instance: DagsterInstance, now: dt.datetime) -> None:
    """Tells the event log of maintenance runs that were killed: nothing else knows of them.

    Raises:
        DatabaseUnavailable: the database went away.
    """
    # A task has the lock from just after its step began to just before it ends. Of a live run it is free for moments only, about which the
    # run says something: a step begins, a step ended. So one that is silent while the lock is free was killed, or has given the lock back
    # just now, after a long task: a second look tells which. What the first one saw is noted in the run's own log, where it stays the last
    # word only of a run that was killed. (One that lost its lock with the database and works on says itself how it ended, and that counts.)
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])):
        if not _is_maintenance(run):
            continue
        for record in instance.get_records_for_run(run.run_id, limit=1, ascending=False).records:
            last = record.event_log_entry
            silent = now - dt.datetime.fromtimestamp(last.timestamp, dt.UTC) > SILENCE
            if silent and is_free(platform.database, MAINTENANCE):
                if last.dagster_event is not None and last.dagster_event.message == SUSPECTED:
                    instance.report_run_failed(run, KILLED)
                else:
                    instance.report_engine_event(SUSPECTED, run)


def _is_maintenance(run: DagsterRun) -> bool:
    """Whether all that a run does is tasks that take the lock of maintenance."""
    from procurement_platform.procurement.assets.maintenance import MAINTENANCE as ASSETS
    from procurement_platform.procurement.assets.maintenance import maintenance_job

    chosen = run.asset_selection or frozenset()
    return run.job_name == maintenance_job.name or (bool(chosen) and chosen <= {asset.key for asset in ASSETS})


def trace(platform: Platform, instance: DagsterInstance, record: RunRecord) -> bool:
    """Records a failed run that left no trace itself (its database was down, its process never came up). Returns whether it did.

    A run that found its day busy is no crash of the day.
    """
    run, log = record.dagster_run, RunLog(platform.database, DOMAIN)
    run_date = run_date_of(run)
    if run_date is None or run.status != DagsterRunStatus.FAILURE or log.states([run.run_id]):
        return False
    found = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    events = (entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=found))
    failure = failure_of(event for event in events if event is not None) or Failure(None, "", "the run failed")
    if failure.error == DayBusy.__name__:
        return False
    log.fail(run_date, run.run_id, failure.step, without_paths(failure.message, platform), "Dagster", _began(record))
    if _bring_up(platform, run_date):
        tell_crash(instance, run, passed=False)
    return True


def findings(platform: Platform, instance: DagsterInstance, run: DagsterRun) -> Iterator[Finding]:
    """What the checks of a run found, and whether its day stands crashed."""
    run_date = run_date_of(run)
    if run_date is None:
        return
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        if entry.dagster_event is not None:
            result = entry.dagster_event.asset_check_evaluation_data
            if result.asset_key != REPORT or result.check_name != CRASH_CHECK:
                yield _finding(result, run_date)
    crash = RunLog(platform.database, DOMAIN).standing_crash(run_date)
    if crash is None and run.status == DagsterRunStatus.SUCCESS:
        yield Finding(REPORT.to_user_string(), CRASH_CHECK, run_date.isoformat(), passed=True, text="")
    elif crash is not None and crash.run_id == run.run_id:
        text = f"CRITICAL, the day's last run crashed{f' at {crash.step}' if crash.step else ''}: {crash.message}"
        mark = fingerprint(crash.step, crash.message)
        yield Finding(REPORT.to_user_string(), CRASH_CHECK, run_date.isoformat(), passed=False, text=text, fingerprint=mark)


def _finding(result: AssetCheckEvaluation, run_date: dt.date) -> Finding:
    metadata = {name: str(value.value) for name, value in result.metadata.items()}
    more = metadata.get("why") or metadata.get("examples", "").partition("\n")[0].removeprefix("- ")
    text = ". ".join(part for part in (result.description, more) if part)
    mark = fingerprint(metadata.get("fingerprint") or metadata.get("why") or result.description)
    return Finding(result.asset_key.to_user_string(), result.check_name, run_date.isoformat(), result.passed, text, mark)
