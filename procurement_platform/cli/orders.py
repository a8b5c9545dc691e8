"""`procurement orders`: a published day's supplier orders."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated

import typer

from procurement_platform.cli.options import FormatOption, OptionalDate


def orders(
    date: OptionalDate = None,
    supplier: Annotated[str | None, typer.Option("--supplier", help="Only this supplier's.")] = None,
    form: FormatOption = "table",
) -> None:
    """Show the supplier orders of a published day.

    Reads the day that buyers see. Writes nothing.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import out, show, show_table
    from procurement_platform.procurement import service
    from procurement_platform.procurement.tables import SUPPLIER_ORDERS
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    columns = [column.name for column in SUPPLIER_ORDERS.columns]
    with session.platform() as platform:
        lines = service.orders(platform, run_date, supplier)
        if form == "table":
            kept = list(lines)
            show(kept, columns, form, title=f"Supplier orders of {run_date}", hidden=("run_date",))
            out().print()
            show_table(totals(kept), ("currency", "suppliers", "orders", "units", "amount"), "Totals")
        else:
            show(lines, columns, form)


def totals(lines: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Sums per currency: money of different currencies is never added."""
    by_currency: dict[str, list[Mapping[str, object]]] = {}
    for line in lines:
        by_currency.setdefault(str(line["currency"]), []).append(line)
    return [
        {
            "currency": currency,
            "suppliers": len({line["supplier_id"] for line in own}),
            "orders": len(own),
            "units": sum(_decimals(own, "quantity"), Decimal(0)),
            "amount": sum(_decimals(own, "amount"), Decimal(0)),
        }
        for currency, own in sorted(by_currency.items())
    ]


def _decimals(lines: Iterable[Mapping[str, object]], column: str) -> Iterator[Decimal]:
    return (value for line in lines if isinstance(value := line[column], Decimal))
