"""The resource that every step shares: the run of its day. The lock it holds is freed with the run, or with the process."""

from collections.abc import Iterator
from datetime import date

import dagster as dg
from dagster import DagsterInstance, HookContext, InitResourceContext

from procurement_platform.dayrun import DayRun
from procurement_platform.platform import platform_for
from procurement_platform.procurement.publication import DOMAIN, report_crash
from procurement_platform.quality.rules import PIPELINE_CRASH
from procurement_platform.settings import settings

PARTITION_TAG = "dagster/partition"
CRASH_CHECK = PIPELINE_CRASH.check_name


@dg.resource(description="The run of one day: its date, its lock, and the platform it works on.")
def day_run(context: InitResourceContext) -> Iterator[DayRun]:
    """Yields the run's DayRun. Nothing connects here, so that an outage is a step's failure."""
    run = context.run
    if run is None:
        raise dg.DagsterInvalidInvocationError("the day resource needs a run")
    partition = run.tags.get(PARTITION_TAG)
    if partition is None:
        raise dg.DagsterInvalidInvocationError("choose one run date: this run has no single partition")
    # A run that Dagster's daemon or UI launched has an origin and may wait for the day; a command fails fast.
    launched = run.remote_job_origin is not None
    day = DayRun(
        platform_for(settings()),
        DOMAIN,
        date.fromisoformat(partition),
        run.run_id,
        launched_by=f"{'Dagster' if launched else 'command'} run {run.run_id[:8]} ",
        wait_seconds=settings().lock_wait_seconds if launched else 0,
    )
    _warn_of_vanishing_instance(context)
    try:
        yield day
    finally:
        if context.instance is not None:
            _mark_killed(context.instance, day.found_killed)
        day.close()


@dg.failure_hook(name="crash_is_reported", required_resource_keys={"day"})
def crash_is_reported(context: HookContext) -> None:
    """Puts the crash into the day's report and the failed check into the event log; works without a daemon."""
    day: DayRun = context.resources.day
    problem = context.op_exception
    if problem is None or not _own(problem):
        return
    day.fail(context.step_key, problem)
    report_crash(day)
    if isinstance(context.instance, DagsterInstance):
        tell_crash(context.instance, day.run_date, passed=False)


def tell_crash(instance: DagsterInstance, run_date: date, *, passed: bool) -> None:
    """Stores the result of the PIPELINE_CRASH check of a run date, outside of any step."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("exceptions"),
            check_name=CRASH_CHECK,
            passed=passed,
            metadata={},
            severity=dg.AssetCheckSeverity.ERROR,
            description="the day's last run succeeded" if passed else "the day's last run crashed: see its exceptions",
            blocking=False,
            partition=run_date.isoformat(),
        )
    )


def _own(problem: BaseException) -> bool:
    from procurement_platform.errors import DayBusy

    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, DayBusy):
            return False
        cause = cause.__cause__
    return True


def _mark_killed(instance: DagsterInstance, run_ids: list[str]) -> None:
    """Tells the event log of runs that were killed: without a daemon they would say STARTED for ever."""
    for run_id in run_ids:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "The run was killed before it ended; a later run of the day found it so.")


def _warn_of_vanishing_instance(context: InitResourceContext) -> None:
    if context.instance is not None and context.instance.is_ephemeral and context.log is not None:
        context.log.warning(
            "This run's Dagster instance vanishes with it: its history will not show in the UI. "
            'Set DAGSTER_HOME (`source .venv/bin/activate`, or `eval "$(procurement env)"`).'
        )
