"""The procurement domain's tables: quantities in units of the product, prices and amounts in a currency.

What one row states is decimal(18,3) or, of prices, decimal(18,4); what is summed or multiplied has 38 digits, which no number of legal rows
fills (docs/decisions/0010-sums-have-38-digits.md).
"""

from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.lake.tables import Column, Table

QUANTITY, PRICE = "decimal(18,3)", "decimal(18,4)"
UNITS, AMOUNT = "decimal(38,3)", "decimal(38,4)"

_RUN_DATE = Column("run_date", "date", "The business day.", required=True)
_MARKET = Column("market", "varchar", "The market's code.", required=True)
_SKU = Column("sku", "varchar", "The product's number.", required=True)
_FILE_ID = Column("file_id", "varchar", "The ledger's id of the file: 16 hexadecimal digits from its identity and content.", required=True)
_ROW_NUMBER = Column("row_number", "bigint", "The row's number in its file; the first data row is 1.", required=True)

ORDER_LINES = Table(
    "order_lines",
    "processed",
    "Order lines as accepted: typed, without duplicates.",
    (
        _RUN_DATE,
        _FILE_ID,
        _ROW_NUMBER,
        Column("order_id", "varchar", "The order's number in the market's system.", required=True),
        Column("line_number", "integer", "The line's number within the order, where the market sends one."),
        _MARKET,
        _SKU,
        Column("quantity", QUANTITY, "Units ordered.", required=True),
        Column("unit_price", PRICE, "Price of one unit, in `currency`.", required=True),
        Column("currency", "varchar", "ISO 4217 code as sent; empty: the market's own."),
        Column("ordered_at_us", "bigint", "When the customer ordered: microseconds since 1970-01-01 UTC.", required=True),
        Column("customer_id", "varchar", "The customer, where the market says."),
    ),
)

STOCK_LINES = Table(
    "stock_lines",
    "processed",
    "Stock rows as accepted: typed, without duplicates.",
    (
        _RUN_DATE,
        _FILE_ID,
        _ROW_NUMBER,
        _MARKET,
        _SKU,
        Column("available", QUANTITY, "Units counted on hand.", required=True),
        Column("reserved", QUANTITY, "Units promised to orders that are in no orders file.", required=True),
        Column("counted_at_us", "bigint", "When it was counted: microseconds since 1970-01-01 UTC."),
        Column("warehouse", "varchar", "The warehouse, where the market has several."),
    ),
)

AGGREGATED_ORDERS = Table(
    "aggregated_orders",
    "processed",
    "Demand and revenue per market, SKU and currency.",
    (
        _RUN_DATE,
        _MARKET,
        _SKU,
        Column("currency", "varchar", "ISO 4217 code.", required=True),
        Column("quantity", UNITS, "Units ordered.", required=True),
        Column("revenue", AMOUNT, "Sum of quantity × unit price, each line rounded half up to 4 places, in `currency`.", required=True),
        Column("order_lines", "bigint", "Accepted order lines.", required=True),
    ),
    key=("market", "sku", "currency"),
)

NET_DEMAND = Table(
    "net_demand",
    "processed",
    "What each market needs of each SKU beyond what it has.",
    (
        _RUN_DATE,
        _MARKET,
        _SKU,
        Column("gross_demand", UNITS, "Units ordered that day.", required=True),
        Column("available", UNITS, "Units counted on hand, over all warehouses; empty where the stock is unknown."),
        Column("reserved", UNITS, "Units promised elsewhere, over all warehouses; empty where the stock is unknown."),
        Column(
            "usable",
            UNITS,
            "available − reserved, a row with more reserved than available counting 0; empty where the stock is unknown.",
        ),
        Column("on_order", UNITS, "Scheduled receipts: units of approved orders not yet received.", required=True),
        Column("safety_stock", QUANTITY, "Units the market keeps in reserve.", required=True),
        Column("net_demand", UNITS, "max(0, gross_demand + safety_stock − usable − on_order); empty where withheld."),
        Column("stock_basis", "varchar", "`counted`, `zero` (an accepted stock file without the SKU) or `unknown`.", required=True),
    ),
    key=("market", "sku"),
)

SUPPLIER_ORDERS = Table(
    "supplier_orders",
    "output",
    "What to order, per supplier and SKU.",
    (
        _RUN_DATE,
        Column("supplier_id", "varchar", "The supplier.", required=True),
        _SKU,
        Column("need", UNITS, "Units the markets need together.", required=True),
        Column("quantity", UNITS, "Units to order: the need, at least the MOQ, rounded up to the pack.", required=True),
        Column("pack_size", QUANTITY, "Units in a pack.", required=True),
        Column("moq", QUANTITY, "The least the supplier sells of it.", required=True),
        Column("unit_price", PRICE, "Price of one unit, in `currency`.", required=True),
        Column("currency", "varchar", "ISO 4217 code: the supplier's.", required=True),
        Column("amount", AMOUNT, "quantity × unit_price, rounded half up to 4 places.", required=True),
        Column("expected_date", "date", "The run date plus the lead time in days.", required=True),
    ),
    key=("sku",),
)

SUPPLIER_ORDER_ALLOCATIONS = Table(
    "supplier_order_allocations",
    "output",
    "Whom each supplier order is for: each market's net demand, and the surplus that MOQ and pack add.",
    (
        _RUN_DATE,
        Column("supplier_id", "varchar", "The supplier.", required=True),
        _SKU,
        Column("kind", "varchar", "`net_demand` or `surplus`.", required=True),
        Column("market", "varchar", "The market; empty for the surplus."),
        Column("quantity", UNITS, "Units.", required=True),
    ),
    key=("supplier_id", "sku", "kind", "market"),
)

TABLES = (ORDER_LINES, STOCK_LINES, QUARANTINE, AGGREGATED_ORDERS, NET_DEMAND, SUPPLIER_ORDERS, SUPPLIER_ORDER_ALLOCATIONS)
