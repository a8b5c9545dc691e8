"""`procurement demand`: a published day's net demand."""

from procurement_platform.cli.options import FormatOption, OptionalDate


def demand(date: OptionalDate = None, form: FormatOption = "table") -> None:
    """Show the net demand of a published day, per market and SKU.

    Reads the day that buyers see. Writes nothing. An empty net_demand means: the stock is unknown, so nothing is ordered for it.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import show
    from procurement_platform.procurement import service
    from procurement_platform.procurement.tables import NET_DEMAND
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    columns = [column.name for column in NET_DEMAND.columns]
    with session.platform() as platform:
        show(service.demand(platform, run_date), columns, form, title=f"Net demand of {run_date}", hidden=("run_date",))
