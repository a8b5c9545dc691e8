"""`procurement reference`: the reference tables as CSV."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Load and export the reference tables: markets, products, suppliers, what they sell, planning parameters.", no_args_is_help=True
)


@app.command()
def load(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder with markets.csv, products.csv, … Tables without a file stay as they are.")
    ],
) -> None:
    """Load reference tables from the CSV files of a folder.

    Reads DIR/{table}.csv. Writes the reference tables: all files are checked first, then all are taken in one transaction, or none.
    Columns that a file leaves out, and empty cells, take their default. Days that ran before keep the version they were run with.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say, show_table
    from procurement_platform.procurement.reference.load import load_reference

    with session.platform() as platform:
        report = load_reference(platform.database, folder)
    show_table([{"table": name, "rows": rows} for name, rows in report.rows.items()], ("table", "rows"), "Loaded")
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
