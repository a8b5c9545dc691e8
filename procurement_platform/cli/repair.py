"""`procurement repair`: brings what is kept twice into agreement again."""

import datetime as dt
from dataclasses import asdict, replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

import typer

from procurement_platform.cli.options import FormatOption

if TYPE_CHECKING:
    from procurement_platform.inbox.raw_tables import Change
    from procurement_platform.platform import Platform

COLUMNS = ("feed", "run_date", "done", "location", "notes")

app = typer.Typer(help="Bring what is kept in two places into agreement again.", no_args_is_help=True)


@app.callback()
def repair() -> None:
    """Bring what is kept in two places into agreement again."""


@app.command()
def raw(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    form: FormatOption = "table",
) -> None:
    """Make the raw tables in the Hive Metastore agree with the file ledger: a partition for each day that has Avro files in use.

    Reads the file ledger and the headers of raw files. Writes the metastore's schema PROCUREMENT_RAW_SCHEMA: partitions that are missing
    are registered, those without files unregistered, wrong ones corrected. No file is touched. Each run does this for its own day; only
    the cluster profile has these tables. A day that a run is working on is left to it, and told. The exit code is 1 if a day cannot be
    repaired.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import say, show
    from procurement_platform.procurement.feeds import FEEDS

    with session.platform(reading=True) as platform:
        if platform.raw_tables is None:
            if form != "table":
                show([], COLUMNS, form)
            say("There is nothing to repair: the embedded profile has no raw tables")
            return
        changes = platform.raw_tables.reconcile(FEEDS, lambda: platform.ledger.files(dt.date.min, dt.date.max), dry_run=True)
        if not dry_run:
            by_day = groupby(sorted(changes, key=attrgetter("run_date")), attrgetter("run_date"))
            changes = [made for day, planned in by_day for made in _repaired(platform, day, list(planned))]
    lines = [asdict(change) | {"notes": "; ".join(change.notes)} for change in changes]
    show(lines, COLUMNS, form, title="To be done" if dry_run else "Repaired", view=View(("notes",)))
    if not changes:
        say("Nothing was to be repaired")
    if any(change.done == "failed" for change in changes):
        raise typer.Exit(1)


def _repaired(platform: "Platform", day: dt.date, planned: "list[Change]") -> "list[Change]":
    """What was done for a day, under its lock: what was planned before that was taken may be done by now."""
    from procurement_platform.database.locks import DayLock
    from procurement_platform.errors import DayBusy
    from procurement_platform.procurement.feeds import FEEDS
    from procurement_platform.procurement.publication import DOMAIN

    tables = platform.raw_tables
    if tables is None:
        return []
    try:
        with DayLock.acquire(platform.database, DOMAIN, day, "procurement repair raw") as lock:
            return tables.reconcile(FEEDS, lambda: platform.ledger.files(day), [day], guard=lock.check)
    except DayBusy as busy:
        return [replace(change, done="failed", notes=(str(busy),)) for change in planned]
