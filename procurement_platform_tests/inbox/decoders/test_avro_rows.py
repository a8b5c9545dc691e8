"""A file whose rows are read one by one comes to the same as one that polars reads whole, whatever its values are."""

import io
import json
from collections.abc import Sequence
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procurement_platform.inbox.container import Header, encode_block, encode_header
from procurement_platform.inbox.decoders.avro_schema import bare
from procurement_platform.inbox.task import DecodeOutcome
from procurement_platform.procurement.feeds import ORDERS
from procurement_platform_tests.inbox.desk import NOON, Desk, Row, order

FIELDS = json.loads(ORDERS.contract.avsc)["fields"]
MICROS = int(NOON.timestamp()) * 1_000_000
SYNC = b"0123456789abcdef"
TAGS = {"tags": {"type": "map", "values": "int"}}


def logical(base: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": kind, **more}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return logical("bytes", "decimal", precision=precision, scale=scale)


def fixed_decimal(size: int, precision: int, scale: int) -> dict[str, Any]:
    return logical("fixed", "decimal", name=f"Fixed{size}", size=size, precision=precision, scale=scale)


DURATION = logical("fixed", "duration", name="Duration", size=12)


def raw(number: int, size: int = 0) -> bytes:
    """A decimal's digits as Avro has them, in at least so many bytes."""
    return number.to_bytes(max(size, number.bit_length() // 8 + 1), "big", signed=True)


def sent(number: int = 1, **values: Any) -> Row:
    """An order as its bytes have it: no dates, no decimals."""
    return {**order(number), "quantity": raw(2500), "unit_price": raw(99900), "ordered_at": MICROS} | values


def written(rows: Sequence[Row], **types: Any) -> bytes:
    """Rows under a schema with these types, of the contract's fields and of others, whatever the types make of the values."""
    declared = {each["name"]: each["type"] for each in FIELDS} | types
    schema = {"type": "record", "name": "Row", "fields": [{"name": name, "type": of} for name, of in declared.items()]}
    plain, data = fastavro.parse_schema(bare(schema)), io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(data, plain, row)
    return encode_header(Header(schema, "null", SYNC)) + encode_block(len(rows), data.getvalue(), SYNC)


def came_of_it(desk: Desk, outcome: DecodeOutcome) -> Any:
    """All that became of a file, save for what tells it from others and for the column that makes its rows be read one by one."""
    lines = [{name: value for name, value in row.items() if name != "file_id"} for row in desk.lines(outcome)]
    rejected = [(row["row_number"], row["rule"], row["reasons"], row["sku"], row["quantity"]) for row in desk.quarantine(outcome)]
    rows = [{name: cell for name, cell in json.loads(row["row"]).items() if name != "tags"} for row in desk.quarantine(outcome)]
    return outcome.status, outcome.reason, outcome.accepted_quantity, outcome.quarantined_quantity, lines, rejected, rows


def both(desk: Desk, rows: Sequence[Row], **types: Any) -> DecodeOutcome:
    """What becomes of a file, once it is certain that the same becomes of it with a map beside its columns."""
    alone = desk.decode(written(rows, **types), "avro")
    beside = desk.decode(written([{**row, "tags": {"a": 1}} for row in rows], **types, **TAGS), "avro")
    assert came_of_it(desk, beside) == came_of_it(desk, alone)
    return alone


LONGS = st.sampled_from([0, 1, -1, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), MICROS, MICROS // 1000]) | st.integers(-(2**63), 2**63 - 1)
INTS = st.sampled_from([0, 1, 20_000, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
TIMES = st.sampled_from([0, 86_399_999_999, 86_400_000, -1]) | LONGS
NUMBERS = st.sampled_from([0, 1500, 10**38 - 1, 10**38, -(10**38), 2**127, -(2**127), 2**200]) | st.integers(-(10**42), 10**42)
QUANTITIES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (decimal(18, 3), st.just(raw(1500)) | NUMBERS.map(raw) | st.just(raw(1500, 17))),
    (decimal(38, 18), st.just(raw(15 * 10**17)) | NUMBERS.map(raw) | st.just(b"")),
    (["null", decimal(4, 1)], st.none() | st.just(raw(15)) | NUMBERS.map(raw)),
    (fixed_decimal(16, 38, 4), st.integers(-(2**127), 2**127 - 1).map(lambda number: raw(number, 16)) | st.just(raw(15000, 16))),
    (["long", "null"], st.none() | st.just(2) | LONGS),
    ("string", st.sampled_from(["1.5", "1,5", " 2 ", "", "1e3", "1.500000000000000000"])),
]
TIMESTAMPS: list[tuple[Any, int]] = [
    (logical("long", "timestamp-micros"), MICROS),
    (logical("long", "timestamp-millis"), MICROS // 1000),
    (["null", logical("long", "local-timestamp-micros")], MICROS),
    (logical("long", "local-timestamp-millis"), MICROS // 1000),
]
EXTRA: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "promised": (logical("int", "date"), INTS),
    "packed": (["null", logical("long", "timestamp-micros")], st.none() | LONGS),
    "changed": (logical("long", "timestamp-millis"), LONGS),
    "nanos": (logical("long", "timestamp-nanos"), LONGS),
    "opens": (logical("int", "time-millis"), INTS),
    "shuts": (["null", logical("long", "time-micros")], TIMES | st.none()),
    "cost": (decimal(9, 2), NUMBERS.map(raw) | st.binary(max_size=40)),
    "id": (logical("string", "uuid"), st.text(max_size=5)),
    "term": (DURATION, st.binary(min_size=12, max_size=12)),
    "colour": ({"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}, st.sampled_from(["RED", "BLUE"])),
    "weight": ("double", st.floats()),
    "bad digits": (decimal(2, 3), st.binary(max_size=3)),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_column_is_the_same_whatever_stands_beside_it(desk: Desk, data: st.DataObject) -> None:
    quantity, quantities = data.draw(st.sampled_from(QUANTITIES))
    ordered_at, moment = data.draw(st.sampled_from(TIMESTAMPS))
    extra = data.draw(st.sets(st.sampled_from(sorted(EXTRA)), max_size=4))
    values: dict[str, st.SearchStrategy[Any]] = {
        "quantity": quantities,
        "ordered_at": st.just(moment) | LONGS,
        "line_number": st.none() | st.just(3) | INTS,
        "sku": st.sampled_from(["SKU-1", "SKU-OLD", ""]),
        **{name: EXTRA[name][1] for name in sorted(extra)},
    }
    rows = data.draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=6))
    types = {name: EXTRA[name][0] for name in sorted(extra)} | {"quantity": quantity, "ordered_at": ordered_at}
    outcome = both(desk, [sent(number, **row) for number, row in enumerate(rows)], **types)
    assert outcome.status == "accepted", outcome.reason


def test_a_decimal_with_more_places_than_the_contract_is_read_where_no_digit_is_lost(desk: Desk) -> None:
    rows = [sent(1, quantity=raw(15 * 10**17)), sent(2, quantity=raw(15 * 10**17 + 1))]
    outcome = both(desk, rows, quantity=decimal(38, 18))
    assert [str(line["quantity"]) for line in desk.lines(outcome)] == ["1.500"]
    assert desk.reasons(outcome)[2].startswith("quantity 1.500000000000000001 is not a plain number")


def test_digits_beyond_the_declared_ones_are_read_or_are_one_bad_row(desk: Desk) -> None:
    outcome = both(
        desk, [sent(1, quantity=raw(123456)), sent(2, quantity=raw(10**30)), sent(3, quantity=raw(10**50))], quantity=decimal(4, 1)
    )
    assert [str(line["quantity"]) for line in desk.lines(outcome)] == ["12345.600"]
    assert all("is not a plain number with at most 15 digits" in reason for reason in desk.reasons(outcome).values())


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 10**17])
def test_a_time_that_no_calendar_holds_is_one_bad_row(desk: Desk, value: int) -> None:
    outcome = both(desk, [sent(1), sent(2, ordered_at=value), sent(3)])
    assert (outcome.accepted, outcome.quarantined) == (2, 1)
    assert "ordered_at" in desk.reasons(outcome)[2]


@pytest.mark.parametrize("name", EXTRA)
def test_columns_nobody_asked_for_reject_nothing(desk: Desk, name: str) -> None:
    declared, _ = EXTRA[name]
    extreme: dict[str, Any] = {
        "promised": 2**31 - 1,
        "opens": 2**31 - 1,
        "cost": raw(10**60),
        "id": "no uuid",
        "term": b"\xff" * 12,
        "colour": "BLUE",
        "weight": float("nan"),
        "bad digits": b"\xff",
    }
    rows = [sent(number, sku=f"SKU-{number}") | {name: extreme.get(name, 2**63 - 1)} for number in (1, 99)]
    outcome = both(desk, rows, **{name: declared})
    assert (outcome.accepted, outcome.quarantined, outcome.notes) == (1, 1, (f"columns kept out: {name!r}",))
    assert name in json.loads(desk.quarantine(outcome)[0]["row"])


def test_nested_values_are_shown_as_people_write_them_where_there_is_a_way(desk: Desk) -> None:
    fields = {
        "due": logical("int", "date"),
        "at": logical("long", "timestamp-millis"),
        "here": logical("long", "local-timestamp-micros"),
        "price": decimal(9, 2),
        "weight": fixed_decimal(3, 5, 1),
        "large": decimal(99, 50),
        "code": "bytes",
        "term": DURATION,
        "id": logical("string", "uuid"),
    }
    inner = {"type": "record", "name": "Inner", "fields": [{"name": name, "type": of} for name, of in fields.items()]}
    usual = {
        "due": 1,
        "at": 1,
        "here": 1,
        "price": raw(-150),
        "weight": raw(15, 3),
        "large": raw(5),
        "code": b"\xff",
        "term": b"\1" * 12,
        "id": "?",
    }
    odd = {name: 2**31 - 1 if name == "due" else 2**63 - 1 if name in ("at", "here") else value for name, value in usual.items()}
    rows = [sent(1, sku="NONE", inner=[usual]), sent(2, sku="NONE", inner=[odd | {"price": bytes(600)}]), sent(3, inner=[])]
    outcome = desk.decode(written(rows, inner={"type": "array", "items": inner}), "avro")
    assert (outcome.accepted, outcome.quarantined) == (1, 2)
    first, second = (json.loads(row["row"])["inner"] for row in desk.quarantine(outcome))
    assert json.loads(first) == [
        {
            "due": "1970-01-02",
            "at": "1970-01-01T00:00:00.001000+00:00",
            "here": "1970-01-01T00:00:00.000001",
            "price": "-1.50",
            "weight": "1.5",
            "large": f"0.{'0' * 49}5",
            "code": "ff",
            "term": "01" * 12,
            "id": "?",
        }
    ]
    assert second.startswith('[{"due": 2147483647, "at": 9223372036854775807, "here": 9223372036854775807, "price": "0x0000')


@pytest.mark.parametrize(("value", "expected"), [(raw(25), "2.500"), (2, "2.000"), ("2.50", "2.500"), (None, None)])
def test_a_union_of_exact_types_is_a_quantity(desk: Desk, value: Any, expected: str | None) -> None:
    outcome = desk.decode(written([sent(quantity=value)], quantity=["null", decimal(60, 1), "int", "string"]), "avro")
    assert [str(line["quantity"]) for line in desk.lines(outcome)] == ([expected] if expected else [])


def test_damage_is_told_as_before(desk: Desk) -> None:
    for types in ({}, TAGS):
        rows = [sent(number, tags={"a": 1}, quantity=raw(2500, 17)) for number in (1, 2)]
        content = written(rows, **types)
        outcome = desk.decode(content[:-17] + b"\x7f" + SYNC, "avro")
        assert outcome.status == "rejected"
        assert "is damaged" in str(outcome.reason)
        assert "block 1" in str(outcome.reason)
