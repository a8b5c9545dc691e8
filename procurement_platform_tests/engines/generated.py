"""Rows that hypothesis makes up for the relations of `sql/`: few keys, so that rows meet; NULL, zero, negative, largest; any text."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from procurement_platform_tests.engines.relations import RELATIONS

Rows = list[dict[str, Any]]
DAYS = [dt.date(2025, 12, 20), dt.date(2024, 2, 29), dt.date(2025, 2, 28), dt.date(2025, 12, 31), dt.date(2026, 1, 31)]
DATES = [*DAYS, dt.date(2024, 3, 1), dt.date(1970, 1, 1), dt.date(9999, 12, 31)]
TEXTS = ["", "a", "A", "ä", "a\u0308", "ß", "商品", "😀", "it's", 'a"b', "a\\b", "a b ", " a", "%_", "\t\n", "0", "null"]
LONG = [*TEXTS, "word " * 60, "商" * 250, "😀" * 199 + " a b", "x" * 200, "x" * 201, ("ä " * 150).strip(), "a" * 190 + "  " + "b" * 20]

# What the SQL compares with, and what it joins by.
WORDS: dict[str, Sequence[str]] = {
    "market": ["DE", "FR", "ÄÖ"], "sku": ["A", "B", "商 ß"], "supplier_id": ["S1", "S2", "s1"], "file_id": ["f1", "f2", "f3"],
    "order_id": ["O1", "O2"], "file": ["DE.csv", "DE__ä.avro", "FR.csv"], "feed": ["orders", "stock"], "currency": ["EUR", "CHF"],
    "state": ["accepted", "rejected", "superseded", "withdrawn"], "kind": ["DUPLICATE_ORDER", "CONFLICTING_ORDER", "net_demand", "surplus"],
    "rule": ["INVALID_ROW", "UNKNOWN_PRODUCT", "CONFLICTING_ORDER", "DUPLICATE_ORDER"], "severity": ["info", "warning", "error"],
    "stock_basis": ["counted", "zero", "unknown"], "when_missing": ["withhold", "compute"], "warehouse": ["W", "w"],
    "rounding": ["up"], "policy": ["net_requirement"], "dataset": ["order_lines", "net_demand"],
}  # fmt: skip
INTEGERS = {
    "priority": [0, 1, 2], "lead_time_days": [0, 1, 31, 366, 2000], "row_number": [1, 2, 3, 2**62], "line_number": [0, 1, 2, 2**31 - 1],
    "rows": [0, 1, 10**12], "order_lines": [0, 1, 10**12], "first_row": [1, 2],
}  # fmt: skip
# What the database or an earlier check promises: without it the choice among rows would be open.
KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("order_lines", "order_lines_checked", "earlier_order_lines", "repeated"), ("file_id", "row_number")),
    **dict.fromkeys(("stock_lines", "stock_lines_checked", "duplicates"), ("file_id", "row_number")),
    "files": ("file_id",), "markets": ("market",), "products": ("sku",), "suppliers": ("supplier_id",), "net_demand": ("market", "sku"),
    "supplier_products": ("supplier_id", "sku", "min_quantity"), "planning_parameters": ("sku", "market"), "supplier_orders": ("sku",),
    "aggregated_orders": ("market", "sku", "currency"),
}  # fmt: skip
NEVER_NULL = {"file_id", "row_number", "supplier_id", "pack_size", "moq"}


def values(name: str, kind: str) -> st.SearchStrategy[Any]:
    """A column's values."""
    if kind == "boolean":
        return st.booleans()
    if kind == "date":
        return st.sampled_from(DATES)
    if kind in ("bigint", "integer"):
        return st.sampled_from(INTEGERS[name]) if name in INTEGERS else st.sampled_from([0, 1, -1, 2**31, -(2**40)])
    if kind == "varchar":
        return st.sampled_from(WORDS[name]) if name in WORDS else st.sampled_from(LONG if name in ("reasons", "message", "row") else TEXTS)
    digits, places = map(int, kind[8:-1].split(","))
    most = Decimal("9" * (min(digits, 24) - places) + "." + "9" * places)  # sums of the widest type still fit it
    least = Decimal(1).scaleb(-places)
    plain = st.one_of(
        st.decimals(-20, 40, places=places), st.sampled_from([Decimal(0), Decimal(1), Decimal(5), least, -least, most, most.copy_negate()])
    )
    if name == "pack_size":
        return st.one_of(st.decimals(least, 20, places=places), st.sampled_from([Decimal(1), Decimal(12), least, most]))
    return plain.map(abs) if name in ("moq", "min_quantity", "max_order_quantity") else plain


def rows(relation: str, *, repeated: bool = False) -> st.SearchStrategy[Rows]:
    """A relation's rows. `repeated`: whatever is promised of its keys does not hold."""
    key = KEYS.get(relation, ())
    fields = {
        name: values(name, kind) if name in NEVER_NULL else st.one_of(values(name, kind), values(name, kind), st.none())
        for name, kind in RELATIONS[relation].items()
    }
    unique = None if repeated or not key else lambda row: tuple(row[name] for name in key)
    return st.lists(st.fixed_dictionaries(fields), max_size=10, unique_by=unique)
