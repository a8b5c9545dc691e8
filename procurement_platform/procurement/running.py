"""Runs the day's job in this process: one Dagster run, in the event log of the home like any other."""

import datetime as dt
import os
import time
from collections.abc import Callable

import dagster as dg
import psycopg

from procurement_platform.dayrun import INTERRUPTS
from procurement_platform.definitions import defs
from procurement_platform.errors import DayBusy, ProcurementError
from procurement_platform.event_storage import kept_instance
from procurement_platform.instance import prepare_dagster_home
from procurement_platform.lake.days import PublishedDay
from procurement_platform.platform import Platform, platform_for
from procurement_platform.processes import this_process
from procurement_platform.procurement.assets.intake import GROWING
from procurement_platform.procurement.endings import JOB, PROCESS_TAG, failure_of
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.service import DayResult
from procurement_platform.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_day(
    settings: Settings, run_date: dt.date, *, refresh_reference: bool = False, on_step: Callable[[str], None] | None = None
) -> DayResult:
    """See `procurement_platform.procurement.service.run_day`."""
    home = prepare_dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    platform = platform_for(settings)
    platform.on_step = on_step
    config = {**QUIET, "ops": {"reference": {"config": {"refresh": refresh_reference}}}}
    start = time.monotonic()
    result = defs.resolve_job_def(JOB).execute_in_process(
        instance=kept_instance(home),
        partition_key=run_date.isoformat(),
        run_config=config,
        raise_on_error=False,
        tags={"procurement/command": "run", PROCESS_TAG: this_process()},
    )
    error = None if result.success else _why(result)
    seconds = time.monotonic() - start
    return DayResult(run_date, result.run_id, error, seconds, _published(platform, run_date, result.run_id), _growing(result))


def _growing(result: dg.ExecuteInProcessResult) -> tuple[str, ...]:
    """What the intake left out, as it told the event log."""
    made = [event.materialization for event in result.all_events if event.is_step_materialization]
    told = [value for each in made if isinstance(value := each.metadata.get(GROWING), dg.JsonMetadataValue)]
    return tuple(str(name) for value in told if isinstance(value.data, list) for name in value.data)


def _published(platform: Platform, run_date: dt.date, run_id: str) -> PublishedDay | None:
    """The day, where this run has published it: one that fails may have done so before."""
    try:
        day = platform.days.get(DOMAIN, run_date)
    except (ProcurementError, psycopg.Error):  # something with the database: why the run failed is the news
        return None
    return day if day is not None and day.run_id == run_id else None


def _why(result: dg.ExecuteInProcessResult) -> str:
    """The failure as one line; a day that another run holds, and an interrupt, are the caller's to know."""
    failure = failure_of(result.all_events)
    if failure is None:
        return "the run failed before its first step; see the Dagster event log"
    if failure.error == DayBusy.__name__:
        raise DayBusy(failure.message, failure.message)
    if failure.error in INTERRUPTS:
        raise KeyboardInterrupt
    return failure.message
