"""`procurement files`: what the markets sent for a day, and taking a file back."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from procurement_platform.cli.options import FormatOption, OptionalDate, parse_date

COLUMNS = ("run_date", "feed", "market", "file", "state", "sent_at", "rows", "accepted", "quarantined", "duplicates", "file_id", "note")
SPARE = ("sent_at", "duplicates", "accepted", "rows", "file_id")


class _ListByDefault(TyperGroup):
    """`files 2025-12-20` is `files list 2025-12-20`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own Context
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListByDefault, help="What the markets sent for a day, and taking a file back. `files DATE` lists.")


@app.command("list")
def list_(date: OptionalDate = None, form: FormatOption = "table") -> None:
    """Show which market sent what for a day, when, and what became of it; and which files are still expected or missing.

    Reads the file ledger, the inbox and the markets' cut-off times. Writes nothing. `list` may be left out: procurement files DATE.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import say, show
    from procurement_platform.procurement.handing_in import SHORT_ID
    from procurement_platform.procurement.market_files import market_files, misplaced_files
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    with session.platform(reading=True) as platform:
        lines = [asdict(line) for line in market_files(platform, run_date)]
        lost = misplaced_files(platform.lake, platform.settings)
    if form == "table":  # enough to tell them apart, and `files withdraw` takes it
        lines = [line | {"file_id": str(line["file_id"])[:SHORT_ID]} for line in lines]
    show(lines, COLUMNS, form, title=f"Files of {run_date}", hidden=("run_date",), view=View(("note",), SPARE))
    if lost:
        say(lost, "yellow")


@app.command()
def withdraw(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file's name as sent, or its id (the 8 digits that `files` shows do).")],
    why: Annotated[str, typer.Option("--why", help="The reason, kept in the ledger with your name (PROCUREMENT_USER, else your login).")],
    date: Annotated[
        str | None, typer.Option("--date", metavar="DATE", help="The run date, where the name alone does not say which file is meant.")
    ] = None,
    feed: Annotated[Literal["orders", "stock"] | None, typer.Option("--feed", help="The feed, likewise.")] = None,
) -> None:
    """Take a file out of its day; the next run of the day does without it.

    Reads and writes the file ledger. The file's bytes stay in the raw layer, and what is published stays until the day is run again.
    `procurement put` with the same bytes takes the withdrawal back. Where the inbox holds a file of the same name in another format, that
    one counts instead: withdraw it, too, once a run has taken it, or remove it from the inbox.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say
    from procurement_platform.procurement import handing_in

    with session.platform(reading=True) as platform:
        withdrawn = handing_in.withdraw(platform, file, why, parse_date(date) if date else None, feed)
    say(f"withdrawn: {withdrawn}. Run the day again to do without it.")
