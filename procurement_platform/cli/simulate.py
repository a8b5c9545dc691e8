"""`procurement simulate`: market files as real markets would send them."""

import datetime as dt
from os.path import lexists
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from procurement_platform.cli.options import parse_date
from procurement_platform.texts import first_few

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from procurement_platform.platform import Platform

TOLD_FAULTS = 40
TOLD_FILES = 5
SKUS_PER_SUPPLIER = 20


def simulate(
    first: Annotated[dt.date, typer.Argument(parser=parse_date, metavar="DATE|FROM", help="The run date, or the first of a range.")],
    last: Annotated[dt.date | None, typer.Argument(parser=parse_date, metavar="TO", help="The last run date of a range.")] = None,
    orders: Annotated[int, typer.Option("--orders", min=1, help="Order lines a day, over all markets.")] = 10_000,
    skus: Annotated[int | None, typer.Option("--skus", min=1, help="How many products take part. Default: all that are active.")] = None,
    markets: Annotated[
        int | None, typer.Option("--markets", min=1, help="How many markets take part. Default: all that are active.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, dates and options give the same bytes.")] = 1,
    faults: Annotated[
        Literal["none", "typical", "hostile"],
        typer.Option("--faults", help="What goes wrong: nothing, what goes wrong on a usual day, or files that attack, too."),
    ] = "typical",
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Also for days that have files of a market (those of the same name are replaced, the others stay), and also, where "
            "more is asked for than there is, in place of reference tables of your own.",
        ),
    ] = False,
) -> None:
    """Write the market files of a day, or of each day of a range, into the inbox. No run is started.

    Reads the reference tables (an empty database gets the sample set), the inbox and the file ledger: where a day has files that no
    simulation wrote, nothing is written. Writes {LAKE}/inbox/{orders,stock}/{DATE}/, and what it wrote into {LAKE}/inbox/_simulated/.

    Asked for more markets or products than there are, it makes a larger reference set and replaces the reference tables by it: only in
    place of the sample or another made one, else it refuses (`--replace` overrides that). Files of an earlier simulation of the day that
    nobody changed are removed first; those that a run received and that are not written again are withdrawn, which is said.
    """
    from procurement_platform.cli import session

    with session.platform() as platform:
        simulate_days(platform, first, last or first, orders=orders, skus=skus, markets=markets, seed=seed, faults=faults, replace=replace)


def simulate_days(  # noqa: PLR0913 -- options, all by name
    platform: "Platform",
    first: dt.date,
    last: dt.date,
    *,
    orders: int = 10_000,
    skus: int | None = None,
    markets: int | None = None,
    seed: int = 1,
    faults: Literal["none", "typical", "hostile"] = "typical",
    replace: bool = False,
) -> None:
    """Simulates days and tells what was written and what is wrong with it.

    Raises:
        ConfigurationError: the platform has no such run date, or the range ends before it begins.
        ProcurementError: a day has files that a market sent, and they are not to be replaced.
    """
    from procurement_platform.cli.output import say, steps
    from procurement_platform.procurement.simulator.again import clear, settle
    from procurement_platform.procurement.simulator.files import WrittenFile
    from procurement_platform.procurement.simulator.simulate import days
    from procurement_platform.procurement.simulator.simulate import simulate as write_days

    dates = days(first, last)
    _check(platform, dates, replace=replace)
    reference = _reference(platform, skus, markets, replace=replace)
    before = [path for day in dates for path in clear(platform.lake, day)]
    told: set[str] = set()
    with steps("Simulating" if first == last else f"Simulating {first} to {last}") as on_step:

        def progress(file: WrittenFile) -> None:
            day = file.path.split("/")[1]
            if day not in told:
                told.add(day)
                on_step(day)

        report = write_days(
            platform.settings,
            first,
            last,
            reference,
            orders=orders,
            skus=skus,
            markets=markets,
            seed=seed,
            faults=faults,
            progress=progress,
        )
    say(f"{len(report.files):,} files with {report.rows:,} rows are in {platform.lake.path('inbox')}")
    _say_of([path for path in before if not lexists(platform.lake.path("inbox", path))], "removed from the inbox")
    withdrawn = [path for day in dates for path in settle(platform, day)]
    _say_of(withdrawn, "withdrawn, since a run had received them (the days count without them once they are run again)")
    if report.lines:
        say("What is wrong with them, on purpose:")
    for line in report.lines[:TOLD_FAULTS]:
        say(f"  {line}")
    if len(report.lines) > TOLD_FAULTS:
        say(f"  … and {len(report.lines) - TOLD_FAULTS:,} more")


def _say_of(paths: "Sequence[str]", what: str) -> None:
    """What became of the files of an earlier simulation that this one did not write again."""
    from procurement_platform.cli.output import say

    if paths:
        say(f"{len(paths):,} files of an earlier simulation are {what}: {first_few(paths, TOLD_FILES)}")


def _check(platform: "Platform", days: "Sequence[dt.date]", *, replace: bool) -> None:
    from procurement_platform.errors import ProcurementError
    from procurement_platform.procurement.service import check_run_date
    from procurement_platform.procurement.simulator.written import sent_by_markets

    for end in (days[0], days[-1]):
        check_run_date(platform.settings, end)
    theirs = [] if replace else sent_by_markets(platform.lake, platform.ledger, days)
    if theirs:
        raise ProcurementError(
            f"nothing was simulated: {first_few(theirs, TOLD_FILES)} came from no simulation, and a simulated file could take "
            "its place. Choose days without files, or say --replace"
        )


def _reference(platform: "Platform", skus: int | None, markets: int | None, *, replace: bool) -> "Mapping[str, pa.Table]":
    """The reference tables; made larger where more is asked for than they have."""
    from procurement_platform.cli.output import say
    from procurement_platform.procurement.reference.sample import ensure_sample
    from procurement_platform.procurement.simulator.reference_set import is_made, load_made_reference

    ensure_sample(platform.database)
    tables = _read(platform)
    rows = {name: table.num_rows for name, table in tables.items()}
    if (markets or 0) <= rows["markets"] and (skus or 0) <= rows["products"]:
        return tables
    # A few in a hundred products are not active on a given day.
    products = max(rows["products"], (skus or 0) + (skus or 0) // 20 + 10)
    suppliers = max(rows["suppliers"], products // SKUS_PER_SUPPLIER)
    own = not is_made(tables)
    made = load_made_reference(platform.database, max(rows["markets"], markets or 0), products, suppliers, replace=replace)
    what = "your own reference tables" if own else "the sample, or made-up, reference tables"
    sizes = ", ".join(f"{change.after:,} {name} (before: {change.before:,})" for name, change in made.changes.items())
    say(f"Replaced {what} by a larger made-up set: {sizes}", "yellow")
    return _read(platform)


def _read(platform: "Platform") -> "Mapping[str, pa.Table]":
    from procurement_platform.procurement.reference.snapshot import read_tables

    connection = platform.database.connect()
    try:
        return read_tables(connection)
    finally:
        connection.close()
