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

    Reads FILE. Writes {LAKE}/inbox/{FEED}/{DATE}/{MARKET}[__SUFFIX].{ext}, over a file of that name. The next run of the day takes it.
    """
    from procurement_platform.cli.output import say
    from procurement_platform.inbox.hand_in import hand_in
    from procurement_platform.lake.files import Lake
    from procurement_platform.settings import settings

    handed = hand_in(Lake(settings().lake_url), file, feed, market, date, suffix)
    say(f"{handed}: put in. It counts from the next run on: procurement run {date}")
