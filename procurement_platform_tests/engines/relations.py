"""The relations that the procurement SQL files read, by the name they read them under: columns and types."""

from procurement_platform.inbox.as_sent import ROWS_AS_SENT_TYPES
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.procurement.reference.tables import REFERENCE_TABLES
from procurement_platform.procurement.tables import ORDER_LINES, STOCK_LINES, TABLES
from procurement_platform.quality.violations import VIOLATIONS

OTHER = {"other_date": "date", "other_file": "varchar", "other_row": "bigint"}
REPEATED = {"file_id": "varchar", "row_number": "bigint", "kind": "varchar", **OTHER}
DUPLICATES = {
    "file_id": "varchar", "row_number": "bigint", "file": "varchar", "market": "varchar", "sku": "varchar", "quantity": "decimal(18,3)",
    **OTHER,
}  # fmt: skip
FILES = {"feed": "varchar", "file_id": "varchar", "file": "varchar", "market": "varchar", "state": "varchar", "reason": "varchar"}

RELATIONS: dict[str, dict[str, str]] = {
    **{table.name: table.sql_types for table in TABLES},
    **{table.name: {column.name: column.type for column in table.columns} for table in REFERENCE_TABLES},
    "violations": VIOLATIONS.sql_types,
    "order_lines_checked": ORDER_LINES.sql_types,
    "earlier_order_lines": ORDER_LINES.sql_types,
    "stock_lines_checked": STOCK_LINES.sql_types,
    "repeated": REPEATED,
    "rows_as_sent": ROWS_AS_SENT_TYPES,
    "duplicates": DUPLICATES,
    "files": FILES,
    "open_orders": {"market": "varchar", "sku": "varchar", "on_order": "decimal(38,3)"},
}

RESULTS: dict[str, dict[str, str]] = {
    **{f"procurement/{table.name}": table.sql_types for table in TABLES},
    **{
        f"procurement/{name}": VIOLATIONS.sql_types
        for name in (
            "order_violations", "stock_violations", "order_file_violations", "stock_file_violations",
            "net_demand_violations", "supplier_order_violations", "exceptions",
        )
    },
    **{f"procurement/{feed}_duplicates": REPEATED for feed in ("order", "stock")},
    **{f"procurement/{feed}_duplicate_rows": DUPLICATES for feed in ("order", "stock")},
    **{f"procurement/{feed}_conflicts": QUARANTINE.sql_types for feed in ("order", "stock")},
    "procurement/order_lines_kept": ORDER_LINES.sql_types,
    "procurement/stock_lines_kept": STOCK_LINES.sql_types,
    "procurement/order_lines_compacted": ORDER_LINES.sql_types,
    "procurement/stock_lines_compacted": STOCK_LINES.sql_types,
}  # fmt: skip
