import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform_tests.inbox.desk import NOON, Desk, order, parquet

MICROS = int(NOON.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    "kind",
    [pa.decimal128(18, 3), pa.decimal128(5, 1), pa.decimal128(38, 10), pa.int64(), pa.int32(), pa.uint8(), pa.string(), pa.large_string()],
    ids=str,
)
def test_exact_quantities_of_any_type(desk: Desk, kind: pa.DataType) -> None:
    value = "2" if kind in (pa.string(), pa.large_string()) else 2 if pa.types.is_integer(kind) else Decimal(2)
    [line] = desk.lines(desk.decode(parquet([order(quantity=value)], {"quantity": kind}), "parquet"))
    assert line["quantity"] == Decimal(2)


def test_digits_that_do_not_fit_are_told(desk: Desk) -> None:
    values = [Decimal("1.0001"), Decimal("1.0010"), Decimal("1e15"), None]
    outcome = desk.decode(parquet([order(quantity=value) for value in values], {"quantity": pa.decimal128(38, 4)}), "parquet")
    assert [line["quantity"] for line in desk.lines(outcome)] == [Decimal("1.001")]
    reasons = desk.reasons(outcome)
    assert reasons[1] == "quantity 1.0001 is not a plain number with at most 15 digits before and 3 after the decimal point"
    assert reasons[4] == "quantity is empty: send it in every row"


@pytest.mark.parametrize(
    ("kind", "value", "micros"),
    [
        (pa.timestamp("us", "UTC"), NOON, MICROS),
        (pa.timestamp("ms", "America/New_York"), NOON, MICROS),
        (pa.timestamp("ns", "UTC"), NOON, MICROS),
        (pa.timestamp("s"), NOON.replace(hour=13, tzinfo=None), MICROS),
        (pa.timestamp("us"), NOON.replace(hour=13, tzinfo=None), MICROS),
        (pa.string(), "2025-12-20 13:00", MICROS),
    ],
    ids=str,
)
def test_instants_of_any_type_are_utc(desk: Desk, kind: pa.DataType, value: object, micros: int) -> None:
    [line] = desk.lines(desk.decode(parquet([order(ordered_at=value)], {"ordered_at": kind}), "parquet"))
    assert line["ordered_at_us"] == micros


def test_dates_are_no_instants(desk: Desk) -> None:
    outcome = desk.decode(parquet([order(ordered_at=dt.date(2025, 12, 20))], {"ordered_at": pa.date32()}), "parquet")
    assert outcome.reason
    assert "ordered_at of the type date: send a timestamp" in outcome.reason


def test_dictionaries_nulls_and_nested_extras_are_read(desk: Desk) -> None:
    table = pq.read_table(io.BytesIO(parquet([order(number) for number in range(5)])))
    table = table.set_column(3, "sku", table["sku"].dictionary_encode()).append_column("extra", pa.array([{"a": [1]}] * 5))
    table = table.set_column(8, "customer_id", pa.nulls(5))
    target = io.BytesIO()
    pq.write_table(table, target, row_group_size=2)
    outcome = desk.decode(target.getvalue(), "parquet")
    assert (outcome.accepted, outcome.notes) == (5, ("columns kept out: 'extra'",))


def test_types_that_nothing_reads_are_extra_or_refused(desk: Desk) -> None:
    wide = pa.decimal256(60, 2)
    kept_out = desk.decode(parquet([order() | {"wide": Decimal(1)}], {"wide": wide}), "parquet")
    assert kept_out.accepted == 1
    refused = desk.decode(parquet([order(quantity=Decimal(1))], {"quantity": wide}), "parquet")
    assert refused.status == "rejected"
    assert refused.reason is not None
    assert "quantity" in refused.reason
    assert "damaged" not in refused.reason
