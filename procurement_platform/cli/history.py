"""`procurement history` and `procurement rollback`: a table's runs, and going back to one."""

from dataclasses import asdict
from typing import Annotated

import typer

from procurement_platform.cli.options import FormatOption, parse_date

COLUMNS = ("run_date", "run_id", "state", "published", "rows", "committed_at", "content")
SPARE = ("content", "committed_at")

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="The table: net_demand, supplier_orders, …")]


def history(
    table: TableArgument,
    date: Annotated[str | None, typer.Option("--date", metavar="DATE", help="Only the runs of this run date.")] = None,
    form: FormatOption = "table",
) -> None:
    """Show which runs made a table's rows: of each run date the current one, and earlier ones that can be gone back to.

    Reads the run registry, which files the table names, and whether files are there. Writes nothing. A run's files are kept for
    PROCUREMENT_RUN_RETENTION_DAYS, and of each date at least PROCUREMENT_RUN_RETENTION_RUNS runs. `published` are the rows that buyers see.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import show
    from procurement_platform.procurement import versions

    meant = versions.table_named(table)
    with session.platform(reading=True) as platform:
        lines = [asdict(version) for version in versions.history(platform, meant, parse_date(date) if date else None)]
    show(lines, COLUMNS, form, title=f"Runs of {table}", view=View((), SPARE))


def rollback(
    table: TableArgument,
    date: Annotated[str, typer.Option("--date", metavar="DATE", help="The run date to go back for.")],
    to: Annotated[str, typer.Option("--to", metavar="RUN", help="The run to go back to (`history` has its id; its first letters do).")],
) -> None:
    """Make an earlier run's rows a table's rows for one run date again.

    Reads the run registry and that run's files; writes one commit of the table. Other run dates and other tables keep their state, and
    buyers see what is published until the day is run again, which makes all of the day's tables anew.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say
    from procurement_platform.procurement import versions

    meant = versions.table_named(table)
    run_date = parse_date(date)
    with session.platform(reading=True) as platform:
        restored = versions.roll_back(platform, meant, run_date, to)
    say(f"{table} {run_date} has the {restored.rows:,} rows of run {restored.run_id} again.")
    say("What is published stays as it is; running the day makes all of its tables anew.")
