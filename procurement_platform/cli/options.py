"""Options and arguments that several sub-commands share."""

import datetime as dt
from typing import Annotated, Literal

import typer

Format = Literal["table", "csv", "json"]


def parse_date(text: str) -> dt.date:
    """A run date as people type it.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; write YYYY-MM-DD") from None


OptionalDate = Annotated[
    dt.date | None,
    typer.Argument(
        parser=parse_date, metavar="DATE", help="The run date, YYYY-MM-DD. Default: RUN_DATE, else today in PROCUREMENT_TIMEZONE."
    ),
]
FirstDate = Annotated[dt.date, typer.Argument(parser=parse_date, metavar="FROM", help="The first run date, YYYY-MM-DD.")]
LastDate = Annotated[dt.date, typer.Argument(parser=parse_date, metavar="TO", help="The last run date, YYYY-MM-DD.")]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="`table` to read, `csv` for a spreadsheet, `json` (an array of objects, decimals as text) for programs."),
]
RefreshOption = Annotated[
    bool, typer.Option("--refresh-reference", help="Take the reference tables as they are now, not as the day's first run pinned them.")
]
FeedOption = Annotated[Literal["orders", "stock"], typer.Option("--feed", help="What the file holds.")]
