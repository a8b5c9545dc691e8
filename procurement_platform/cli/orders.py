"""`procurement orders`: a published day's supplier orders."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from procurement_platform.cli.options import FormatOption, OptionalDate
from procurement_platform.texts import first_few

if TYPE_CHECKING:
    from procurement_platform.platform import Platform

SPARE = ("pack_size", "moq", "need", "unit_price", "expected_date")
TOTALS = ("currency", "suppliers", "orders", "units", "amount")
NAMED = 5  # suppliers, in a note


def orders(
    date: OptionalDate = None,
    supplier: Annotated[str | None, typer.Option("--supplier", metavar="ID", help="Only this supplier's.")] = None,
    form: FormatOption = "table",
) -> None:
    """Show the supplier orders of a published day.

    Reads the day that buyers see, and the suppliers it was run with. Writes nothing, save that a killed run is recorded as one; a day that
    is not up to date is said to be, on standard error. The table rounds amounts to the currency's minor
    unit; csv and json have them exact. Suppliers whose orders come to less than their min_order_value are named: it is not applied.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.behind import say_if_behind
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.money import with_money
    from procurement_platform.cli.output import out, say, show, show_table
    from procurement_platform.procurement import service
    from procurement_platform.procurement.tables import SUPPLIER_ORDERS
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    columns = [column.name for column in SUPPLIER_ORDERS.columns]
    of = f" from {supplier}" if supplier else ""
    with session.platform(reading=True) as platform:
        lines = list(service.orders(platform, run_date, supplier))
        notes = below_minimum(platform, run_date, lines) if form == "table" else []
        say_if_behind(platform, run_date)
    hidden = ("run_date", "supplier_id") if supplier else ("run_date",)
    view = View(spare=SPARE)
    shown = with_money(lines) if form == "table" else lines
    show(shown, columns, form, title=f"Supplier orders of {run_date}{of}: {len(lines):,}", hidden=hidden, view=view)
    if form == "table" and lines:
        out().print()
        show_table(with_money(totals(lines)), TOTALS, "Totals")
    for note in notes:
        say(note, "yellow")
    if supplier and not lines:
        say(f"{supplier} has no orders on {run_date}")


def below_minimum(platform: "Platform", run_date: dt.date, lines: Iterable[Mapping[str, object]]) -> list[str]:
    """What is said of suppliers whose orders come to less than their `min_order_value`: one line, or none."""
    from procurement_platform.cli.money import amount
    from procurement_platform.procurement import service

    below = service.below_minimum(platform, run_date, lines)
    if not below:
        return []
    named = [
        f"{each.supplier} ({amount(each.total, each.currency)} of {amount(each.least, each.currency)} {each.currency})" for each in below
    ]
    return [f"below the supplier's min_order_value, which this version does not apply: {first_few(named, NAMED)}"]


def by_supplier(lines: Iterable[Mapping[str, Any]], sums: dict[tuple[str, str], dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Passes lines on, and on the way adds each to the line of its supplier and currency in `sums`: of these `totals` comes to the same."""
    for line in lines:
        key = (line["supplier_id"], line["currency"])
        own = sums.setdefault(key, {"supplier_id": key[0], "currency": key[1], "orders": 0, "quantity": Decimal(0), "amount": Decimal(0)})
        own["orders"] += 1
        own["quantity"] += line["quantity"]
        own["amount"] += line["amount"]
        yield line


def totals(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Sums per currency: money of different currencies is never added. A line is one order, or as many as it says."""
    suppliers: dict[str, set[object]] = defaultdict(set)
    sums: dict[str, dict[str, Any]] = {}
    for line in lines:
        currency = str(line["currency"])
        suppliers[currency].add(line["supplier_id"])
        own = sums.setdefault(currency, {"orders": 0, "units": Decimal(0), "amount": Decimal(0)})
        own["orders"] += line.get("orders", 1)
        own["units"] += line["quantity"]
        own["amount"] += line["amount"]
    return [{"currency": currency, "suppliers": len(suppliers[currency]), **own} for currency, own in sorted(sums.items())]
