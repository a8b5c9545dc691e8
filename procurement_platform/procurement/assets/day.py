"""The resource that every step shares: the run of its day. The lock it holds is freed with the run, or with the process."""

import os
from collections.abc import Iterator
from datetime import date

import dagster as dg
from dagster import HookContext, InitResourceContext

from procurement_platform.dayrun import DayRun
from procurement_platform.errors import DayBusy, ProcurementError
from procurement_platform.finished import PARTITION_TAG
from procurement_platform.platform import platform_for
from procurement_platform.procurement.endings import mark_killed, tell_crash
from procurement_platform.procurement.publication import DOMAIN, report_agrees, show_crash
from procurement_platform.settings import settings


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
        launched_by=f"{'Dagster' if launched else 'command'} run {run.run_id[:8]}",
        wait_seconds=settings().lock_wait_seconds if launched else 0,
    )
    _warn_of_vanishing_instance(context)
    try:
        yield day
    finally:
        _fail_unless_whole(context, day)
        try:
            day.close(lambda: _leave_traces(context, day))
        except ProcurementError as problem:  # a database that went away must not make a failure of what is done
            _warn(context, f"How this run ended is not recorded: {problem}")


@dg.failure_hook(name="crash_is_recorded", required_resource_keys={"day"})
def crash_is_recorded(context: HookContext) -> None:
    """Records what stops a step outside its own code. Needs no daemon; the report follows when the run ends."""
    day: DayRun = context.resources.day
    problem = context.op_exception
    if problem is not None and _own(problem):
        day.fail(context.step_key, problem)


def _own(problem: BaseException) -> bool:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, DayBusy):
            return False
        cause = cause.__cause__
    return True


def _leave_traces(context: InitResourceContext, day: DayRun) -> None:
    """Brings the day's report and crash check up to how the run ended, and tells the event log of runs found killed."""
    instance = context.instance
    if instance is not None:
        mark_killed(day.platform, instance, day.run_date)
    # A run that publishes its day has done the same, unless a run that was killed is found to be the day's last.
    if day.failed or "published_day" not in day.done or not report_agrees(day.platform, day.run_date):
        show_crash(day.platform, day.run_date)
    if instance is not None and context.run is not None and (day.failed or "exceptions" not in day.done):  # the same
        tell_crash(instance, context.run, passed=not day.failed)


def _fail_unless_whole(context: InitResourceContext, day: DayRun) -> None:
    """A run that was interrupted between two steps failed, though none of its steps did."""
    run = context.run
    if run is None or context.instance is None or run.execution_plan_snapshot_id is None or not day.done:
        return
    steps = context.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute
    left = [step for step in steps if step not in day.done]
    if left:
        day.fail(left[0], KeyboardInterrupt("the run was interrupted"))


def _warn_of_vanishing_instance(context: InitResourceContext) -> None:
    # Without DAGSTER_HOME Dagster's commands make an instance in a temporary folder, which does not call itself ephemeral.
    if context.instance is not None and (context.instance.is_ephemeral or not os.environ.get("DAGSTER_HOME")):
        _warn(
            context,
            "This run's Dagster instance vanishes with it: its history will not show in the UI. "
            'Set DAGSTER_HOME (`source .venv/bin/activate`, or `eval "$(procurement env)"`).',
        )


def _warn(context: InitResourceContext, text: str) -> None:
    if context.log is not None:
        context.log.warning(text)
