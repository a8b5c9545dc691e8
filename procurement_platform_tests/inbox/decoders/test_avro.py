import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from procurement_platform.procurement.feeds import ORDERS
from procurement_platform_tests.inbox.desk import NOON, Desk, avro, order

SCHEMA = json.loads(ORDERS.contract.avsc)
MICROS = int(NOON.timestamp()) * 1_000_000
LOCAL = dt.datetime(2025, 12, 20, 13)  # noqa: DTZ001  a local time is what is meant


def schema(*extra: dict[str, Any], **types: Any) -> dict[str, Any]:
    fields = [{"name": each["name"], "type": types[each["name"]]} if each["name"] in types else each for each in SCHEMA["fields"]]
    return {**SCHEMA, "fields": [*extra, *fields]}


def decimal(precision: int, scale: int, **base: Any) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale} | base


NESTED = {"name": "extra", "type": {"type": "map", "values": "int"}}


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_every_codec(desk: Desk, codec: str) -> None:
    outcome = desk.decode(avro([order(number) for number in range(500)], codec=codec, sync=1000), "avro")
    assert [line["order_id"] for line in desk.lines(outcome)] == [f"O-{number}" for number in range(500)]


@pytest.mark.parametrize("slow", [False, True], ids=["columns", "rows"])
@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (decimal(18, 3), Decimal("2.5"), Decimal("2.5")),
        (decimal(38, 10), Decimal("2.5"), Decimal("2.5")),
        (decimal(50, 4), Decimal("2.5"), Decimal("2.5")),
        (decimal(18, 3, type="fixed", size=8, name="Q"), Decimal("2.5"), Decimal("2.5")),
        ("int", 2, Decimal(2)),
        ("long", 2, Decimal(2)),
        (["null", "long"], 2, Decimal(2)),
        ([decimal(9, 1), "null"], Decimal("2.5"), Decimal("2.5")),
        ("string", "2.50", Decimal("2.5")),
        (["null", "int", "string"], "2.5", Decimal("2.5")),
    ],
    ids=str,
)
def test_exact_quantities_of_any_type(desk: Desk, declared: Any, value: Any, expected: Decimal, slow: bool) -> None:
    extra = {"extra": {"a": 1}} if slow else {}
    content = avro([order(quantity=value) | extra], schema=schema(*([NESTED] if slow else []), quantity=declared))
    outcome = desk.decode(content, "avro")
    assert outcome.status == "accepted", outcome.reason
    assert [line["quantity"] for line in desk.lines(outcome)] == [expected]


@pytest.mark.parametrize("slow", [False, True], ids=["columns", "rows"])
@pytest.mark.parametrize(
    ("logical", "value"),
    [("timestamp-millis", NOON), ("timestamp-micros", NOON), ("local-timestamp-millis", LOCAL), ("local-timestamp-micros", LOCAL)],
)
def test_instants_of_any_type_are_utc(desk: Desk, logical: str, value: dt.datetime, slow: bool) -> None:
    extra = {"extra": {"a": 1}} if slow else {}
    declared = {"type": "long", "logicalType": logical}
    content = avro([order(ordered_at=value) | extra], schema=schema(*([NESTED] if slow else []), ordered_at=declared))
    assert [line["ordered_at_us"] for line in desk.lines(desk.decode(content, "avro"))] == [MICROS]


@pytest.mark.parametrize("declared", ["float", "double", ["null", "double"], ["double", "int", "string"], "boolean", "bytes"], ids=str)
def test_types_without_exact_meaning_are_refused(desk: Desk, declared: Any) -> None:
    value = {"boolean": True, "bytes": b"1"}.get(str(declared), 1.5)
    outcome = desk.decode(avro([order(quantity=value)], schema=schema(quantity=declared)), "avro")
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "column quantity of the type" in outcome.reason


@pytest.mark.parametrize(
    "extra",
    [
        {"name": "extra", "type": ["null", "string"]},
        NESTED,
        {"name": "extra", "type": {"type": "array", "items": "string"}},
        {"name": "extra", "type": {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]}},
        {"name": "extra", "type": "null"},
        {"name": "extra", "type": {"type": "enum", "name": "Colour", "symbols": ["RED"]}},
        {"name": "extra", "type": "double"},
    ],
    ids=lambda extra: str(extra["type"])[:30],
)
def test_extra_columns_of_any_type_are_kept_out(desk: Desk, extra: dict[str, Any]) -> None:
    values = {"map": {"a": 1}, "array": ["b"], "record": {"x": 1}, "enum": "RED", "double": 1.5, "null": None}
    kind = extra["type"]["type"] if isinstance(extra["type"], dict) else extra["type"]
    value = values[kind] if isinstance(kind, str) else "text"
    outcome = desk.decode(avro([order(1) | {"extra": value}, order(2, sku="NONE") | {"extra": value}], schema=schema(extra)), "avro")
    assert (outcome.accepted, outcome.quarantined, outcome.notes) == (1, 1, ("columns kept out: 'extra'",))
    sent = json.loads(desk.quarantine(outcome)[0]["row"])
    assert next(iter(sent)) == "extra"
    assert sent["sku"] == "NONE"


def test_enums_and_java_strings_are_text(desk: Desk) -> None:
    types = {
        "currency": {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD"]},
        "order_id": {"type": "string", "avro.java.string": "String"},
        "customer_id": "long",
    }
    outcome = desk.decode(avro([order(1, customer_id=7), order(2, currency="USD", customer_id=8)], schema=schema(**types)), "avro")
    assert [(line["order_id"], line["currency"], line["customer_id"]) for line in desk.lines(outcome)] == [
        ("O-1", "EUR", "7"),
        ("O-2", "USD", "8"),
    ]


def test_optional_everything(desk: Desk) -> None:
    types = {name: ["null", "string"] for name in ("order_id", "market", "sku")}
    outcome = desk.decode(
        avro([order(1), order(2, order_id=None), order(3, sku=None), order(4, market=None)], schema=schema(**types)), "avro"
    )
    assert desk.reasons(outcome) == {
        2: "order_id is empty: send it in every row",
        3: "sku is empty: send it in every row, or remove the row if it holds a total",
        4: "market is empty: send it in every row, or remove the row if it holds a total",
    }


def test_blank_optional_texts_are_absent(desk: Desk) -> None:
    outcome = desk.decode(avro([order(1, currency="", customer_id=" "), order(2, customer_id="c ")]), "avro")
    assert [(line["currency"], line["customer_id"]) for line in desk.lines(outcome)] == [(None, None), ("EUR", "c")]
