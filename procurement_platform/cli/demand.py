"""`procurement demand`: a published day's net demand."""

from procurement_platform.cli.options import FormatOption, OptionalDate

SPARE = ("reserved", "available", "on_order", "safety_stock")  # usable is available − reserved


def demand(date: OptionalDate = None, form: FormatOption = "table") -> None:
    """Show the net demand of a published day, per market and SKU.

    Reads the day that buyers see. Writes nothing, save that a killed run is recorded as one; a day that
    is not up to date is said to be, on standard error. Where stock_basis is `unknown`, the market's when_missing decides: `withhold` leaves
    net_demand empty, and nothing is ordered for it; `compute` plans as if there were no stock.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.behind import say_if_behind
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import show
    from procurement_platform.procurement import service
    from procurement_platform.procurement.tables import NET_DEMAND
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    columns = [column.name for column in NET_DEMAND.columns]
    with session.platform(reading=True) as platform:
        lines = service.demand(platform, run_date)
        show(lines, columns, form, title=f"Net demand of {run_date}", hidden=("run_date",), view=View(spare=SPARE))
        say_if_behind(platform, run_date)
