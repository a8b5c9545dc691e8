"""Rows asked for by their numbers, once a file was decoded: shown as the quarantine shows a row of that file that breaks a rule."""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procurement_platform.inbox.as_sent import Asked, asked_of
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform.procurement.feeds import ORDERS
from procurement_platform_tests.inbox.desk import Desk, Row, avro, csv_bytes, jsonl, order, parquet

SCHEMA = json.loads(ORDERS.contract.avsc)
KIND = "CONFLICTING_ORDER"
NOTES = [None, 'said "two", not 2; or\nthree', "Grüße", "x" * 1500]


def noted(rows: Sequence[Row]) -> list[Row]:
    """Rows with columns of no contract, some of them empty."""
    return [{"note": NOTES[number % 4], **row, "rank": number} for number, row in enumerate(rows)]


def avro_of(rows: Sequence[Row], codec: str = "deflate", **more: object) -> bytes:
    """Blocks of a few rows each."""
    fields = [{"name": "note", "type": ["null", "string"]}, *SCHEMA["fields"], {"name": "rank", "type": "int"}]
    fields += [{"name": name, "type": {"type": "map", "values": "int"}} for name in more]
    return avro([{**row, **more} for row in noted(rows)], schema={**SCHEMA, "fields": fields}, codec=codec, sync=200)


def odd_csv(rows: Sequence[Row]) -> bytes:
    """With ';', an empty line and one that is no row."""
    header, *lines = csv_bytes(noted(rows), ";").split(b"\r\n", 1)
    return header + b"\r\n\r\ntoo;few\r\n" + b"".join(lines)


def odd_jsonl(rows: Sequence[Row]) -> bytes:
    """With keys that other lines lack, an empty line and one that is no JSON."""
    lines = [{**row, "only here": [1, {"a": None}]} if number % 3 else row for number, row in enumerate(noted(rows))]
    return b"\n{broken\n" + jsonl(lines)


FORMS: dict[str, tuple[str, Callable[[Sequence[Row]], bytes]]] = {
    "avro": ("avro", avro_of),
    "avro, row by row": ("avro", lambda rows: avro_of(rows, tags={"a": 1})),
    "csv": ("csv", odd_csv),
    "csv.gz": ("csv.gz", lambda rows: gzip.compress(csv_bytes(noted(rows), "\t"))),
    "jsonl": ("jsonl", odd_jsonl),
    "parquet": ("parquet", lambda rows: parquet(noted(rows), {"note": pa.string(), "customer_id": pa.string()})),
}


def asking(desk: Desk, task: DecodeTask, file_id: str, numbers: Iterable[int]) -> DecodeTask:
    """The task that asks for rows of the raw copy that is a task's source, among what another file and other rows are asked for."""
    rows = [("0" * 16, 2, KIND), *((file_id, number, KIND) for number in sorted(numbers)), (file_id, 10**9, "DUPLICATE_ORDER")]
    path = desk.root / "repeated.parquet"
    pl.DataFrame(rows, schema={"file_id": pl.String, "row_number": pl.Int64, "kind": pl.String}, orient="row").write_parquet(path)
    return replace(task, raw_folder=None, lines_folder=str(desk.root / "shown"), asked=(str(path),), asked_kind=KIND)


def shown(outcome: DecodeOutcome) -> dict[int, str]:
    found = [row for file in outcome.lines_files for row in pq.read_table(file).to_pylist()]
    assert {row["file_id"] for row in found} <= {outcome.file_id}
    assert [row["row_number"] for row in found] == sorted(row["row_number"] for row in found)
    return {row["row_number"]: row["row"] for row in found}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.integers(0, 39), min_size=1, max_size=39), seed=st.integers(0, 9))
def test_a_row_that_is_asked_for_is_shown_as_one_that_breaks_a_rule(desk: Desk, form: str, bad: set[int], seed: int) -> None:
    name, write = FORMS[form]
    content = write([order(number + seed, sku=f"NONE-{number}" if number in bad else "SKU-1") for number in range(40)])
    decoded = desk.decode(content, name)
    rejected = {row["row_number"]: row["row"] for row in desk.quarantine(decoded) if row["rule"] == "UNKNOWN_PRODUCT"}
    assert len(rejected) == len(bad)
    [outcome] = desk.pool.run([asking(desk, desk.task(content, name), decoded.file_id, rejected)])
    assert (outcome.status, outcome.rows, outcome.sha256) == ("accepted", len(bad), decoded.sha256)
    assert shown(outcome) == rejected


def test_a_row_has_what_the_contract_does_not_ask_for_as_the_market_wrote_it(desk: Desk) -> None:
    content = csv_bytes([order(1, quantity="02.50", ordered_at="2025-12-20 14:03", Bemerkung='"eilig"')], ";")
    content = content.replace(b"order_id", b"Order_No")
    decoded = desk.decode(content, "csv")
    [outcome] = desk.pool.run([asking(desk, desk.task(content, "csv"), decoded.file_id, [1])])
    assert json.loads(shown(outcome)[1]) == {
        "Order_No": "O-1",
        "line_number": "1",
        "market": "DE",
        "sku": "SKU-2",
        "quantity": "02.50",
        "unit_price": "9.9900",
        "currency": "EUR",
        "ordered_at": "2025-12-20 14:03",
        "customer_id": None,
        "Bemerkung": '"eilig"',
    }


@pytest.mark.parametrize("form", ["avro", "avro, row by row"])
def test_of_avro_only_blocks_with_a_row_that_is_asked_for_are_unpacked(desk: Desk, form: str) -> None:
    """One whose bytes are damaged keeps nobody from reading the others, unless a row of it is asked for."""
    _, write = FORMS[form]
    content = bytearray(write([order(number) for number in range(400)]))
    sync = b"0123456789abcdef"
    second = content.index(sync, content.index(sync) + 16) + 16  # after the header's marker and the first block's
    content[second + 10 : second + 40] = bytes(30)
    task = desk.task(bytes(content), "avro")
    assert desk.decode(bytes(content), "avro").status == "rejected"
    file_id = desk.decode(bytes(content), "avro").file_id
    [outcome] = desk.pool.run([asking(desk, task, file_id, [1, 2, 399, 400])])
    assert {number: json.loads(row)["order_id"] for number, row in shown(outcome).items()} == {
        1: "O-0", 2: "O-1", 399: "O-398", 400: "O-399",
    }  # fmt: skip
    [damaged] = desk.pool.run([asking(desk, task, file_id, range(1, 401))])
    assert (damaged.status, damaged.lines_files) == ("rejected", ())


def test_nothing_is_left_of_what_cannot_be_shown_and_the_raw_copy_stays(desk: Desk) -> None:
    task = desk.task(b"\x89PNG", "avro")
    [outcome] = desk.pool.run([asking(desk, task, "1" * 16, [1])])
    assert (outcome.status, outcome.raw_path) == ("rejected", task.source)
    assert desk.left_behind() == ["inbox/DE.avro", "repeated.parquet"]


def test_the_same_rows_give_the_same_bytes(desk: Desk) -> None:
    content = avro_of([order(number) for number in range(3000)])
    task, file_id = desk.task(content, "avro"), desk.decode(content, "avro").file_id

    def made() -> bytes:
        [outcome] = desk.pool.run([asking(desk, task, file_id, range(1, 3001, 2))])
        assert outcome.rows == 1500
        return Path(outcome.lines_files[0]).read_bytes()

    assert made() == made()


@given(st.sets(st.integers(1, 200)), st.lists(st.integers(1, 30), max_size=30), st.integers(1, 20))
def test_the_rows_asked_for_are_all_taken_once(numbers: set[int], steps: list[int], piece: int) -> None:
    ascending = sorted(numbers)
    pieces = [pl.Series(ascending[at : at + piece], dtype=pl.Int64) for at in range(0, len(ascending), piece)]
    asked, last = Asked(pieces), 0
    for step in steps:
        first, last = last + 1, last + step
        mine = [number for number in ascending if first <= number <= last]
        assert asked.any(first, last) is bool(mine)
        assert asked.take(last).to_list() == mine
    assert asked.take(1000).to_list() == [number for number in ascending if number > last]


def test_rows_asked_for_in_no_order_are_refused() -> None:
    asked = Asked([pl.Series([3, 4]), pl.Series([1])])
    with pytest.raises(ValueError, match="do not ascend"):
        asked.take(10)


def test_a_files_rows_are_found_in_whichever_row_group_they_are(tmp_path: Path) -> None:
    frame = pl.DataFrame({"file_id": [f"{number // 25:016}" for number in range(100)], "row_number": [*range(25)] * 4, "kind": KIND})
    for rows in (1, 7, 25, 1000):
        frame.write_parquet(tmp_path / f"{rows}.parquet", row_group_size=rows)
        files = [str(tmp_path / f"{rows}.parquet")]
        assert [number for piece in asked_of(files, f"{2:016}", KIND) for number in piece] == [*range(25)]
        assert [number for piece in asked_of(files, f"{2:016}", "DUPLICATE_ORDER") for number in piece] == []
