"""The five reference tables, declared once: the loader, the export and the lake's snapshots all follow from here.

Dates are inclusive on both ends and an empty one is open. Times of day are `HH:MM` in the market's zone, held as text.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from procurement_platform.lake.tables import ARROW_TYPES, Column

# The same limits as the default ones on what markets send, so that no legal day overflows the tables' decimals.
MAX_QUANTITY, MAX_PRICE, MAX_DAYS = 1_000_000_000, 100_000_000, 3650
MAX_TEXT = 256

Form = Literal["text", "market", "supplier_id", "sku", "currency", "timezone", "time"]


@dataclass(frozen=True)
class ReferenceColumn(Column):
    """A column of a reference table.

    `default` is what an empty cell means, as a CSV says it (`None`: NULL). A column that is `required` and has no default
    must be given. `form` narrows a varchar; `choices` lists its values; `low`, `high` and `above` bound a number
    (`above`: it must be more than `low`, not just as much).
    """

    default: str | None = None
    form: Form = "text"
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    above: bool = False


@dataclass(frozen=True)
class ForeignKey:
    """`column` names a row of `table` (by its one-column key)."""

    column: str
    table: str


@dataclass(frozen=True)
class Period:
    """Two date columns, inclusive, empty = open."""

    start: str
    end: str


@dataclass(frozen=True)
class ReferenceTable:
    """A table of the PostgreSQL schema `reference`.

    `key` is unique and orders the table's rows; of rows that share `one_at_a_time` no two periods overlap.
    """

    name: str
    doc: str
    columns: tuple[ReferenceColumn, ...]
    key: tuple[str, ...]
    period: Period | None = None
    one_at_a_time: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    @cached_property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.type]) for c in self.columns])

    @cached_property
    def sql_types(self) -> dict[str, str]:
        return {c.name: c.type for c in self.columns}

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


def _code(name: str, form: Form, doc: str) -> ReferenceColumn:
    return ReferenceColumn(name, "varchar", doc, required=True, form=form)


def _text(name: str, doc: str, *, default: str | None = None, required: bool = False) -> ReferenceColumn:
    return ReferenceColumn(name, "varchar", doc, required=required, default=default)


def _date(name: str, doc: str) -> ReferenceColumn:
    return ReferenceColumn(name, "date", doc)


def _quantity(name: str, doc: str, default: str | None = "0", *, above: bool = False) -> ReferenceColumn:
    return ReferenceColumn(name, "decimal(18,3)", doc, required=default is not None, default=default, low=0, high=MAX_QUANTITY, above=above)


def _flag(name: str, doc: str) -> ReferenceColumn:
    return ReferenceColumn(name, "boolean", doc, required=True, default="true")


def _time(name: str, doc: str) -> ReferenceColumn:
    return ReferenceColumn(name, "varchar", doc, required=True, default="06:00", form="time")


_ACTIVE = (_date("active_from", "The first day it is active."), _date("active_to", "The last day it is active."))
_ACTIVE_PERIOD = Period("active_from", "active_to")

MARKETS = ReferenceTable(
    "markets",
    "The markets that send files.",
    (
        _code("market", "market", "The market's code, as its file names have it."),
        _text("name", "The market's name.", required=True),
        _code("currency", "currency", "ISO 4217 code of the prices it sends."),
        _code("timezone", "timezone", "IANA time zone of the times it sends."),
        *_ACTIVE,
        _flag("sends_orders", "Whether an orders file is expected each day."),
        _flag("sends_stock", "Whether a stock file is expected each day."),
        _time("orders_cutoff", "When its orders file is due, in its own time zone."),
        _time("stock_cutoff", "When its stock file is due, in its own time zone."),
        ReferenceColumn(
            "when_missing",
            "varchar",
            "What planning does where its stock is unknown: `withhold` the order, or `compute` as if there were none.",
            required=True,
            default="withhold",
            choices=("withhold", "compute"),
        ),
    ),
    key=("market",),
    period=_ACTIVE_PERIOD,
)

PRODUCTS = ReferenceTable(
    "products",
    "The products that are bought and sold.",
    (
        _code("sku", "sku", "The product's number."),
        _text("name", "The product's name.", required=True),
        _text("category", "What kind of product it is."),
        _text("uom", "Unit of measure that quantities count.", default="piece", required=True),
        *_ACTIVE,
    ),
    key=("sku",),
    period=_ACTIVE_PERIOD,
)

SUPPLIERS = ReferenceTable(
    "suppliers",
    "Those who sell to us.",
    (
        _code("supplier_id", "supplier_id", "The supplier's number, as its order files are named."),
        _text("name", "The supplier's name.", required=True),
        _code("currency", "currency", "ISO 4217 code of its prices."),
        ReferenceColumn(
            "min_order_value",
            "decimal(18,4)",
            "The least value of an order, in `currency`.",
            required=True,
            default="0",
            low=0,
            high=MAX_PRICE,
        ),
        *_ACTIVE,
    ),
    key=("supplier_id",),
    period=_ACTIVE_PERIOD,
)

SUPPLIER_PRODUCTS = ReferenceTable(
    "supplier_products",
    "What each supplier sells, at which price from which quantity on, and when.",
    (
        _code("supplier_id", "supplier_id", "The supplier."),
        _code("sku", "sku", "The product."),
        ReferenceColumn("priority", "integer", "The smallest is asked first; 0: never.", required=True, default="1", low=0, high=MAX_DAYS),
        _quantity("min_quantity", "Units from which on this price holds."),
        ReferenceColumn(
            "unit_price", "decimal(18,4)", "One unit's price, in the supplier's currency.", required=True, low=0, high=MAX_PRICE
        ),
        _quantity("moq", "The least units an order may have."),
        _quantity("pack_size", "Units in a pack: orders are multiples of it.", "1", above=True),
        _quantity("max_order_quantity", "The most units an order may have; empty: no limit.", None, above=True),
        ReferenceColumn("lead_time_days", "integer", "Days from order to delivery.", required=True, default="0", low=0, high=MAX_DAYS),
        ReferenceColumn(
            "rounding", "varchar", "How a quantity becomes a multiple of the pack.", required=True, default="up", choices=("up",)
        ),
        _date("valid_from", "The first day the offer holds."),
        _date("valid_to", "The last day the offer holds."),
    ),
    key=("supplier_id", "sku", "min_quantity", "valid_from"),
    period=Period("valid_from", "valid_to"),
    one_at_a_time=("supplier_id", "sku", "min_quantity"),
    foreign_keys=(ForeignKey("supplier_id", "suppliers"), ForeignKey("sku", "products")),
)

PLANNING_PARAMETERS = ReferenceTable(
    "planning_parameters",
    "How each product's stock is planned; a market's own row replaces the one for all.",
    (
        _code("sku", "sku", "The product."),
        ReferenceColumn("market", "varchar", "The market; empty: all.", form="market"),
        ReferenceColumn(
            "policy",
            "varchar",
            "How the need is found.",
            required=True,
            default="net_requirement",
            choices=("net_requirement",),
        ),
        _quantity("safety_stock", "Units to keep in reserve."),
        _quantity("reorder_point", "Units at which to order again (unused by `net_requirement`).", None),
        _quantity("order_up_to", "Units to order up to (unused by `net_requirement`).", None),
        _quantity("reorder_quantity", "Units to order at a time (unused by `net_requirement`).", None, above=True),
    ),
    key=("sku", "market"),
    foreign_keys=(ForeignKey("sku", "products"), ForeignKey("market", "markets")),
)

# Parents before those who name them.
REFERENCE_TABLES = (MARKETS, PRODUCTS, SUPPLIERS, SUPPLIER_PRODUCTS, PLANNING_PARAMETERS)
BY_NAME = {table.name: table for table in REFERENCE_TABLES}
