"""The five reference tables, declared once: the loader, the export, the lake's snapshots and docs/reference.md all follow from here.

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
    (`above`: it must be more than `low`, not just as much). `unit` is what its values count, `example` a cell of a CSV file.
    `unused`: nothing that is ordered depends on it in this version.
    """

    default: str | None = None
    form: Form = "text"
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    above: bool = False
    unit: str = ""
    example: str = ""
    unused: bool = False


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

    `key` is unique and orders the table's rows; of rows that share `one_at_a_time` no two periods overlap. `notes` is what its
    documentation says beside the columns, in Markdown.
    """

    name: str
    doc: str
    columns: tuple[ReferenceColumn, ...]
    key: tuple[str, ...]
    period: Period | None = None
    one_at_a_time: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    notes: str = ""

    @cached_property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.type]) for c in self.columns])

    @cached_property
    def sql_types(self) -> dict[str, str]:
        return {c.name: c.type for c in self.columns}

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


UNITS, SUPPLIERS_MONEY = "units of the product (its `uom`)", "money, in the supplier's currency"


def _code(name: str, form: Form, doc: str, example: str) -> ReferenceColumn:
    return ReferenceColumn(name, "varchar", doc, required=True, form=form, example=example)


def _text(name: str, doc: str, example: str, *, default: str | None = None, required: bool = False) -> ReferenceColumn:
    return ReferenceColumn(name, "varchar", doc, required=required, default=default, example=example)


def _date(name: str, doc: str, example: str) -> ReferenceColumn:
    return ReferenceColumn(name, "date", doc, example=example)


def _quantity(
    name: str, doc: str, example: str, default: str | None = "0", *, above: bool = False, unused: bool = False
) -> ReferenceColumn:
    return ReferenceColumn(
        name,
        "decimal(18,3)",
        doc,
        required=default is not None,
        default=default,
        low=0,
        high=MAX_QUANTITY,
        above=above,
        unit=UNITS,
        example=example,
        unused=unused,
    )


def _number(name: str, doc: str, default: str, example: str, unit: str = "") -> ReferenceColumn:
    return ReferenceColumn(name, "integer", doc, required=True, default=default, low=0, high=MAX_DAYS, unit=unit, example=example)


def _money(
    name: str, doc: str, example: str, default: str | None = None, *, unit: str = SUPPLIERS_MONEY, unused: bool = False
) -> ReferenceColumn:
    return ReferenceColumn(
        name, "decimal(18,4)", doc, required=True, default=default, low=0, high=MAX_PRICE, unit=unit, example=example, unused=unused
    )


def _flag(name: str, doc: str) -> ReferenceColumn:
    return ReferenceColumn(name, "boolean", doc, required=True, default="true", example="true")


def _time(name: str, doc: str, example: str) -> ReferenceColumn:
    unit = "time of day, in the market's `timezone`"
    return ReferenceColumn(name, "varchar", doc, required=True, default="06:00", form="time", unit=unit, example=example)


def _choice(name: str, doc: str, *choices: str) -> ReferenceColumn:
    """The first choice is the default."""
    return ReferenceColumn(name, "varchar", doc, required=True, default=choices[0], choices=choices, example=choices[0])


_ACTIVE_PERIOD = Period("active_from", "active_to")

MARKETS = ReferenceTable(
    "markets",
    "The markets that send files.",
    (
        _code("market", "market", "The market's code, as its files are named and as its rows say.", "DE"),
        _text("name", "The market's name, for people.", "Germany", required=True),
        _code("currency", "currency", "Currency of the market's order lines that name none.", "EUR"),
        _code(
            "timezone", "timezone", "Time zone of the times it sends without an offset, of its days, and of its cut-offs.", "Europe/Berlin"
        ),
        _date("active_from", "The first run date it takes part in. Empty: always.", "2024-01-01"),
        _date(
            "active_to",
            "The last run date it takes part in. Empty: no end. Files of a market that is not active are rejected.",
            "2029-12-31",
        ),
        _flag("sends_orders", "Whether an orders file is expected each day. `false`: none is reported as missing; one that comes is used."),
        _flag(
            "sends_stock",
            "Whether a stock file is expected each day. `false`: none is reported as missing, and without one the stock counts as zero.",
        ),
        _time("orders_cutoff", "When its orders file is due, on the day after the run date.", "06:30"),
        _time("stock_cutoff", "When its stock file is due, on the day after the run date.", "07:00"),
        _choice(
            "when_missing",
            "What is planned where its stock is not known (no usable stock file, or the SKU's row is in quarantine). `withhold`: "
            "net_demand stays empty, nothing is ordered for it, and STOCK_UNKNOWN says how many units that withholds. `compute`: as if "
            "there were no stock.",
            "withhold",
            "compute",
        ),
    ),
    key=("market",),
    period=_ACTIVE_PERIOD,
)

PRODUCTS = ReferenceTable(
    "products",
    "The products that are bought and sold.",
    (
        _code("sku", "sku", "The product's number, as files have it.", "BAB-00001"),
        _text("name", "The product's name, for people.", "Nappies, size 3", required=True),
        _text("category", "What kind of product it is, for people.", "Baby"),
        _text("uom", "Unit of measure that all its quantities count. Nothing is converted.", "piece", default="piece", required=True),
        _date("active_from", "The first run date it is bought and sold. Empty: always.", "2024-01-01"),
        _date(
            "active_to",
            "The last run date it is bought and sold. Empty: no end. Rows with a product that is not active are in quarantine "
            "(UNKNOWN_PRODUCT).",
            "2029-12-31",
        ),
    ),
    key=("sku",),
    period=_ACTIVE_PERIOD,
)

SUPPLIERS = ReferenceTable(
    "suppliers",
    "Those who sell to us.",
    (
        _code("supplier_id", "supplier_id", "The supplier's number, as its order files are named.", "SUP-001"),
        _text("name", "The supplier's name, for people.", "Hansen & Brandt", required=True),
        _code("currency", "currency", "Currency of its prices and orders.", "EUR"),
        _money(
            "min_order_value",
            "The least value of an order to it. Orders are neither raised to it nor left out for it; `procurement orders` and `run` name "
            "the suppliers whose orders of the day come to less.",
            "250.00",
            "0",
            unit="money, in `currency`",
            unused=True,
        ),
        _date("active_from", "The first run date it can be ordered from. Empty: always.", "2024-01-01"),
        _date("active_to", "The last run date it can be ordered from. Empty: no end.", "2029-12-31"),
    ),
    key=("supplier_id",),
    period=_ACTIVE_PERIOD,
)

SUPPLIER_PRODUCTS = ReferenceTable(
    "supplier_products",
    "What each supplier sells: an offer, or one price break of it, a row.",
    (
        _code("supplier_id", "supplier_id", "The supplier.", "SUP-001"),
        _code("sku", "sku", "The product.", "BAB-00001"),
        _number("priority", "Who is asked first: 1 before 2. 0: never.", "1", "1"),
        _quantity("min_quantity", "The price break: this row holds for orders of at least so many units.", "300"),
        _money("unit_price", "Price of one unit. Prices may have parts of a cent.", "4.75"),
        _quantity("moq", "Minimum order quantity: a smaller need is ordered as so many.", "300"),
        _quantity("pack_size", "Units in a pack: what is ordered is a multiple of it.", "6", "1", above=True),
        _quantity(
            "max_order_quantity",
            "The most units of an order. Empty: no limit. A supplier whose order would be above it is passed over; orders are never split. "
            "An offer whose least order (moq, min_quantity, in whole packs) is above it is never used: `procurement reference load` and "
            "`doctor` name it.",
            "6000",
            None,
            above=True,
        ),
        _number("lead_time_days", "From order to delivery: expected_date is the run date plus so many.", "0", "4", "calendar days"),
        _choice("rounding", "How a quantity becomes a multiple of the pack. There is one way: the next larger one.", "up"),
        _date("valid_from", "The first run date the offer holds. Empty: always.", "2025-01-01"),
        _date("valid_to", "The last run date the offer holds. Empty: no end.", "2025-12-31"),
    ),
    key=("supplier_id", "sku", "min_quantity", "valid_from"),
    period=Period("valid_from", "valid_to"),
    one_at_a_time=("supplier_id", "sku", "min_quantity"),
    foreign_keys=(ForeignKey("supplier_id", "suppliers"), ForeignKey("sku", "products")),
    notes="""\
One supplier gets the whole order of a SKU: of the offers that are valid on the day, of active suppliers, with a priority above 0, the one
with the lowest priority, then the first supplier_id, then the largest min_quantity that the order reaches. What is ordered is the larger of
need and moq, rounded up to the pack. Rows of one supplier and SKU with different min_quantity are price breaks: at 5.00 from 0 and 4.75
from 300, in packs of 10, a need of 290 costs 5.00 a unit; one of 291 is ordered as 300 and costs 4.75. A break's own moq never makes
an order larger than at a lower break that can take it, and an order that reaches a break by a lower one's moq or pack has the break's
price ([decision 8](decisions/0008-price-breaks.md)). Where nobody offers what is needed, the report has a
NO_SUPPLIER line.""",
)

PLANNING_PARAMETERS = ReferenceTable(
    "planning_parameters",
    "How each product's stock is planned; a market's own row replaces the one for all.",
    (
        _code("sku", "sku", "The product.", "BAB-00001"),
        ReferenceColumn(
            "market", "varchar", "The market. Empty: all active markets that order or stock the SKU.", form="market", example="DE"
        ),
        _choice(
            "policy", "How the need is found. There is one way: gross demand + safety stock − usable stock − on order.", "net_requirement"
        ),
        _quantity("safety_stock", "Units each market is to keep in reserve.", "12"),
        _quantity("reorder_point", "Units at which to order again, for policies that are not there yet.", "24", None, unused=True),
        _quantity("order_up_to", "Units to order up to, for policies that are not there yet.", "60", None, unused=True),
        _quantity(
            "reorder_quantity", "Units to order at a time, for policies that are not there yet.", "36", None, above=True, unused=True
        ),
    ),
    key=("sku", "market"),
    foreign_keys=(ForeignKey("sku", "products"), ForeignKey("market", "markets")),
    notes="""\
The safety stock counts once per SKU and market. A SKU without a row has none. A row with a market plans the SKU there even on days without
orders or stock of it; a row for all markets does not.""",
)

# Parents before those who name them.
REFERENCE_TABLES = (MARKETS, PRODUCTS, SUPPLIERS, SUPPLIER_PRODUCTS, PLANNING_PARAMETERS)
BY_NAME = {table.name: table for table in REFERENCE_TABLES}
