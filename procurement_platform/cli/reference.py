"""`procurement reference`: the reference tables as CSV."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

COLUMNS = ("table", "before", "after", "added", "changed", "removed")
TOLD = 5  # offers that no order can use

app = typer.Typer(
    help="Load and export the reference tables: markets, products, suppliers, what they sell, planning parameters.", no_args_is_help=True
)


@app.command()
def load(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with markets.csv, products.csv, … (any of the five).")],
) -> None:
    """Load reference tables from the CSV files of a folder.

    Reads DIR/{table}.csv. Writes the reference tables: all files are checked first, then all are taken in one transaction, or none.

    Each file replaces its table whole: a row that the file does not have is removed. A table without a file stays as it is. Columns that
    a file leaves out, and empty cells, take their default (docs/reference.md has every column). How many rows of each table were
    added, changed and removed is printed (rows are told apart by their keys), and the keys of the first few that were removed. Offers
    whose least order is above their max_order_quantity are taken and named: no order can use them.

    Days that were run keep the reference of their first run; `procurement run DATE --refresh-reference` takes this one.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say, show_table
    from procurement_platform.procurement.reference.load import load_reference

    with session.platform() as platform:
        report = load_reference(platform.database, folder)
    show_table([{"table": name} | asdict(change) for name, change in report.changes.items()], COLUMNS, f"Loaded from {folder}, in rows")
    for name, change in report.changes.items():
        if change.removed:
            more = f" and {change.removed - len(change.gone):,} more" if change.removed > len(change.gone) else ""
            say(f"removed from {name}: {', '.join(change.gone)}{more}", "yellow")
    for warning in report.warnings[:TOLD]:
        say(warning, "yellow")
    if len(report.warnings) > TOLD:
        say(f"… and {len(report.warnings) - TOLD:,} more offers that are never used", "yellow")
    if report.kept:
        say(f"no file, left as they were: {', '.join(report.kept)}")
    if any(change.before and (change.added or change.changed or change.removed) for change in report.changes.values()):
        say("Days that were run keep the reference of their first run: procurement run DATE --refresh-reference takes this one")
    if report.unknown_files:
        say(f"not a reference table, and left alone: {', '.join(report.unknown_files)}", "yellow")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write to; it is made where it does not exist.")],
) -> None:
    """Write the reference tables as CSV files, as `load` takes them.

    Reads the reference tables (an empty database gets the sample set). Writes DIR/{table}.csv, over what is there.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say
    from procurement_platform.procurement.reference.export import export_reference
    from procurement_platform.procurement.reference.sample import ensure_sample

    with session.platform() as platform:
        ensure_sample(platform.database)
        for path in export_reference(platform.database, folder):
            say(str(path))
