"""`procurement quarantine`: the rows of a day that were not accepted."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

import typer

from procurement_platform.cli.options import FormatOption, OptionalDate

MOST = 50  # rows of a table
MOST_TEXT = 400  # characters of a row as sent
TABLE_COLUMNS = ("feed", "market", "file", "row_number", "rule", "sku", "quantity", "reasons", "row")
REST = "--market and --feed show fewer, --format csv has them all"
SPARE = ("feed", "market", "quantity", "sku")  # the row as sent has them


def quarantine(
    date: OptionalDate = None,
    feed: Annotated[Literal["orders", "stock"] | None, typer.Option("--feed", help="Only this feed's.")] = None,
    market: Annotated[str | None, typer.Option("--market", metavar="MARKET", help="Only this market's.")] = None,
    form: FormatOption = "table",
) -> None:
    """Show the rows of a published day that were rejected: file, row number, what is wrong with each, and the row.

    Reads the day that buyers see. Writes nothing, save that a killed run is recorded as one; a day that
    is not up to date is said to be, on standard error. The table has the first 50 rows; csv and json have them all, each whole.

    A row is shown as it was sent, with the columns of the file, by its names for them.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.behind import say_if_behind
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import show
    from procurement_platform.inbox.quarantine import QUARANTINE
    from procurement_platform.procurement import service
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    columns = [column.name for column in QUARANTINE.columns]
    with session.platform(reading=True) as platform:
        rows: Iterable[Mapping[str, object]] = service.quarantine(platform, run_date, feed, market)
        if form == "table":
            columns, rows = list(TABLE_COLUMNS), _shortened(rows)
        what = " ".join(part for part in (feed, "rows", f"from {market}" if market else None) if part)
        show(rows, columns, form, title=f"Rejected {what} of {run_date}", view=View(("reasons", "row"), SPARE, REST), most=MOST)
        say_if_behind(platform, run_date)


def _shortened(rows: Iterable[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    from procurement_platform.texts import shorten

    for row in rows:
        # A blank after each comma: lines are broken there, and nowhere else.
        yield {**row, "row": shorten(str(row["row"]).replace(',"', ', "'), MOST_TEXT)}
