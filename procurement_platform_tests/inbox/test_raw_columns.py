import json
from typing import Any

import pytest

from procurement_platform.errors import ProcurementError
from procurement_platform.inbox.raw_columns import (
    MOST_COLUMNS,
    RawColumn,
    added_columns,
    contract_columns,
    hive_type,
    reading,
    with_columns,
)
from procurement_platform.procurement.feeds import ORDERS, STOCK

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


def decimal(precision: int, scale: int) -> dict[str, object]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def record(**fields: object) -> dict[str, object]:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


def read(schemas: dict[str, Any], columns: list[RawColumn] | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The reader's fields (name → type without null), and the notes."""
    found = reading(contract_columns(ORDERS.contract) if columns is None else columns, schemas)
    fields = json.loads(found.schema)["fields"]
    assert all(each["type"][0] == "null" and each["default"] is None for each in fields)
    return {each["name"]: each["type"][1] for each in fields}, found.notes


def test_a_feeds_columns_are_those_of_its_contract() -> None:
    assert [(column.name, column.type) for column in contract_columns(STOCK.contract)] == [
        ("market", "string"),
        ("sku", "string"),
        ("available", "decimal(18,3)"),
        ("reserved", "decimal(18,3)"),
        ("counted_at", "bigint"),
        ("warehouse", "string"),
    ]
    [ordered_at] = [column for column in contract_columns(ORDERS.contract) if column.name == "ordered_at"]
    assert "Microseconds since 1970" in ordered_at.doc


def test_a_file_as_the_contract_has_it_is_read_whole() -> None:
    fields, notes = read({"DE.avro": json.loads(ORDERS.contract.avsc)})
    assert list(fields) == [field.name for field in ORDERS.contract.fields]
    assert fields["quantity"] == decimal(18, 3)
    assert fields["line_number"] == fields["ordered_at"] == "long"
    assert notes == ()


def test_columns_that_a_file_lacks_or_has_in_another_order_change_nothing() -> None:
    fields, notes = read({"a": record(sku="string", order_id=["null", "string"]), "b": record(order_id="string", line_number="int")})
    assert list(fields) == [field.name for field in ORDERS.contract.fields]
    assert notes == ()


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        ("quantity", decimal(10, 2)),  # Trino would show a tenth of it
        ("quantity", decimal(20, 3)),
        ("quantity", "string"),  # its letters as a number
        ("quantity", "int"),  # the query would fail
        ("quantity", {"type": "fixed", "name": "Q", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 3}),
        ("quantity", ["null", decimal(18, 3), "string"]),
        ("ordered_at", MILLIS),  # 1970
        ("ordered_at", "long"),
        ("ordered_at", "string"),
        ("currency", {"type": "enum", "name": "C", "symbols": ["EUR"]}),
        ("currency", {"type": "array", "items": "string"}),
    ],
)
def test_a_column_that_would_be_read_wrong_is_shown_empty_and_said_to_be(column: str, sent: object) -> None:
    fields, notes = read({"DE.avro": record(**{column: sent}), "GB.avro": json.loads(ORDERS.contract.avsc)})
    assert column not in fields
    [other] = [name for name in fields if name.lower() == column]  # Trino finds the column by it, and no field of a file
    assert other != column
    [note] = notes
    assert note.startswith(f"{column} is shown empty: DE.avro has it as ")


@pytest.mark.parametrize(
    ("column", "sent"),
    [("quantity", decimal(9, 3)), ("line_number", "long"), ("currency", {"type": "string", "avro.java.string": "S"})],
)
def test_a_narrower_or_wider_type_that_is_read_right_is_shown(column: str, sent: object) -> None:
    fields, notes = read({"DE.avro": record(**{column: sent})})
    assert column in fields
    assert notes == ()


def test_another_spelling_is_read_where_all_files_have_it() -> None:
    fields, notes = read({"a": record(Order_ID="string"), "b": record(Order_ID="string")})
    assert "Order_ID" in fields
    assert notes == ()
    fields, notes = read({"a": record(Order_ID="string"), "b": record(Order_ID="string"), "c": record(order_id="string")})
    assert "order_id" in fields
    assert notes == ("order_id of a is shown empty: other files write it order_id",)


def test_what_markets_add_becomes_a_column_where_its_files_agree() -> None:
    schemas = {
        "a": record(order_id="string", orderId="string", promo=["null", "string"], rate="float", when=MICROS, run_date="string"),
        "b": record(promo="string", mixed="string", nested={"type": "map", "values": "string"}, price2=decimal(9, 2)),
        "c": record(mixed="long", flag="boolean"),
    }
    added = added_columns(contract_columns(ORDERS.contract), schemas)
    assert [(column.name, column.type) for column in added] == [
        ("flag", "boolean"),
        ("orderid", "string"),
        ("price2", "decimal(9,2)"),
        ("promo", "string"),
        ("rate", "double"),
        ("when", "bigint"),
    ]
    fields, notes = read(schemas, [*contract_columns(ORDERS.contract), *added])
    assert {"orderId", "promo"} <= set(fields)
    assert notes == ()
    assert added_columns([*contract_columns(ORDERS.contract), *added], schemas) == []


def test_a_table_has_no_more_columns_than_it_may() -> None:
    known = contract_columns(ORDERS.contract)
    wide = {"a": record(**{f"c{number}": "string" for number in range(MOST_COLUMNS)})}
    assert len(known) + len(added_columns(known, wide)) == MOST_COLUMNS


def test_names_in_every_spelling_are_refused() -> None:
    column = RawColumn("ab", "string")
    three = record(ab="int", Ab="int", aB="int")
    assert list(read({"a": three}, [column])[0]) == ["AB"]
    with pytest.raises(ProcurementError, match="in every way"):
        reading([column], {"a": three, "b": record(AB="int")})


def test_a_column_that_came_later_is_empty_in_what_is_there() -> None:
    before = reading(contract_columns(ORDERS.contract), {"a": record(Order_ID="string")}).schema
    after = with_columns(before, [*contract_columns(ORDERS.contract), RawColumn("promo", "bigint")])
    assert json.loads(after)["fields"] == [*json.loads(before)["fields"], {"name": "promo", "type": ["null", "long"], "default": None}]
    assert with_columns(after, [RawColumn("promo", "bigint")]) == after


@pytest.mark.parametrize("sent", ["null", "bytes", ["null"], ["string", "int"], decimal(0, 0), decimal(39, 3), decimal(3, 4), {"type": []}])
def test_what_is_not_plain_has_no_type(sent: object) -> None:
    assert hive_type(sent) is None
