"""What is said on standard error of a published day that is not what a run would make of it now. Standard output stays as it is."""

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procurement_platform.platform import Platform


def say_if_behind(platform: "Platform", run_date: dt.date, *, crash: bool = True) -> None:
    """One line each where the day's files changed since it was published, a table was rolled back, and (`crash`) its last run crashed."""
    from procurement_platform.cli.output import cell, say
    from procurement_platform.procurement import service
    from procurement_platform.procurement.publication import DOMAIN, shows
    from procurement_platform.procurement.stale import stale_day
    from procurement_platform.procurement.versions import rolled_back
    from procurement_platform.quality.crashes import RunLog

    if crash:
        service.notice_killed(platform, run_date)
        failed = RunLog(platform.database, DOMAIN).standing_crash(run_date)
        if failed is not None:
            what = "what it published shows" if shows(platform.days.get(DOMAIN, run_date), failed) else "this is the day as it was before"
            say(f"the last run of {run_date} did not succeed, {what}: procurement exceptions {run_date}", "yellow")
    for run in rolled_back(platform, run_date):
        at = f" at {cell(run.committed_at)}" if run.committed_at else ""
        said = f"{run.table} {run_date} was rolled back to run {run.run_id}{at}. This is the day as it is published, which that left alone"
        say(f"{said}: procurement run {run_date} makes its tables anew", "yellow")
    stale = stale_day(platform, run_date, dt.datetime.now(dt.UTC))
    if stale is not None:
        say(f"{run_date} was published before what it is made of changed ({stale.why}): procurement run {run_date}", "yellow")
