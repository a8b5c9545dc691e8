"""Money as tables show it. CSV and JSON have it exact."""

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from procurement_platform.cli.output import Shown
from procurement_platform.procurement.reference.currencies import minor_units

_WIDE = Context(prec=60)


def amount(value: Decimal, currency: str) -> Shown:
    """An amount in the currency's minor unit, rounded half up: what is paid has no smaller parts."""
    return Shown(f"{value.quantize(_unit(currency), ROUND_HALF_UP, _WIDE):,f}")


def price(value: Decimal, currency: str) -> Shown:
    """A price, exact, with at least the places of the currency: prices of single units may have more."""
    places = -int(value.normalize(_WIDE).as_tuple().exponent)
    return Shown(f"{value:,.{max(places, minor_units(currency))}f}")


def with_money(lines: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Lines for a table, their `amount` and `unit_price` as money of their `currency`."""
    shown = []
    for line in lines:
        money = {name: show(line[name], str(line["currency"])) for name, show in _COLUMNS.items() if isinstance(line.get(name), Decimal)}
        shown.append({**line, **money})
    return shown


def _unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_units(currency))


_COLUMNS: dict[str, Callable[[Any, str], Shown]] = {"amount": amount, "unit_price": price}
