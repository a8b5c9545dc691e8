"""Files that are broken, mean or merely odd: each ends in a clear outcome, and the pool goes on to the next file."""

import gzip
import io
import json
import random
import struct
from decimal import Decimal

import cramjam
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.inbox.container import Header, encode_block, encode_bytes, encode_header, encode_long
from procurement_platform.procurement.feeds import ORDERS, STOCK
from procurement_platform_tests.inbox.desk import DAY, NOON, WRITERS, Desk, avro, csv_bytes, jsonl, order, parquet, stock

ROWS = [order(number) for number in range(1, 201)]
SCHEMA = json.loads(ORDERS.contract.avsc)


def rejected(desk: Desk, content: bytes, form: str, **changes: object) -> str:
    outcome = desk.decode(content, form, **changes)
    assert outcome.status == "rejected"
    assert outcome.reason
    name = f"DE.{form}"
    assert outcome.reason.startswith(f"orders {DAY} {name} ")
    kept = f"rejected/DE.{outcome.file_id}.{form}"
    assert desk.left_behind() == [f"inbox/{name}", kept]
    assert (desk.root / kept).read_bytes() == content
    return outcome.reason


@pytest.mark.parametrize("form", WRITERS)
def test_no_bytes_are_no_file(desk: Desk, form: str) -> None:
    assert "is empty" in rejected(desk, b"", form)


@pytest.mark.parametrize("form", ["avro", "csv.gz", "parquet"])
@pytest.mark.parametrize("part", [0.01, 0.3, 0.7, 0.999])
def test_cut_off(desk: Desk, form: str, part: float) -> None:
    whole = WRITERS[form](ROWS)
    reason = rejected(desk, whole[: int(len(whole) * part)], form)
    assert "cut off" in reason or "cannot be read" in reason or "no Avro file" in reason


@pytest.mark.parametrize("form", ["avro", "csv.gz", "parquet", "jsonl", "csv"])
def test_something_else_under_the_name(desk: Desk, form: str) -> None:
    assert rejected(desk, b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, form)


@pytest.mark.parametrize("form", WRITERS)
def test_a_required_column_is_missing(desk: Desk, form: str) -> None:
    rows = [{name: value for name, value in row.items() if name not in ("sku", "quantity")} for row in ROWS]
    schema = SCHEMA | {"fields": [field for field in SCHEMA["fields"] if field["name"] not in ("sku", "quantity")]}
    reason = rejected(desk, avro(rows, schema=schema) if form == "avro" else WRITERS[form](rows), form)
    assert "lacks the columns sku, quantity (it has: order_id, " in reason


@pytest.mark.parametrize("form", WRITERS)
def test_every_row_is_another_markets(desk: Desk, form: str) -> None:
    reason = rejected(desk, WRITERS[form]([order(number, market="FR") for number in range(30)]), form)
    assert "no row for DE: all 30 rows name another market, such as 'FR'" in reason


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_broken_row_does_not_hide_that_every_row_is_another_markets(desk: Desk, form: str) -> None:
    reason = rejected(desk, WRITERS[form]([order(number, market="FR") for number in range(30)]) + b"{broken\n", form)
    assert (
        "no row for DE: all 30 rows name another market, such as 'FR'; send it under its own market's name (1 more name none that can be"
        in reason
    )
    assert "read: row 31 " in reason


@pytest.mark.parametrize("form", WRITERS)
def test_rows_without_a_market_do_not_hide_it_either(desk: Desk, form: str) -> None:
    reason = rejected(desk, WRITERS[form]([order(number, market="FR" if number else " ") for number in range(30)]), form)
    assert reason.endswith(
        "all 29 rows name another market, such as 'FR'; send it under its own market's name (1 more name none that can be read); "
        "once it has come under another name, `procurement files withdraw` ends this line"
    )


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "parquet"])
def test_columns_named_like_patterns_are_shown_under_their_names(desk: Desk, form: str) -> None:
    extra = {"*": "a", "^sku$": "b", "^.*$": "c"}
    outcome = desk.decode(WRITERS[form]([order(1, sku="NONE") | extra, order(2) | extra]), form)
    assert (outcome.status, outcome.accepted) == ("accepted", 1)
    [row] = desk.quarantine(outcome)
    sent = json.loads(row["row"])
    assert {name: sent[name] for name in [*extra, "sku"]} == extra | {"sku": "NONE"}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_that_cannot_be_read_keep_their_place_among_rejected_ones(desk: Desk, form: str) -> None:
    """Good, rejected and unreadable rows in turn, more than are shown at once."""
    wrong = {"csv": b'O-1,1,"D"E\n', "jsonl": b"{broken\n"}[form]
    header = 1 if form == "csv" else 0
    lines = WRITERS[form]([order(number, sku="NONE" if number % 3 == 1 else "SKU-1") for number in range(9000)]).splitlines(keepends=True)
    lines[header:] = [wrong if number % 3 == 2 else line for number, line in enumerate(lines[header:])]
    outcome = desk.decode(b"".join(lines), form)
    assert (outcome.accepted, outcome.quarantined) == (3000, 6000)
    found = desk.quarantine(outcome)
    assert [row["row_number"] for row in found] == [number + 1 for number in range(9000) if number % 3]
    sent = [json.loads(row["row"]) for row in found]
    assert [row.get("order_id") for row in sent[::2]] == [f"O-{number}" for number in range(1, 9000, 3)]
    assert {tuple(row) for row in sent[1::2]} == {("line",)}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_markets_that_are_not_utf8_are_told_before_other_broken_rows(desk: Desk, form: str) -> None:
    latin_1 = WRITERS[form]([order(1, market="FR"), order(2, market="D#")]).replace(b"D#", b"D\xcb").splitlines(keepends=True)
    reason = rejected(desk, b"".join([*latin_1[:-1], b"{broken\n", latin_1[-1]]), form)
    assert (
        "all 1 rows name another market, such as 'FR'; send it under its own market's name (2 more name none that can be read: row 3 is not"
        in reason
    )
    assert " has the byte 0xcb; export the file as UTF-8)" in reason


LATIN_1 = {  # what a file is told whose text is Latin-1 somewhere, and where that is not in a row of its own
    "avro": "is damaged in block 1, or not UTF-8: a text in row 2 has the byte 0xfc; export the file as UTF-8, send it again",
    "parquet": "is not UTF-8: the order_id of row 2 has the byte 0xfc; export the file as UTF-8",
}


@pytest.mark.parametrize("form", LATIN_1)
def test_texts_that_are_not_utf8_are_not_taken(desk: Desk, form: str) -> None:
    content = WRITERS[form]([order(1), order(2, order_id="Mxller"), order(3)]).replace(b"Mxller", b"M\xfcller")
    assert rejected(desk, content, form).endswith(LATIN_1[form])


def test_nested_avro_that_is_not_utf8_is_told(desk: Desk) -> None:
    fields = json.loads(ORDERS.contract.avsc)["fields"]
    schema = {"type": "record", "name": "row", "fields": [*fields, {"name": "more", "type": {"type": "map", "values": "string"}}]}
    content = avro([order(1, more={"note": "Mxller"})], schema=schema).replace(b"Mxller", b"M\xfcller")
    assert "or not UTF-8: a text in row 1 has the byte 0xfc" in rejected(desk, content, "avro")


@pytest.mark.parametrize(
    ("form", "name", "told"),
    [("avro", b'"doc"', "its Avro schema"), ("parquet", b"customer_id", "a column's name"), ("jsonl", b'"order_id"', "it")],
)
def test_names_that_are_not_utf8_are_told(desk: Desk, form: str, name: bytes, told: str) -> None:
    content = WRITERS[form]([order(1)])
    assert name in content
    content = content.replace(name, name[:2] + b"\xfc" + name[3:])
    assert f"is not UTF-8: {told} has the byte 0xfc; export the file as UTF-8" in rejected(desk, content, form)


def test_one_row_of_its_own_makes_it_the_markets_file(desk: Desk) -> None:
    """Also a row that is quarantined: it was sent for the market."""
    rows = [order(number, market="FR") for number in range(30)]
    outcome = desk.decode(csv_bytes([*rows, order(31, quantity=Decimal(0))]), "csv")
    assert (outcome.status, outcome.accepted, outcome.quarantined) == ("accepted", 0, 31)
    blank = desk.decode(csv_bytes([order(1, market=""), order(2, market="")]), "csv", name="DE__blank")
    assert (blank.status, blank.quarantined) == ("accepted", 2)


def test_broken_rows_keep_a_product_that_can_be_told(desk: Desk) -> None:
    header, first, *rest = csv_bytes([stock(number) for number in range(1, 5)]).decode().splitlines()
    slipped = rest[1].replace("DE,", "DE,x,", 1)
    content = "\n".join([header, first, rest[0] + ",more", slipped, rest[2].rsplit(",", 2)[0], "DE"])
    outcome = desk.decode(content.encode(), "csv", feed=STOCK)
    assert outcome.accepted == 1
    assert [(row["row_number"], row["sku"], row["quantity"]) for row in desk.quarantine(outcome)] == [
        (2, "SKU-3", None),
        (3, None, None),
        (4, "SKU-5", None),
        (5, None, None),
    ]


def test_broken_lines_of_json_keep_a_product_that_can_be_told(desk: Desk) -> None:
    lines = jsonl([stock(number) for number in range(1, 6)]).decode().splitlines()
    lines[1] = lines[1].replace('"10"', "[10]")
    lines[2] = lines[2].replace("{", '{"sku": "SKU-1", ')
    lines[3] = lines[3].replace('"10"', "[10]").replace("SKU-5", "NONE")
    lines[4] = lines[4].replace('"10"', "[10]").replace("SKU-1", "SKU-OLD")
    outcome = desk.decode("\n".join([*lines, "[]", '{"sku']).encode(), "jsonl", feed=STOCK)
    assert outcome.accepted == 1
    told = {row["row_number"]: row["sku"] for row in desk.quarantine(outcome)}
    assert told == {2: "SKU-3", 3: None, 4: None, 5: None, 6: None, 7: None}


def test_floats_are_refused_for_quantities(desk: Desk) -> None:
    schema = SCHEMA | {"fields": [field | {"type": "double"} if field["name"] == "quantity" else field for field in SCHEMA["fields"]]}
    reason = rejected(desk, avro([order(quantity=2.5)], schema=schema), "avro")
    assert "column quantity of the type double" in reason
    assert "floating point is not exact" in reason


def test_floats_in_parquet_are_refused_for_prices(desk: Desk) -> None:
    assert "unit_price of the type double" in rejected(desk, parquet([order(unit_price=1.5)], {"unit_price": pa.float64()}), "parquet")


def test_plain_numbers_are_no_instants(desk: Desk) -> None:
    schema = SCHEMA | {"fields": [field | {"type": "long"} if field["name"] == "ordered_at" else field for field in SCHEMA["fields"]]}
    assert "ordered_at of the type long: send a timestamp" in rejected(desk, avro([order(ordered_at=1)], schema=schema), "avro")


@pytest.mark.parametrize("codec", ["deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_a_bomb_in_a_block(desk: Desk, codec: str) -> None:
    bomb = avro([order(order_id="x" * 30_000_000)], codec=codec)
    reason = rejected(desk, bomb, "avro", max_block_bytes=1_000_000)
    assert "block 1 (from row 1)" in reason
    assert "PROCUREMENT_MAX_BLOCK_BYTES" in reason


def test_a_bomb_of_many_blocks(desk: Desk) -> None:
    assert "PROCUREMENT_MAX_DECODED_BYTES" in rejected(desk, avro(ROWS, codec="deflate", sync=500), "avro", max_decoded_bytes=5000)


def test_a_gzip_bomb(desk: Desk) -> None:
    bomb = gzip.compress(csv_bytes(ROWS) + b"\n" * 12_000_000)
    assert "PROCUREMENT_MAX_DECODED_BYTES" in rejected(desk, bomb, "csv.gz", max_decoded_bytes=2_000_000)


def test_a_gzip_bomb_of_one_line(desk: Desk) -> None:
    bomb = gzip.compress(csv_bytes(ROWS) + b"x" * 60_000_000)
    assert "in line 202" in rejected(desk, bomb, "csv.gz", max_block_bytes=10_000_000)


def test_a_snappy_block_that_declares_gigabytes(desk: Desk) -> None:
    header = encode_header(Header(SCHEMA, "snappy", b"s" * 16)).replace(encode_bytes(b"null"), encode_bytes(b"snappy"), 1)
    # The header's own text may hold "null" first: build it by hand.
    header = (
        b"Obj\x01" + encode_long(2) + encode_bytes(b"avro.schema") + encode_bytes(json.dumps(SCHEMA).encode())
        + encode_bytes(b"avro.codec") + encode_bytes(b"snappy") + encode_long(0) + b"s" * 16
    )  # fmt: skip
    packed = b"\xff\xff\xff\xff\x0f" + bytes(cramjam.snappy.compress_raw(b"x"))[1:] + b"0000"
    assert "PROCUREMENT_MAX_BLOCK_BYTES" in rejected(desk, header + encode_block(1, packed, b"s" * 16), "avro")


@pytest.mark.parametrize(("rows", "size"), [(2**40, 100), (-1, 100), (5, -1), (5, 2**50), (0, 100)])
def test_a_block_that_lies_about_itself(desk: Desk, rows: int, size: int) -> None:
    header = encode_header(Header(SCHEMA, "null", b"s" * 16))
    reason = rejected(desk, header + encode_long(rows) + encode_long(size) + bytes(100) + b"s" * 16, "avro")
    assert "block 1 (from row 1)" in reason


def test_a_block_with_more_rows_than_it_declares(desk: Desk) -> None:
    data = avro(ROWS[:2])
    start = data.index(b"0123456789abcdef") + 16
    assert data[start : start + 1] == encode_long(2)
    reason = rejected(desk, data[:start] + encode_long(1) + data[start + 1 :], "avro")
    assert "block 1 (rows 1 to 1): its rows do not fill it exactly" in reason


def test_the_damaged_block_is_named(desk: Desk) -> None:
    data = bytearray(avro(ROWS, sync=500))
    marks = [at for at in range(len(data)) if data.startswith(b"0123456789abcdef", at)]
    data[marks[3] + 16] ^= 2  # the rows that block 4 declares
    assert "block 4" in rejected(desk, bytes(data), "avro")


def test_arrays_of_nothing_do_not_hang(desk: Desk) -> None:
    schema = SCHEMA | {"fields": [{"name": "void", "type": {"type": "array", "items": "null"}}, *SCHEMA["fields"]]}
    header = encode_header(Header(schema, "null", b"s" * 16))
    data = encode_long(2**60) + bytes(200)
    assert "memory" in rejected(desk, header + encode_block(1, data, b"s" * 16), "avro")


def test_a_schema_without_end(desk: Desk) -> None:
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["Node", "null"]}]}
    schema = SCHEMA | {"fields": [{"name": "node", "type": node}, *SCHEMA["fields"]]}
    header = encode_header(Header(schema, "null", b"s" * 16))
    reason = rejected(desk, header + encode_block(1, bytes(5_000_000), b"s" * 16), "avro")
    assert "row 1" in reason or "needs more memory than decoding one file may take" in reason


def test_a_schema_nested_without_measure(desk: Desk) -> None:
    text = b'{"type":"array","items":' * 100_000 + b'"int"' + b"}" * 100_000
    header = b"Obj\x01" + encode_long(1) + encode_bytes(b"avro.schema") + encode_bytes(text[:900_000]) + encode_long(0) + b"s" * 16
    assert "schema" in rejected(desk, header, "avro")


@pytest.mark.parametrize("size", [2**31, 2**62, -5])
def test_a_text_longer_than_the_file(desk: Desk, size: int) -> None:
    header = encode_header(Header(SCHEMA, "null", b"s" * 16))
    assert "block 1" in rejected(desk, header + encode_block(1, encode_long(size) + bytes(60), b"s" * 16), "avro")


def test_a_parquet_footer_that_declares_too_much(desk: Desk) -> None:
    content = parquet(ROWS)
    assert "PROCUREMENT_MAX_ROWS_PER_FILE" in rejected(desk, content, "parquet", max_rows_per_file=100)


def test_a_parquet_footer_of_nonsense(desk: Desk) -> None:
    content = b"PAR1" + b"\xff" * 500 + struct.pack("<I", 500) + b"PAR1"
    assert "cannot be read as Parquet" in rejected(desk, content, "parquet")


def test_a_dictionary_bomb_in_parquet(desk: Desk) -> None:
    """One text of a megabyte, 20,000 times: 20 GB for a reader that expands it."""
    table = pq.read_table(io.BytesIO(parquet([order(number) for number in range(20_000)])))
    zeros = pa.array([0] * 20_000, pa.int32())
    table = table.set_column(8, "customer_id", pa.DictionaryArray.from_arrays(zeros, pa.array(["x" * 1_000_000])))
    target = io.BytesIO()
    pq.write_table(table, target)
    assert len(target.getvalue()) < 1_000_000
    outcome = desk.decode(target.getvalue(), "parquet")
    assert outcome.status == "rejected" or outcome.quarantined == 20_000


@pytest.mark.parametrize("form", WRITERS)
def test_more_rows_than_the_limit(desk: Desk, form: str) -> None:
    assert "PROCUREMENT_MAX_ROWS_PER_FILE" in rejected(desk, WRITERS[form](ROWS), form, max_rows_per_file=150)


@pytest.mark.parametrize("form", WRITERS)
def test_more_columns_than_the_limit(desk: Desk, form: str) -> None:
    assert "PROCUREMENT_MAX_COLUMNS" in rejected(desk, WRITERS[form](ROWS), form, max_columns=5)


def test_a_file_larger_than_the_limit_is_hashed_and_not_kept(desk: Desk) -> None:
    content = csv_bytes(ROWS)
    outcome = desk.decode(content, "csv", max_file_bytes=1000)
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "PROCUREMENT_MAX_FILE_BYTES" in outcome.reason
    assert (outcome.size, outcome.raw_path) == (len(content), None)
    assert desk.left_behind() == ["inbox/DE.csv"]


def test_one_bad_file_never_stops_the_others(desk: Desk) -> None:
    bomb = SCHEMA | {"fields": [{"name": "void", "type": {"type": "array", "items": "null"}}, *SCHEMA["fields"]]}
    mean = encode_header(Header(bomb, "null", b"s" * 16)) + encode_block(1, encode_long(2**60) + bytes(200), b"s" * 16)
    tasks = [
        desk.task(csv_bytes(ROWS), "csv", name="DE__1"),
        desk.task(mean, "avro", name="DE__2"),
        desk.task(b"", "parquet", name="DE__3"),
        desk.task(avro(ROWS), "avro", name="DE__4"),
    ]
    outcomes = list(desk.pool.run(tasks))
    assert [outcome.status for outcome in outcomes] == ["accepted", "rejected", "rejected", "accepted"]


@pytest.mark.parametrize("form", ["avro", "csv", "csv.gz", "jsonl", "parquet"])
def test_flipped_bits_end_in_an_outcome(desk: Desk, form: str) -> None:
    """Without a checksum some flips decode to other data, which nothing can tell (docs: facts of the formats); none may do worse."""
    whole = WRITERS[form](ROWS[:60])
    chance = random.Random(20251220)  # noqa: S311  damage, no secret
    statuses = set()
    tasks = []
    for number in range(80):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 1, 8))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.2:
            del content[chance.randrange(1, len(content)) :]
        tasks.append(desk.task(bytes(content), form, name=f"DE__{number}"))
    for outcome in desk.pool.run(tasks):
        statuses.add(outcome.status)
        assert outcome.rows == outcome.accepted + outcome.quarantined
        if outcome.status == "accepted":
            assert len(desk.lines(outcome)) == outcome.accepted
            assert len(desk.quarantine(outcome)) == outcome.quarantined
        else:
            assert outcome.reason
            assert "\n" not in outcome.reason
    assert statuses <= {"accepted", "rejected"}
    assert "rejected" in statuses or form in ("csv", "jsonl")
    assert not [name for name in desk.left_behind() if name.endswith(".tmp")]


def test_numbers_no_decimal_holds(desk: Desk) -> None:
    values = [
        "1e400",
        "NaN",
        "Infinity",
        "-1",
        "0",
        "1" * 40,
        "1000000001",
        "2,5",
        "0x10",
        "１",
        "+1",
        "1.2345",
        "",
        "2.500000",
        " 3 ",
        "007",
        "1.500000000000000000",
        "0" * 100 + "4",
    ]
    outcome = desk.decode(csv_bytes([order(number, quantity=value) for number, value in enumerate(values)]), "csv")
    reasons = desk.reasons(outcome)
    assert set(reasons) == set(range(1, 14))
    assert "quantity 1e400 is not a plain number with at most 15 digits" in reasons[1]
    assert reasons[4] == "quantity -1 is not above 0: send the units ordered"
    assert "PROCUREMENT_MAX_QUANTITY" in reasons[7]
    assert "is not a number: write a decimal point, as in 1.5" in reasons[8]
    assert reasons[13] == "quantity is empty: send it in every row"
    assert [line["quantity"] for line in desk.lines(outcome)] == [
        Decimal("2.500"),
        Decimal("3.000"),
        Decimal("7.000"),
        Decimal("1.500"),
        Decimal("4.000"),
    ]


def test_numbers_in_json_are_read_as_written(desk: Desk) -> None:
    literals = ["1e400", "2.675", "0.1", "12345678901234567890", "123456789.123", "true", "[1]", "null", "9007199254740993", "1E2"]
    lines = jsonl([order(number, quantity="?") for number in range(len(literals))]).decode().splitlines()
    content = "\n".join(line.replace('"?"', literal) for line, literal in zip(lines, literals, strict=True))
    outcome = desk.decode(content.encode(), "jsonl", max_quantity=100_000_000_000)
    assert [line["quantity"] for line in desk.lines(outcome)] == [Decimal("2.675"), Decimal("0.1"), Decimal("123456789.123")]
    reasons = desk.reasons(outcome)
    assert set(reasons) == {1, 4, 6, 7, 8, 9, 10}
    assert "quantity is a list" in reasons[7]


def test_a_million_characters_and_a_formula(desk: Desk) -> None:
    rows = [order(1, order_id="x" * 1_000_000), order(2, order_id="=HYPERLINK(1)"), order(3, customer_id="@cmd"), order(4)]
    for form in WRITERS:
        outcome = desk.decode(WRITERS[form](rows), form, name=f"DE__{form[:3]}")
        [bad] = desk.quarantine(outcome)
        assert bad["reasons"] == "order_id has 1000000 characters, more than 256: send the order_id alone"
        assert len(bad["row"]) < 3000
        assert json.loads(bad["row"])["order_id"] == "x" * 1000 + "… (1000000 characters)"
        assert [line["order_id"] for line in desk.lines(outcome)] == ["=HYPERLINK(1)", "O-3", "O-4"]


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x7f", "\x1b[31m", "a\x85"])
@pytest.mark.parametrize("form", ["avro", "jsonl", "parquet", "csv"])
def test_control_characters_are_no_text(desk: Desk, form: str, text: str) -> None:
    outcome = desk.decode(WRITERS[form]([order(1), order(2, order_id=text), order(3, sku=text)]), form)
    reasons = desk.reasons(outcome)
    assert set(reasons) == {2, 3}
    assert "order_id" in reasons[2]
    assert "holds control characters" in reasons[2]
    assert all(reason.isprintable() for reason in reasons.values())


def test_stock_bounds(desk: Desk) -> None:
    rows = [
        stock(1),
        stock(2, available=Decimal(-1)),
        stock(3, reserved=Decimal(-1)),
        stock(4, available=Decimal(0)),
        stock(5, reserved=Decimal(99)),
    ]
    outcome = desk.decode(avro(rows, STOCK), "avro", feed=STOCK)
    assert set(desk.reasons(outcome)) == {2, 3}
    assert outcome.accepted_quantity == "20.000"
    assert outcome.quarantined_quantity == "10.000"


def test_fastavro_accepts_what_we_write() -> None:
    header = encode_header(Header(SCHEMA, "null", b"s" * 16))
    assert list(fastavro.reader(io.BytesIO(header))) == []


def test_the_window_is_the_markets_own_days(desk: Desk) -> None:
    times = ["2025-12-12T23:59:59", "2025-12-13T00:00:00", "2025-12-20T23:59:59.999999", "2025-12-21T00:00:00", "2025-12-20T23:30:00Z"]
    outcome = desk.decode(csv_bytes([order(number, ordered_at=time) for number, time in enumerate(times)]), "csv")
    reasons = desk.reasons(outcome)
    assert set(reasons) == {1, 4, 5}
    assert reasons[1].startswith("ordered_at 2025-12-12T23:59:59 is outside 2025-12-13 … 2025-12-20 (Europe/Berlin)")
    assert NOON.date() == DAY
