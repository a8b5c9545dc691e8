"""`procurement put`: hand in a market's file."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from procurement_platform.cli.options import FeedOption, parse_date


def put(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The file: .avro, .parquet, .csv, .csv.gz or .jsonl.")
    ],
    market: Annotated[str, typer.Option("--market", help="The market's code.")],
    feed: FeedOption,
    date: Annotated[dt.date, typer.Option("--date", parser=parse_date, metavar="DATE", help="The run date, YYYY-MM-DD.")],
    suffix: Annotated[
        str,
        typer.Option(
            "--suffix", help="Tells several files of a market apart: MARKET__SUFFIX. Without it, the file replaces the market's one."
        ),
    ] = "",
) -> None:
    """Hand in a market's file: copy it into the inbox, under the name that says whose it is.

    Reads FILE, the markets (an empty database gets the sample set) and the file ledger. Writes
    {LAKE}/inbox/{FEED}/{DATE}/{MARKET}[__SUFFIX].{ext}, over a file of that name, and says what it replaces; the next run of the day
    takes it. Bytes that were withdrawn count again, and the ledger says who put them in.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say
    from procurement_platform.procurement.handing_in import hand_in

    with session.platform() as platform:
        told = hand_in(platform, file, feed, market, date, suffix)
    for line in told:
        say(line)
