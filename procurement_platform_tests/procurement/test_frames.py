import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from procurement_platform.errors import PromiseBroken
from procurement_platform.procurement.frames import checked_exceptions, checked_orders
from procurement_platform.procurement.tables import SUPPLIER_ORDERS
from procurement_platform.quality.violations import VIOLATIONS

DAY = dt.date(2025, 12, 20)


def order(**change: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "run_date": DAY,
        "supplier_id": "S1",
        "sku": "A",
        "need": Decimal(1),
        "quantity": Decimal(6),
        "pack_size": Decimal(6),
        "moq": Decimal(0),
        "unit_price": Decimal("2.5"),
        "currency": "EUR",
        "amount": Decimal(15),
        "expected_date": DAY,
    }
    return plain | change


def violation(**change: object) -> dict[str, object]:
    plain: dict[str, object] = dict.fromkeys(c.name for c in VIOLATIONS.columns) | {
        "run_date": DAY,
        "rule": "NO_SUPPLIER",
        "severity": "HIGH",
        "dataset": "supplier_orders",
        "rows": 1,
        "message": "why",
    }
    return plain | change


def orders(*rows: dict[str, object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=SUPPLIER_ORDERS.arrow)


def test_orders_as_they_should_be_pass() -> None:
    pieces = [orders(order(), order(sku="B")), orders(), orders(order(sku="C"))]
    assert list(checked_orders(pieces)) == pieces


@pytest.mark.parametrize(
    ("rows", "what"),
    [([order(), order(supplier_id="S2")], 'UniqueColumnConstraint" for column "sku"'), ([order(quantity=None)], 'for column "quantity"')],
)
def test_orders_a_buyer_must_not_see_are_refused(rows: list[dict[str, object]], what: str) -> None:
    checked = checked_orders([orders(order(sku="Z")), orders(*rows)])
    next(checked)
    with pytest.raises(PromiseBroken, match="Nothing was published") as refused:
        next(checked)
    assert what in str(refused.value)


def test_columns_in_another_order_are_refused() -> None:
    rows = orders(order())
    with pytest.raises(PromiseBroken, match="StrictColumnsConstraint"):
        next(checked_orders([rows.select(list(reversed(rows.schema.names)))]))


def test_a_rule_that_does_not_exist_is_refused() -> None:
    right, wrong = (pa.RecordBatch.from_pylist([violation(rule=rule)], schema=VIOLATIONS.arrow) for rule in ("NO_SUPPLIER", "NO_SUCH_RULE"))
    assert list(checked_exceptions([right, right])) == [right, right]
    passed = checked_exceptions([right, wrong])
    assert next(passed) == right
    with pytest.raises(PromiseBroken, match='for column "rule"'):
        next(passed)
