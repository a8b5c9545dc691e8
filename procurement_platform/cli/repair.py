"""`procurement repair`: brings what is kept twice into agreement again."""

import datetime as dt
from dataclasses import asdict
from typing import Annotated

import typer

from procurement_platform.cli.options import FormatOption

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
    the cluster profile has these tables. The exit code is 1 if a day cannot be repaired.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import say, show
    from procurement_platform.procurement.feeds import FEEDS

    with session.platform(reading=True) as platform:
        if platform.raw_tables is None:
            say("There is nothing to repair: the embedded profile has no raw tables")
            return
        changes = platform.raw_tables.reconcile(FEEDS, lambda: platform.ledger.files(dt.date.min, dt.date.max), dry_run=dry_run)
    lines = [asdict(change) | {"notes": "; ".join(change.notes)} for change in changes]
    show(lines, COLUMNS, form, title="To be done" if dry_run else "Repaired", view=View(("notes",)))
    if not changes:
        say("Nothing was to be repaired")
    if any(change.done == "failed" for change in changes):
        raise typer.Exit(1)
