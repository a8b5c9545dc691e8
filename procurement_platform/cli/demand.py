"""`procurement demand`: a published day's net demand."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from procurement_platform.cli.options import FormatOption, OptionalDate

SPARE = ("reserved", "available", "on_order", "safety_stock")  # usable is available − reserved


def demand(
    date: OptionalDate = None,
    market: Annotated[str | None, typer.Option("--market", metavar="MARKET", help="Only this market's.")] = None,
    sku: Annotated[str | None, typer.Option("--sku", metavar="SKU", help="Only this product's.")] = None,
    form: FormatOption = "table",
) -> None:
    """Show the net demand of a published day, per market and SKU.

    Reads the day that buyers see. Writes nothing, save that a killed run is recorded as one; a day that
    is not up to date is said to be, on standard error. Where stock_basis is `unknown`, the market's when_missing decides: `withhold` leaves
    net_demand empty, and nothing is ordered for it; `compute` plans as if there were no stock.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.behind import say_if_behind
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import say, show
    from procurement_platform.procurement import service
    from procurement_platform.procurement.tables import NET_DEMAND
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    columns = [column.name for column in NET_DEMAND.columns]
    chosen = [code for code in (sku, market) if code]
    of = f": {' in '.join(chosen)}" if chosen else ""
    with session.platform(reading=True) as platform:
        lines: Iterable[Mapping[str, object]] = service.demand(platform, run_date, market, sku)
        if chosen:
            lines = list(lines)
        show(lines, columns, form, title=f"Net demand of {run_date}{of}", hidden=("run_date",), view=View(spare=SPARE))
        if chosen and not lines:
            say(f"{' in '.join(chosen)} was not planned on {run_date}: no order, no stock and no planning parameter of a market names it")
        say_if_behind(platform, run_date)
