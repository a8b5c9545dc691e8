import json
from collections.abc import Sequence
from decimal import Decimal

import fastavro
import pytest

from procurement_platform.errors import ConfigurationError, InvalidFile
from procurement_platform.inbox.contracts import Contract, contract_from_avsc
from procurement_platform.inbox.feeds import Feed
from procurement_platform.procurement.feeds import FEEDS, ORDERS, STOCK

FIELDS: list[dict[str, object]] = [
    {"name": "market", "type": "string", "role": "market"},
    {"name": "sku", "type": "string", "role": "sku", "aliases": ["article"]},
    {"name": "n", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 3}, "role": "measure", "above": "0.5"},
    {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None, "aliases": ["n2"]},
]


def contract(fields: Sequence[object] = FIELDS) -> Contract:
    return contract_from_avsc(json.dumps({"type": "record", "name": "Line", "fields": fields}))


def test_reads_kinds_rules_and_roles() -> None:
    market, sku, number, seen = contract().fields
    assert (market.kind, market.optional, contract().market) == ("text", False, market)
    assert contract().sku == sku
    assert (number.kind, number.precision, number.scale, number.above) == ("decimal", 18, 3, Decimal("0.5"))
    assert contract().measure == number
    assert (seen.kind, seen.optional, seen.column) == ("instant", True, "seen_us")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["market", "sku", "n"], {"market": "market", "sku": "sku", "n": "n"}),
        (["MARKET", " Article ", "N"], {"market": "MARKET", "sku": " Article ", "n": "N"}),
        (["article", "sku"], {"sku": "sku"}),
        (["Sku", "sku"], {"sku": "sku"}),
        (["sku", "SKU", "Article", "article"], {"sku": "sku"}),
        (["other"], {}),
    ],
)
def test_matches_columns_by_name_then_by_other_names_and_without_case(columns: list[str], expected: dict[str, str]) -> None:
    assert contract().match(columns) == expected


@pytest.mark.parametrize("columns", [["SKU", "article"], ["Sku", "SKU"], ["article", "ARTICLE"], ["n", "article", " sku", "market"]])
def test_several_columns_that_could_be_one_are_not_guessed_at(columns: list[str]) -> None:
    several = ", ".join(repr(name) for name in columns if name.strip().casefold() in ("sku", "article"))
    with pytest.raises(InvalidFile) as caught:
        contract().match(columns)
    assert str(caught.value) == f"each of the columns {several} could be sku; give the one that is meant that very name"


def test_two_fields_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"two fields may be called article$"):
        contract([*FIELDS, {"name": "Article", "type": "string"}])


@pytest.mark.parametrize("declared", ["double", "long", {"type": "array", "items": "string"}, {"type": "bytes"}])
def test_refuses_types_without_an_exact_meaning(declared: object) -> None:
    with pytest.raises(ConfigurationError, match="field x"):
        contract([*FIELDS, {"name": "x", "type": declared}])


def test_refuses_a_role_held_by_none_or_two() -> None:
    with pytest.raises(ConfigurationError, match="role market"):
        contract(FIELDS[1:])
    with pytest.raises(ConfigurationError, match="role sku"):
        contract([*FIELDS, {"name": "x", "type": "string", "role": "sku"}])


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_feeds_lines_hold_every_field_with_its_type(feed: Feed) -> None:
    types = {"text": "varchar", "integer": "integer", "instant": "bigint"}
    declared = {
        field.column: f"decimal({field.precision},{field.scale})" if field.kind == "decimal" else types[field.kind]
        for field in feed.contract.fields
    }
    own = ("run_date", "file_id", "row_number")
    assert {column.name: column.type for column in feed.lines.columns if column.name not in own} == declared
    assert {column.name for column in feed.lines.columns if column.required} - set(own) == {
        field.column for field in feed.contract.fields if not field.optional
    }


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_contract_is_an_avro_schema(feed: Feed) -> None:
    fastavro.parse_schema(json.loads(feed.contract.avsc))


def test_quantities_are_bounded() -> None:
    for feed in (ORDERS, STOCK):
        for field in feed.contract.fields:
            assert field.kind != "decimal" or (field.limit and (field.above is not None or field.at_least is not None))
