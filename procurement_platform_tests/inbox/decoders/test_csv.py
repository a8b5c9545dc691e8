import gzip
import json

import pytest

from procurement_platform_tests.inbox.desk import Desk, csv_bytes, order

HEADER = b"order_id,market,sku,quantity,unit_price,ordered_at\n"
FINE = b"%s,DE,SKU-1,1,2,2025-12-20T10:00:00\n"


def rows(*lines: bytes) -> bytes:
    return HEADER + b"".join(lines)


def ids(desk: Desk, content: bytes, form: str = "csv") -> list[str]:
    outcome = desk.decode(content, form)
    assert outcome.status == "accepted", outcome.reason
    assert desk.reasons(outcome) == {}
    return [line["order_id"] for line in desk.lines(outcome)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_reads_what_spreadsheets_export(desk: Desk, delimiter: str, start: bytes, end: bytes) -> None:
    content = start + csv_bytes([order(1), order(2)], delimiter).replace(b"\r\n", b"\n").replace(b"\n", end)
    assert ids(desk, content) == ["O-1", "O-2"]
    assert ids(desk, content.rstrip(b"\r\n")) == ["O-1", "O-2"]


def test_a_file_of_which_no_row_can_be_used_says_so(desk: Desk) -> None:
    outcome = desk.decode(csv_bytes([order(1, quantity="?"), order(2, sku="NONE")]), "csv")
    assert (outcome.status, outcome.accepted, outcome.quarantined) == ("accepted", 0, 2)
    assert outcome.notes == ("none of its rows can be used",)
    assert desk.decode(csv_bytes([order(1, quantity="?"), order(2)]), "csv").notes == ()


def test_quoted_cells_hold_anything(desk: Desk) -> None:
    content = csv_bytes([order(1, note='a "b", c\nd; e\r\nf'), order(2, note="\n\n")])
    assert ids(desk, content) == ["O-1", "O-2"]


def test_quoted_newlines_do_not_shift_row_numbers(desk: Desk) -> None:
    content = csv_bytes([order(1, note="x\ny\nz"), order(2, quantity="?"), order(3, note="\n"), order(4, sku="NONE")])
    assert set(desk.reasons(desk.decode(content, "csv"))) == {2, 4}


def test_empty_lines_are_no_rows(desk: Desk) -> None:
    assert ids(desk, b"\n\r\n" + rows(FINE % b"a", b"\n", b"\r\n", FINE % b"b", b"\n\n")) == ["a", "b"]


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_lines_of_separators_alone_are_no_rows_and_keep_their_numbers(desk: Desk, delimiter: bytes) -> None:
    blank = b",,,,,\n"
    content = rows(blank, FINE % b"a", blank, b",,\n", b",,,,,,,,\r\n", b"b,DE,SKU-1,?,2,2025-12-20T10:00:00\n", b",DE,,,,\n", blank, blank)
    outcome = desk.decode(content.replace(b",", delimiter), "csv")
    assert (outcome.rows, outcome.accepted, outcome.quarantined) == (3, 1, 2)
    assert [line["row_number"] for line in desk.lines(outcome)] == [2]
    assert set(desk.reasons(outcome)) == {6, 7}
    assert outcome.notes == ("rows left out that have no value at all: 6",)


def test_a_file_of_lines_of_separators_alone_has_no_rows(desk: Desk) -> None:
    outcome = desk.decode(rows(b",,,,,\n", b",,\n"), "csv")
    assert (outcome.status, outcome.rows) == ("accepted", 0)
    assert outcome.notes == ("rows left out that have no value at all: 2",)


def test_lines_that_end_with_cr_alone_are_named(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", FINE % b"b").replace(b"\n", b"\r"), "csv")
    assert outcome.status == "rejected"
    assert str(outcome.reason).endswith("DE.csv ends lines with CR alone: save it with line ends LF or CRLF")
    outcome = desk.decode(rows(FINE % b"a", FINE % b"b\rc", FINE % b"d"), "csv")
    assert outcome.accepted == 2
    assert desk.reasons(outcome)[2].startswith("ends lines with CR alone within it")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("1,000", "write 1000 where the comma parts thousands, or 1.000 where it is the decimal comma"),
        ("-12,500", "write -12500 where the comma parts thousands, or -12.500 where it is the decimal comma"),
        ("1,5", "write a decimal point, as in 1.5"),
        ("0,125", "write a decimal point, as in 1.5"),
        ("1234,567", "write a decimal point, as in 1.5"),
    ],
)
def test_a_comma_in_a_number_is_told_in_every_meaning_it_has(desk: Desk, sent: str, told: str) -> None:
    outcome = desk.decode(csv_bytes([order(1), order(2, quantity=sent)]), "csv")
    assert desk.reasons(outcome)[2] == f"quantity {sent} is not a number: {told}"


def test_a_row_of_totals_is_told_to_be_removed(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", b"Total,,,14,,\n"), "csv")
    assert "sku is empty: send it in every row, or remove the row if it holds a total" in desk.reasons(outcome)[2]


def test_a_row_with_millions_of_cells_is_told_like_any_that_is_too_long(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", b"b" + b"," * 3_000_000 + b"\n", FINE % b"c"), "csv")
    assert outcome.accepted == 2
    assert desk.reasons(outcome)[2].startswith("has 3000001 cells and the header 6")
    outcome = desk.decode(rows(FINE % b"a", b"b" + b"," * 17 * 1024 * 1024 + b"\n", FINE % b"c"), "csv")
    assert outcome.status == "rejected"
    assert "bytes in line 3; send a row per line" in str(outcome.reason)


def test_ragged_rows_are_told_and_the_others_taken(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", b"b,DE\n", FINE % b"c", b"d,DE,SKU-1,1,2,2025-12-20T10:00:00,more\n", FINE % b"e"), "csv")
    assert [line["order_id"] for line in desk.lines(outcome)] == ["a", "c", "e"]
    reasons = desk.reasons(outcome)
    assert reasons[2] == "has 2 cells and the header 6: send one cell per column, and quote those that hold ','"
    assert reasons[4].startswith("has 7 cells and the header 6")
    assert desk.quarantine(outcome)[0]["row"] == '{"order_id": "b", "market": "DE"}'


def test_latin_1_rows_are_told_with_their_byte(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", FINE % b"M\xfcller", FINE % b"c", FINE % "Müller".encode()), "csv")
    assert [line["order_id"] for line in desk.lines(outcome)] == ["a", "c", "Müller"]
    assert desk.reasons(outcome) == {2: "is not UTF-8: cell 1 has the byte 0xfc; export the file as UTF-8"}
    assert "M\\\\xfcller" in desk.quarantine(outcome)[0]["row"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_latin_1_row_is_shown_with_the_files_own_delimiter_and_quotes(desk: Desk, delimiter: str) -> None:
    line = delimiter.join(['"M\xfcller%(d)s ""K"""', "DE", "SKU-1", "1,5", "2", "2025-12-20"]) % {"d": delimiter}
    line = line.replace("1,5", '"1,5"') if delimiter == "," else line
    content = rows().replace(b",", delimiter.encode()) + line.encode("latin-1") + b"\n"
    [row] = desk.quarantine(desk.decode(content + (FINE % b"a").replace(b",", delimiter.encode()), "csv"))
    assert json.loads(row["row"]) == {"line": line.replace("\xfc", "\\xfc")}


def test_a_latin_1_header_makes_the_file_invalid(desk: Desk) -> None:
    for header in (b"M\xfcller,", b'"a name\nof two lines, M\xfcller",'):
        outcome = desk.decode(header + rows(FINE % b"a"), "csv")
        assert outcome.status == "rejected"
        assert str(outcome.reason).endswith("DE.csv is not UTF-8: its header has the byte 0xfc; export the file as UTF-8")


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-16", "it begins as UTF-16 does"), ("utf-16-le", "its header has zero bytes, as UTF-16 has")]
)
def test_utf_16_is_named(desk: Desk, encoding: str, told: str) -> None:
    outcome = desk.decode(rows(FINE % b"a").decode().encode(encoding), "csv")
    assert outcome.status == "rejected"
    assert str(outcome.reason).endswith(f"is not UTF-8: {told}; export the file as UTF-8")


def test_a_row_with_a_bad_byte_and_a_stray_quote_is_told_of_both(desk: Desk) -> None:
    [reason] = desk.reasons(desk.decode(rows(FINE % b'"M\xfcller"x', FINE % b"b"), "csv")).values()
    assert reason.startswith("is not UTF-8: it has the byte 0xfc; export the file as UTF-8; and cannot be read as CSV (")


def test_a_header_of_several_lines_is_told_in_one(desk: Desk) -> None:
    outcome = desk.decode(HEADER.replace(b"market", b'"the\n\x1b[31mmarket"') + FINE % b"a", "csv")
    assert outcome.status == "rejected"
    assert "(it has: order_id, the \N{REPLACEMENT CHARACTER}[31mmarket, sku," in str(outcome.reason)


def test_a_quote_never_closed_names_its_row(desk: Desk) -> None:
    content = rows(*(FINE % b"a%d" % number for number in range(50)), b'"b,DE,SKU-1,1,2,x\n', *(FINE % b"c" for _ in range(50)))
    outcome = desk.decode(content, "csv")
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "from row 51 on" in outcome.reason


def test_a_quote_closed_rows_later_names_its_row(desk: Desk) -> None:
    content = rows(FINE % b"a", b'"b,DE,SKU-1,1,2,x\n', FINE % b"c", b'"d",DE,SKU-1,1,2,2025-12-20T10:00:00\n', FINE % b"e")
    outcome = desk.decode(content, "csv")
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "from row 2 on" in outcome.reason


def test_a_stray_quote_spoils_its_own_row_only(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", FINE % b'"b"x', FINE % b'5" pipe', FINE % b"d"), "csv")
    assert [line["order_id"] for line in desk.lines(outcome)] == ["a", '5" pipe', "d"]
    assert desk.reasons(outcome)[2].startswith("cannot be read as CSV (',' expected after '\"')")


def test_a_record_over_many_pieces_is_read_whole(desk: Desk) -> None:
    long = "line\n" * 700_000
    content = csv_bytes([order(1), order(2, note=long), order(3, quantity="?"), *(order(number) for number in range(4, 20_000))])
    outcome = desk.decode(content, "csv")
    assert outcome.accepted == 19_998
    assert set(desk.reasons(outcome)) == {3}


def test_a_quote_over_more_than_a_block_is_refused(desk: Desk) -> None:
    content = csv_bytes([order(1), order(2, note="line\n" * 700_000)])
    outcome = desk.decode(content, "csv", max_block_bytes=1_000_000)
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "row 2" in outcome.reason


@pytest.mark.parametrize(
    ("header", "told"),
    [(b"sku,market,sku\n", "the column 'sku' twice"), (b"a,b,c\n", "lacks the columns order_id, market, sku"), (b'"a\n', "header")],
)
def test_headers_that_cannot_be(desk: Desk, header: bytes, told: str) -> None:
    outcome = desk.decode(header + b"1,2,3\n", "csv")
    assert outcome.status == "rejected"
    assert outcome.reason
    assert told in outcome.reason


def test_nul_bytes_spoil_their_row_only(desk: Desk) -> None:
    outcome = desk.decode(rows(FINE % b"a", FINE % b"b\x00", FINE % b"c"), "csv")
    assert set(desk.reasons(outcome)) == {2}


def test_gzip_files_one_after_the_other_are_one(desk: Desk) -> None:
    assert ids(desk, gzip.compress(rows(FINE % b"a")) + gzip.compress(FINE % b"b") + bytes(512), "csv.gz") == ["a", "b"]


def test_gzip_with_something_after_it_is_damaged(desk: Desk) -> None:
    outcome = desk.decode(gzip.compress(rows(FINE % b"a")) + b"rest", "csv.gz")
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "damaged" in outcome.reason


@pytest.mark.parametrize("line", [b"sep=;\r\n", b"\xef\xbb\xbfsep=,\n", b'"sep=;"\n'])
def test_a_first_line_for_excel_is_named_with_what_to_do(desk: Desk, line: bytes) -> None:
    outcome = desk.decode(line + rows(FINE % b"O-1"), "csv")
    assert outcome.status == "rejected"
    assert "a line for Excel; remove it: the first line names the columns" in str(outcome.reason)


def test_lines_of_separators_that_fill_a_piece_of_the_file_are_left_out_with_their_numbers(desk: Desk) -> None:
    blanks = 500_000  # more than what is read at once
    outcome = desk.decode(rows(FINE % b"a", b",,,,,\n" * blanks, FINE % b"b", b",,,,,\n" * blanks), "csv")
    assert [line["row_number"] for line in desk.lines(outcome)] == [1, blanks + 2]
    assert outcome.notes == (f"rows left out that have no value at all: {2 * blanks}",)
