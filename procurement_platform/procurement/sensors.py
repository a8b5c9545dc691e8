"""The domain's sensors: thin; what they find out is found in `inbox.late`, `inbox.launches`, `procurement.cutoff`, `procurement.endings`.

All of them work from state, and all run as soon as Dagster's daemon does. A tick that cannot do its work (the database is down, nobody
takes an alert) says why in one line and leaves its state as it was: the next tick does it.
https://docs.dagster.io/guides/automate/sensors
"""

import datetime as dt
from collections.abc import Callable, Iterator

import dagster as dg

from procurement_platform.errors import AlertNotDelivered, ProcurementError
from procurement_platform.finished import PARTITION_TAG, Cursor, handle_runs
from procurement_platform.inbox.identity import parse_date
from procurement_platform.inbox.late import StaleDay
from procurement_platform.inbox.launches import BACK_OFF, Launches
from procurement_platform.platform import Platform, platform_for
from procurement_platform.procurement.cutoff import at_cutoff
from procurement_platform.procurement.endings import find_killed, findings, run_date_of, trace
from procurement_platform.procurement.jobs import procurement_day
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.stale import old_dates, stale_days
from procurement_platform.quality.alerts import Alerts, Message
from procurement_platform.settings import settings
from procurement_platform.texts import shorten

REQUESTS_PER_TICK = 20
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
Results = Iterator[dg.RunRequest | dg.SkipReason]
Tick = Callable[[dg.SensorEvaluationContext, Platform], Results]


def _watching(context: dg.SensorEvaluationContext, tick: Tick) -> Results:
    """A tick in which what a person can mend is one line."""
    try:
        yield from tick(context, platform_for(settings()))
    except ProcurementError as problem:
        context.log.error(str(problem))  # noqa: TRY400 -- the line says it all
        yield dg.SkipReason(str(problem))


@dg.sensor(
    job=procurement_day,
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs a day again when its files are not those it was published from: late, corrected or withdrawn ones.",
)
def late_files(context: dg.SensorEvaluationContext) -> Results:
    """Asks for the runs of stale days, the oldest first."""
    yield from _watching(context, _ask_for_stale_days)


@dg.sensor(
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells once, at each market's cut-off, which of its files are missing.",
)
def cut_off(context: dg.SensorEvaluationContext) -> Results:
    """Tells of the files that are missing at their cut-off."""
    yield from _watching(context, _tell_of_missing_files)


@dg.sensor(
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records runs that were killed, or failed without a trace, as crashes of their day.",
)
def crashes(context: dg.SensorEvaluationContext) -> Results:
    """Finds crashes that nobody recorded."""
    yield from _watching(context, _record_crashes)


@dg.sensor(
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells PROCUREMENT_ALERT_URLS of failed checks, once, and again when what they find changes or is over.",
)
def alerts(context: dg.SensorEvaluationContext) -> Results:
    """Tells of the finished runs' checks, one message a run."""
    yield from _watching(context, _tell_of_failed_checks)


SENSORS = (late_files, cut_off, crashes, alerts)


def _ask_for_stale_days(context: dg.SensorEvaluationContext, platform: Platform) -> Results:
    now = dt.datetime.now(dt.UTC)
    # Asked before and after: a run that ends while its day is looked at has made good what was found wrong.
    busy = _dates_under_way(context.instance)
    old = old_dates(platform, parse_date(context.cursor or ""))
    stale = stale_days(platform, now, old)
    if stale:
        busy |= _dates_under_way(context.instance)
    launches, asked = Launches(platform.database, DOMAIN), 0
    for day in stale:
        if day.run_date not in busy and asked < REQUESTS_PER_TICK:
            attempt = launches.claim(day.run_date, day.signature, now)
            if attempt is not None:
                asked += 1
                context.log.info("%s is run (attempt %d): %s", day.run_date, attempt, day.why)
                yield _request(day, attempt)
    if old:
        context.update_cursor(old[-1].isoformat())
    if not asked:
        yield dg.SkipReason(_why_none(stale, busy, launches))


def _request(day: StaleDay, attempt: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{day.run_date}:{day.signature}:{attempt}",
        partition_key=day.run_date.isoformat(),
        tags={"procurement/why": shorten(day.why, 200), "procurement/attempt": str(attempt)},
    )


def _dates_under_way(instance: dg.DagsterInstance) -> set[dt.date]:
    return {date for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)) if (date := run_date_of(run)) is not None}


def _why_none(stale: list[StaleDay], busy: set[dt.date], launches: Launches) -> str:
    if not stale:
        return "every day is published from the files it has"
    waiting = []
    for day in stale:
        if day.run_date in busy:
            waiting.append(f"{day.run_date} is queued or running")
        else:
            due = launches.asked(day.run_date, day.signature).next_at
            tried = f"failed {len(BACK_OFF)} times and is not tried again by itself: see `procurement exceptions {day.run_date}`"
            waiting.append(f"{day.run_date} " + (tried if due is None else f"failed and is tried again at {due:%H:%M} UTC"))
    return shorten("; ".join(waiting), 1000)


def _tell_of_missing_files(context: dg.SensorEvaluationContext, platform: Platform) -> Results:
    told = []
    for run_date, missing in at_cutoff(platform, dt.datetime.now(dt.UTC)).items():
        hint = f"Which files there are: procurement files {run_date}"
        message = _alerts(platform).tell(f"Files of {run_date}", context.sensor_name, missing, hint, word="missing")
        _log(context, message)
        told += [message.title] if message else []
    yield dg.SkipReason("; ".join(told) or "no file is newly missing")


def _record_crashes(context: dg.SensorEvaluationContext, platform: Platform) -> Results:
    found = [f"{run_date}: killed" for run_date in find_killed(platform, context.instance)]

    def look(record: dg.RunRecord) -> None:
        if trace(platform, context.instance, record):
            found.append(f"{record.dagster_run.tags.get(PARTITION_TAG)}: failed without a trace")

    for cursor in handle_runs(context.instance, _cursor(context), look, [dg.DagsterRunStatus.FAILURE]):
        context.update_cursor(str(cursor))
    yield dg.SkipReason("; ".join(found) or "no new crash")


def _tell_of_failed_checks(context: dg.SensorEvaluationContext, platform: Platform) -> Results:
    told: list[str] = []

    def tell(record: dg.RunRecord) -> None:
        trace(platform, context.instance, record)  # what it adds belongs into the message
        run = record.dagster_run
        hint = f"The report: procurement exceptions {run_date_of(run)}"
        message = _alerts(platform).tell(f"Checks of {run_date_of(run)}", run.run_id, findings(platform, context.instance, run), hint)
        _log(context, message)
        told.extend([message.title] if message else [])

    try:
        for cursor in handle_runs(context.instance, _cursor(context), tell):
            context.update_cursor(str(cursor))
    except AlertNotDelivered as problem:
        told.append(str(problem))
    yield dg.SkipReason("; ".join(told) or "nothing new to tell")


def _alerts(platform: Platform) -> Alerts:
    return Alerts(platform.database, DOMAIN, platform.settings.alert_urls)


def _cursor(context: dg.SensorEvaluationContext) -> Cursor:
    return Cursor.parse(context.cursor, dt.datetime.now(dt.UTC))


def _log(context: dg.SensorEvaluationContext, message: Message | None) -> None:
    if message is not None:
        context.log.info("%s\n%s", message.title, message.body)
