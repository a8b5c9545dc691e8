"""What the quarantine shows of rows that conflict: each as its market sent it, read again from the raw copy."""

import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest

from procurement_platform.engines.base import Relation
from procurement_platform.errors import InputGone
from procurement_platform.inbox.container import Header, encode_block, encode_header
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform.platform import Platform
from procurement_platform.procurement.duplicates import find_repeated
from procurement_platform.procurement.feeds import ORDERS
from procurement_platform_tests.procurement.shop import DAY, NOON, Shop, count, order

NEXT = DAY + dt.timedelta(days=1)


def shown(shop: Shop, day: dt.date = DAY) -> dict[tuple[str, int], dict[str, object]]:
    """(file, row number) → the row, of all that conflicts."""
    rows = [row for row in shop.rows(QUARANTINE, day) if row["rule"] == "CONFLICTING_ORDER"]
    return {(str(row["file"]), int(str(row["row_number"]))): json.loads(str(row["row"])) for row in rows}


def test_each_row_is_shown_as_its_file_has_it(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 1), order("2", "B", 2)], day=DAY)
    again = order("1", "A", 3, Bemerkung="korrigiert; bitte beachten")
    shop.put("orders", "DE", [order("9", "C", 1), again], suffix="__b", form="csv", day=NEXT)
    line = b'{"Market":"DE","order_no":"9","article":"C","Qty":1.50,"price":9.99,"orderedAt":"2025-12-20 13:00"}'
    shop.put_bytes("orders", "DE__c.jsonl", b"\n" + line, day=NEXT)
    shop.put("stock", "GB", [count("A", 5, warehouse="W"), count("A", 6, warehouse="W"), count("B", 1)], day=NEXT)
    shop.run()
    assert shown(shop) == {}
    shop.run(NEXT)
    sent = {"market": "DE", "unit_price": "9.99", "ordered_at": "2025-12-20T12:00:00Z"}
    counted = {"market": "GB", "sku": "A", "reserved": "0.000", "counted_at": None, "warehouse": "W"}
    assert shown(shop, NEXT) == {
        ("DE__b.csv", 1): {**sent, "order_id": "9", "sku": "C", "quantity": "1", "Bemerkung": None},
        ("DE__b.csv", 2): {**sent, "order_id": "1", "sku": "A", "quantity": "3", "Bemerkung": "korrigiert; bitte beachten"},
        ("DE__c.jsonl", 2): json.loads(line) | {"Qty": "1.50", "price": "9.99"},
        ("GB.avro", 1): {**counted, "available": "5.000"},
        ("GB.avro", 2): {**counted, "available": "6.000"},
    }  # fmt: skip


def test_the_raw_copy_is_read_where_the_inbox_has_the_file_no_more(shop: Shop) -> None:
    path = shop.put("orders", "DE", [order("1", "A", 1, note="x"), order("1", "A", 2, note="y")], form="csv")
    shop.run()
    first = shown(shop)
    path.unlink()
    shop.run()
    assert shown(shop) == first
    assert [row["note"] for row in first.values()] == ["x", "y"]


def test_files_without_conflicts_are_not_read_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    run = shop.platform.decoders.run

    def noting(tasks: Iterable[DecodeTask]) -> Iterator[DecodeOutcome]:
        listed = list(tasks)
        read.extend(f"{task.feed} {task.file_name}" for task in listed if task.asked)
        return run(listed)

    monkeypatch.setattr(shop.platform.decoders, "run", noting)
    shop.put("orders", "DE", [order("1", "A", 1), order("1", "A", 1)])
    shop.put("orders", "GB", [order("1", "A", 1)])
    shop.run()
    assert read == []
    shop.put("orders", "GB", [order("1", "A", 2)], suffix="__b")
    shop.run()
    assert sorted(read) == ["orders GB.avro", "orders GB__b.avro"]


@pytest.mark.parametrize("form", ["avro", "csv"])
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
def test_a_raw_copy_that_goes_or_changes_meanwhile_stops_the_run_and_nothing_is_recorded(
    shop: Shop, form: str, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("orders", "DE", [order("1", "A", 1)], form=form)
    shop.run()
    ledger, demand = shop.ledger(), shop.demand()
    known = {Path(file.raw_path).name for file in ledger.values()}
    shop.put("orders", "DE", [order("1", "A", 1), order("1", "A", 2)], form=form)

    def spoil(*given: Any) -> Relation:
        found = find_repeated(*given)
        for copy in Path(shop.platform.lake.path("raw/orders", DAY.isoformat())).rglob(f"DE.*.{form}"):
            if copy.name not in known:
                copy.unlink() if gone else copy.write_bytes(copy.read_bytes()[:-20])
        return found

    with monkeypatch.context() as patch:
        patch.setattr("procurement_platform.procurement.intake.find_repeated", spoil)
        with pytest.raises(InputGone, match="put the file into the inbox again, or withdraw it"):
            shop.run()
    assert (shop.ledger(), shop.demand()) == (ledger, demand)
    shop.run()
    assert len(shown(shop)) == 2


def test_rows_that_need_more_memory_than_a_decoder_may_take_are_shown_by_their_values(shop: Shop) -> None:
    """A market's file is taken in by the contract's columns alone; all its others at once may not fit. It keeps nobody's day waiting."""
    settings = shop.platform.settings.model_copy(update={"decode_memory_mib": 256})
    shop.platform.close()
    small = Shop(Platform(settings))
    small.put_bytes("orders", "DE.avro", _wide(190, 120_000))
    small.put("orders", "GB", [order("1", "A", 1), order("1", "A", 2)])
    small.run()
    rows = shown(small)
    assert rows["GB.avro", 2]["quantity"] == "2.000"
    assert rows["DE.avro", 1] | {"ordered_at_us": 0} == {
        "order_id": "O-000000", "line_number": None, "market": "DE", "sku": "A", "quantity": "1.000", "unit_price": "9.9900",
        "currency": None, "ordered_at_us": 0, "customer_id": None,
    }  # fmt: skip
    file = small.ledger()["orders", "DE.avro", "accepted"]
    assert (file.rows, file.accepted, file.quarantined) == (120_000, 119_998, 2)
    assert "conflicting rows are not shown as they were sent: orders 2025-12-20 DE.avro " in str(file.notes)
    assert "PROCUREMENT_DECODE_MEMORY_MIB" in str(file.notes)
    small.platform.close()


def _wide(columns: int, rows: int) -> bytes:
    """One block with many columns that are empty in every row; its last row has the order of its first, with another quantity."""
    schema = json.loads(ORDERS.contract.avsc)
    schema["fields"] += [{"name": f"empty {number}", "type": ["null", "string"]} for number in range(columns)]
    own = fastavro.parse_schema(json.loads(ORDERS.contract.avsc))

    def row(order_id: str, quantity: int) -> bytes:
        sink = io.BytesIO()
        values = {"order_id": order_id, "market": "DE", "sku": "A", "quantity": Decimal(quantity), "unit_price": Decimal("9.99")}
        fastavro.schemaless_writer(sink, own, {**values, "ordered_at": NOON})
        return sink.getvalue() + bytes(columns)

    template = row("O-######", 1)
    head, tail = template.split(b"######")
    data = [b"%s%06d%s" % (head, number, tail) for number in range(rows - 1)]
    sync = b"0123456789abcdef"
    return encode_header(Header(schema, "null", sync)) + encode_block(rows, b"".join([*data, row("O-000000", 2)]), sync)
