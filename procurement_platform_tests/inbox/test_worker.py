"""The decode pass whole: what a good file leaves, in every format alike, and the same bytes each time."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from procurement_platform.inbox.identity import file_id
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform.procurement.feeds import ORDERS, STOCK
from procurement_platform_tests.inbox.desk import DAY, NOON, WRITERS, Desk, avro, csv_bytes, order, stock

MIXED = [order(1), order(2, sku="NONE"), order(3, market="FR"), order(4, quantity=Decimal("0.001")), order(5, currency=None)]


@pytest.mark.parametrize("form", WRITERS)
def test_a_file_leaves_lines_quarantine_and_its_bytes(desk: Desk, form: str) -> None:
    content = WRITERS[form](MIXED)
    outcome = desk.decode(content, form)
    digest = hashlib.sha256(content).hexdigest()
    own_id = file_id("orders", DAY, f"DE.{form}", digest)
    assert (outcome.status, outcome.reason, outcome.sha256, outcome.file_id) == ("accepted", None, digest, own_id)
    assert (outcome.size, outcome.rows, outcome.accepted, outcome.quarantined) == (len(content), 5, 3, 2)
    assert (Decimal(outcome.accepted_quantity), Decimal(outcome.quarantined_quantity)) == (Decimal("5.001"), Decimal(5))
    assert outcome.raw_path == str(desk.root / "raw" / f"DE.{own_id}.{form}")
    assert Path(outcome.raw_path).read_bytes() == content
    parquet = f"DE.{form}.{own_id}.parquet"
    assert desk.left_behind() == sorted([f"inbox/DE.{form}", f"lines/{parquet}", f"quarantine/{parquet}", f"raw/DE.{own_id}.{form}"])
    assert desk.lines(outcome) == [
        {
            "run_date": DAY,
            "file_id": own_id,
            "row_number": number,
            "order_id": f"O-{number}",
            "line_number": 1,
            "market": "DE",
            "sku": f"SKU-{number % 5 + 1}",
            "quantity": quantity,
            "unit_price": Decimal("9.9900"),
            "currency": currency,
            "ordered_at_us": int(NOON.timestamp()) * 1_000_000,
            "customer_id": None,
        }
        for number, quantity, currency in [(1, Decimal("2.500"), "EUR"), (4, Decimal("0.001"), "EUR"), (5, Decimal("2.500"), None)]
    ]
    unknown, other = desk.quarantine(outcome)
    assert (unknown["row_number"], unknown["rule"], unknown["sku"], unknown["quantity"]) == (2, "UNKNOWN_PRODUCT", "NONE", Decimal("2.500"))
    assert unknown["reasons"].startswith("NONE is not an active product on 2025-12-20: correct the sku, or load the product and run")
    assert (other["row_number"], other["rule"], other["file"], other["feed"], other["market"]) == (
        3,
        "INVALID_ROW",
        f"DE.{form}",
        "orders",
        "DE",
    )
    assert other["reasons"] == (
        "market is FR, and the file is for DE: write DE, remove the row if it holds a total, or send the other market's rows "
        "in a file of its own"
    )
    assert '"order_id":"O-3"' in other["row"]


@pytest.mark.parametrize("form", WRITERS)
def test_lines_have_the_tables_types(desk: Desk, form: str) -> None:
    outcome = desk.decode(WRITERS[form](MIXED), form)
    assert pq.read_schema(outcome.lines_files[0]).remove_metadata() == ORDERS.lines.arrow


@pytest.mark.parametrize("form", WRITERS)
def test_the_same_file_gives_the_same_bytes(desk: Desk, form: str) -> None:
    def made() -> list[bytes]:
        outcome = desk.decode(WRITERS[form](MIXED * 300), form)
        return [Path(path).read_bytes() for path in (*outcome.lines_files, *outcome.quarantine_files)]

    assert made() == made()


@pytest.mark.parametrize("form", ["avro", "csv", "csv.gz", "parquet"])
def test_no_rows_is_a_file_too(desk: Desk, form: str) -> None:
    content = avro([]) if form == "avro" else b""
    if form.startswith("csv"):
        import gzip

        header = ",".join(order()).encode()
        content = header if form == "csv" else gzip.compress(header)
    if form == "parquet":
        import io

        target = io.BytesIO()
        whole = pq.read_table(io.BytesIO(WRITERS["parquet"]([order()])))
        pq.write_table(whole.slice(0, 0), target)
        content = target.getvalue()
    outcome = desk.decode(content, form)
    assert (outcome.status, outcome.rows, outcome.lines_files, outcome.quarantine_files) == ("accepted", 0, (), ())


@pytest.mark.parametrize("form", ["avro", "csv"])
def test_a_stock_file_without_rows_is_none(desk: Desk, form: str) -> None:
    """It would say that nothing is left of anything; an orders file without rows says that nobody ordered."""
    outcome = desk.decode(avro([], STOCK) if form == "avro" else ",".join(stock()).encode(), form, feed=STOCK)
    assert (outcome.status, outcome.lines_files) == ("rejected", ())
    assert "has columns and no rows, every product of the market would count as sold out: send what was counted" in str(outcome.reason)


def test_optional_columns_may_be_left_out_and_extra_ones_are_kept_out(desk: Desk) -> None:
    rows = [{key: value for key, value in order(n).items() if key not in ("currency", "customer_id")} | {"note": "x"} for n in (1, 2)]
    rows[1]["sku"] = "NONE"
    outcome = desk.decode(csv_bytes(rows), "csv")
    assert outcome.notes == ("columns kept out: 'note'",)
    [line] = desk.lines(outcome)
    assert (line["currency"], line["customer_id"]) == (None, None)
    assert '"note":"x"' in desk.quarantine(outcome)[0]["row"]


@pytest.mark.parametrize("form", WRITERS)
def test_what_pads_a_text_is_no_part_of_it(desk: Desk, form: str) -> None:
    padded = ["O-1 ", " O-1", "\u00a0O-1\u2003 ", "O 1", "\u200bO-1"]
    customers = ["C-7 ", " ", None, "C 7", "C-7"]
    rows = [order(1, order_id=number, customer_id=customer) for number, customer in zip(padded, customers, strict=True)]
    outcome = desk.decode(WRITERS[form](rows), form)
    found = [(line["order_id"], line["customer_id"]) for line in desk.lines(outcome)]
    assert found == [("O-1", "C-7"), ("O-1", None), ("O-1", None), ("O 1", "C 7"), ("\u200bO-1", "C-7")]


@pytest.mark.parametrize("form", WRITERS)
def test_a_code_that_is_padded_is_another(desk: Desk, form: str) -> None:
    rows = [order(1), order(2, sku="SKU-3 "), order(3, market="DE "), order(4, currency="EUR "), order(5, order_id="O-5\t")]
    outcome = desk.decode(WRITERS[form](rows), form)
    assert [line["row_number"] for line in desk.lines(outcome)] == [1]
    unknown, market, currency, control = (row["reasons"] for row in desk.quarantine(outcome))
    assert unknown.startswith("'SKU-3 ' is not an active product on 2025-12-20 (SKU-3 is): correct the sku, or load the product and run")
    assert market.startswith("market is 'DE ', and the file is for DE")
    assert currency.startswith("currency 'EUR ' is not of the form [A-Z]{3}")
    assert control.startswith("order_id O-5\N{REPLACEMENT CHARACTER} holds control characters")


def test_aliases_are_noted(desk: Desk) -> None:
    content = csv_bytes([order()]).replace(b"quantity", b"Qty").replace(b"order_id", b"order_no")
    outcome = desk.decode(content, "csv")
    assert outcome.notes == ("columns read: 'order_no' as order_id, 'Qty' as quantity",)
    assert outcome.accepted == 1


def test_two_columns_that_could_be_one_reject_the_file(desk: Desk) -> None:
    two = csv_bytes([order() | {"QTY": 7}]).replace(b"quantity", b"Qty")
    outcome = desk.decode(two, "csv")
    assert (outcome.status, outcome.accepted) == ("rejected", 0)
    assert "each of the columns 'Qty', 'QTY' could be quantity; give the one that is meant that very name" in str(outcome.reason)


def test_products_count_on_their_days_only(desk: Desk) -> None:
    outcome = desk.decode(csv_bytes([order(1, sku="SKU-OLD"), order(2, sku="SKU-NEW"), order(3)]), "csv")
    assert set(desk.reasons(outcome)) == {1, 2}


def test_a_product_whose_code_was_changed_on_the_way_is_guessed_at_and_not_taken(desk: Desk) -> None:
    rows = [order(n, sku=sku) for n, sku in enumerate(["sku-1", "000SKU-2", "\u00a0SKU-3 ", "SKU-9", "SKU 1"])]
    outcome = desk.decode(csv_bytes(rows), "csv")
    assert outcome.accepted == 0
    said = [row["reasons"].partition(": ")[0] for row in desk.quarantine(outcome)]
    on = "is not an active product on 2025-12-20"
    assert said == [f"sku-1 {on} (SKU-1 is)", f"000SKU-2 {on} (SKU-2 is)", f"'\u00a0SKU-3 ' {on} (SKU-3 is)", f"SKU-9 {on}", f"SKU 1 {on}"]


def test_stock_goes_the_same_way(desk: Desk) -> None:
    outcome = desk.decode(avro([stock(1), stock(2, counted_at=NOON)], STOCK), "avro", feed=STOCK)
    assert [(line["warehouse"], line["counted_at_us"]) for line in desk.lines(outcome)] == [
        ("W1", None),
        ("W2", int(NOON.timestamp() * 1e6)),
    ]
    assert pq.read_schema(outcome.lines_files[0]).remove_metadata() == STOCK.lines.arrow


def test_a_raw_copy_is_read_where_it_is(desk: Desk) -> None:
    content = avro(MIXED)
    first = desk.decode(content, "avro")
    again = replace(desk.task(content, "avro"), source=str(first.raw_path), raw_folder=None)
    [second] = desk.pool.run([again])
    assert replace(second, seconds={}, peak_memory_mib=0) == replace(first, seconds={}, peak_memory_mib=0)
    assert Path(str(first.raw_path)).read_bytes() == content


def test_many_rows_keep_their_numbers(desk: Desk) -> None:
    rows = [order(number, quantity=Decimal(0) if number % 1000 == 0 else Decimal(1)) for number in range(1, 30_001)]
    for form in ("avro", "csv", "parquet", "jsonl"):
        outcome = desk.decode(WRITERS[form](rows), form, name=f"DE__{form}")
        assert sorted(desk.reasons(outcome)) == list(range(1000, 30_001, 1000))
        assert [line["row_number"] for line in desk.lines(outcome)] == [number for number in range(1, 30_001) if number % 1000]
        assert all(line["order_id"] == f"O-{line['row_number']}" for line in desk.lines(outcome))


def test_memory_is_bounded(desk: Desk) -> None:
    """A block that unpacks to more than the process may take (512 MiB) ends in a rejection that says so; it never holds more."""
    idle = desk.decode(avro(MIXED), "avro").peak_memory_mib
    content = avro([order(order_id="x" * 600_000_000)], codec="deflate")
    outcome = desk.decode(content, "avro", max_block_bytes=2**31)
    assert outcome.status == "rejected"
    assert "memory" in str(outcome.reason)
    after = desk.decode(avro(MIXED), "avro")
    assert after.status == "accepted"
    assert max(outcome.peak_memory_mib, after.peak_memory_mib) < idle + 512


def test_tasks_and_outcomes_travel_as_json(desk: Desk) -> None:
    task = desk.task(b"", "csv")
    assert DecodeTask.from_json(task.to_json()) == task
    outcome = DecodeOutcome("rejected", "ä\n", lines_files=("a",), seconds={"all": 1.0})
    assert DecodeOutcome.from_json(outcome.to_json()) == outcome
    assert "\n" not in outcome.to_json()


def test_a_worker_imports_nothing_heavy() -> None:
    code = "import sys, procurement_platform.inbox.worker; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"POLARS_MAX_THREADS": "1"}
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"dagster", "duckdb", "psycopg", "typer", "sqlalchemy", "pydantic", "pyiceberg", "pandas"})
