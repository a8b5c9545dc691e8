"""Reading a CSV file: every cell typed, every fault told with file, row, column, value and remedy."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.procurement.reference.read import BAD, ROW, TableFile, overlapping, read_table
from procurement_platform.procurement.reference.tables import MARKETS, PLANNING_PARAMETERS, PRODUCTS, SUPPLIER_PRODUCTS, ReferenceTable
from procurement_platform_tests.rights import without_root_rights

OFFER = "supplier_id,sku,min_quantity,unit_price,valid_from,valid_to\n"


def read(folder: Path, table: ReferenceTable, content: str | bytes) -> TableFile:
    path = folder / f"{table.name}.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, table)


def told(file: TableFile) -> list[str]:
    return [str(problem) for problem in sorted(file.problems)]


def test_left_out_and_empty_cells_take_their_default(tmp_path: Path) -> None:
    file = read(tmp_path, MARKETS, "market,name,currency,timezone,orders_cutoff,sends_stock\nDE,Germany,EUR,Europe/Berlin,,\n")
    assert told(file) == []
    assert file.frame.drop(ROW, BAD).row(0, named=True) == {
        "market": "DE",
        "name": "Germany",
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "active_from": None,
        "active_to": None,
        "sends_orders": True,
        "sends_stock": True,
        "orders_cutoff": "06:00",
        "stock_cutoff": "06:00",
        "when_missing": "withhold",
    }


def test_cells_are_typed_exactly(tmp_path: Path) -> None:
    content = (
        "supplier_id,sku,priority,min_quantity,unit_price,moq,pack_size,max_order_quantity,lead_time_days,valid_from\n"
        "S-1,A 1,2, 0.001 ,0.10000,1.5,+0012.5,999999999.999,7,2025-12-20\n"
    )
    file = read(tmp_path, SUPPLIER_PRODUCTS, content)
    assert told(file) == []
    row = file.frame.row(0, named=True)
    assert (row["priority"], row["min_quantity"], row["unit_price"], row["moq"]) == (2, Decimal("0.001"), Decimal("0.1000"), Decimal("1.5"))
    assert (row["pack_size"], row["max_order_quantity"]) == (Decimal("12.5"), Decimal("999999999.999"))
    assert (row["lead_time_days"], row["valid_from"], row["valid_to"]) == (7, dt.date(2025, 12, 20), None)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfsku,name\nA,Caf\xc3\xa9\n",
        "sku;name\nA;Café\n".encode(),
        b"sku,name\r\nA,Caf\xc3\xa9\r\n\r\n",
        b'"sku" , "name"\nA,"Caf\xc3\xa9"'.replace(b" ", b""),
        b" sku ,name\nA ,Caf\xc3\xa9\n",
    ],
    ids=["byte order mark", "semicolons", "CRLF and an empty line", "quotes, no line end", "blanks around codes"],
)
def test_spreadsheets_ways_to_write_csv(tmp_path: Path, content: bytes) -> None:
    file = read(tmp_path, PRODUCTS, content)
    assert told(file) == []
    assert file.frame.select("sku", "name", "uom").rows() == [("A", "Café", "piece")]


_OPEN = "products.csv: not a CSV file: the row that begins in line {} has a quoted cell that is never closed; close it, or double the quote"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "products.csv: no header; the first line names the columns"),
        (b"sku,name\nA,x\nB,M\xfcller\n", "products.csv: not UTF-8 (byte 0xfc in line 3); save it as UTF-8"),
        (b'sku,name\nA,"x\n', _OPEN.format(2)),
        (b'sku,name\n\n"A","one\ntwo"\nB,"x\ny\nz\n', _OPEN.format(5)),
        (
            b'sku,name\nA,"one\ntwo"\nB,"x"y\n',
            (
                "products.csv: not a CSV file: ',' expected after '\"', in the row that begins in line 4;"
                " double the quotes that belong to a quoted cell"
            ),
        ),
        (b"sku\nA\n", "products.csv: the column 'name' is missing and has no default; add it"),
        (b"sku,name,sku\nA,x,B\n", "products.csv: the column 'sku' stands there twice; remove one"),
        (
            b"sku,name,colour\nA,x,red\n",
            "products.csv: no column is called 'colour'; the columns are sku, name, category, uom, active_from, active_to",
        ),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path: Path, content: bytes, problem: str) -> None:
    file = read(tmp_path, PRODUCTS, content)
    assert told(file) == [problem]
    assert file.frame.height == 0


def test_ragged_rows_are_told_and_the_others_read(tmp_path: Path) -> None:
    file = read(tmp_path, PRODUCTS, "sku,name\nA,x\nB\nC,y,z\nD,w\n")
    assert told(file) == [
        "products.csv row 2: 1 cell, the header has 2; write one for each column, empty ones too",
        "products.csv row 3: 3 cells, the header has 2; quote cells that contain the separator",
    ]
    assert file.frame.select(ROW, "sku").rows() == [(1, "A"), (4, "D")]


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("priority", "1.5", "is no whole number"),
        ("priority", "١", "is no whole number"),
        ("unit_price", "１２", "is no decimal number with up to 4 places; write it like 12.50, without thousands separators"),
        ("valid_from", "２025-02-03", "is no date; write it like 2025-12-20"),
        ("priority", "-1", "must be at least 0 and at most 3650"),
        ("unit_price", "", "is empty; it has no default, write one"),
        ("unit_price", "1,50", "is no decimal number with up to 4 places; write it like 12.50, without thousands separators"),
        ("unit_price", "0.00001", "is no decimal number with up to 4 places; write it like 12.50, without thousands separators"),
        ("unit_price", "100000000.0001", "must be at least 0 and at most 100000000"),
        ("min_quantity", "1e3", "is no decimal number with up to 3 places; write it like 12.50, without thousands separators"),
        ("min_quantity", "NaN", "is no decimal number with up to 3 places; write it like 12.50, without thousands separators"),
        ("moq", "-0.001", "must be at least 0 and at most 1000000000"),
        ("pack_size", "0", "must be more than 0 and at most 1000000000"),
        ("max_order_quantity", "0.000", "must be more than 0 and at most 1000000000"),
        ("moq", "99999999999999999999", "is no decimal number with up to 3 places; write it like 12.50, without thousands separators"),
        ("valid_from", "2025-02-30", "is no date; write it like 2025-12-20"),
        ("valid_from", "20.12.2025", "is no date; write it like 2025-12-20"),
        ("rounding", "down", "is not one of up"),
        ("supplier_id", "../S", "is no code: 1 to 32 letters, digits, '.', '-' or '_', the first a letter or digit"),
        ("sku", "A\tB", "has a line break or control character; remove it"),
    ],
)
def test_a_bad_cell_is_told_with_row_column_value_and_remedy(tmp_path: Path, column: str, value: str, what: str) -> None:
    good = {"supplier_id": "S", "sku": "A", "unit_price": "1"}
    names = [*good, *({column} - set(good))]
    rows = [[good.get(name, "") for name in names], [{**good, column: value}.get(name, "") for name in names]]
    file = read(tmp_path, SUPPLIER_PRODUCTS, "\n".join(",".join(f'"{cell}"' for cell in row) for row in [names, *rows]))
    shown = value.replace("\t", " ")
    assert told(file) == [f"supplier_products.csv row 2, {column} {shown!r}: {what}"]
    assert file.frame[BAD].to_list() == [False, True]


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("currency", "EURO", "is no ISO 4217 currency code; write one such as EUR"),
        ("currency", "XYZ", "is no ISO 4217 currency code; write one such as EUR"),
        ("timezone", "Berlin", "is no IANA time zone; write one such as Europe/Berlin"),
        ("timezone", "../../etc/passwd", "is no IANA time zone; write one such as Europe/Berlin"),
        ("timezone", "Factory", "is no IANA time zone; write one such as Europe/Berlin"),
        ("timezone", "localtime", "is no IANA time zone; write one such as Europe/Berlin"),
        ("orders_cutoff", "24:00", "is no time of day; write it like 06:00"),
        ("orders_cutoff", "0٦:00", "is no time of day; write it like 06:00"),
        ("orders_cutoff", "6", "is no time of day; write it like 06:00"),
        ("sends_orders", "maybe", "is neither true nor false"),
        ("when_missing", "ignore", "is not one of withhold, compute"),
        ("market", "D__E", "is no code: 1 to 32 capital letters, digits, '-' or single '_', the first a letter or digit"),
        ("market", "de", "is no code: 1 to 32 capital letters, digits, '-' or single '_', the first a letter or digit"),
        ("name", "x" * 257, "is longer than 256 characters; shorten it"),
    ],
)
def test_a_bad_market_cell_is_told(tmp_path: Path, column: str, value: str, what: str) -> None:
    cells = {"market": "DE", "name": "x", "currency": "EUR", "timezone": "UTC", column: value}
    [problem] = told(read(tmp_path, MARKETS, ",".join(cells) + "\n" + ",".join(cells.values()) + "\n"))
    assert problem.startswith(f"markets.csv row 1, {column} ")
    assert problem.endswith(what)
    assert len(problem) < 240


def test_every_time_zone_that_is_taken_converts(tmp_path: Path) -> None:
    zones = sorted(available_timezones())
    rows = "".join(f"M{number},x,EUR,{zone}\n" for number, zone in enumerate(zones))
    file = read(tmp_path, MARKETS, f"market,name,currency,timezone\n{rows}")
    taken = file.frame["timezone"].drop_nulls().to_list()
    assert {"UTC", "Europe/Berlin", "Asia/Kathmandu", "Etc/GMT+5"} <= set(taken)
    assert set(zones) - set(taken) <= {"Factory", "localtime", "posixrules"}
    noon = dt.datetime(2025, 12, 20, 12, tzinfo=dt.UTC)
    for zone in taken:
        local = pl.Series([noon]).dt.convert_time_zone(zone).dt.replace_time_zone(None).item()
        assert local == noon.astimezone(ZoneInfo(zone)).replace(tzinfo=None), zone


@pytest.mark.parametrize("text", ["true", "TRUE", "t", "yes", "1", "false", "False", "no", "0", ""])
def test_booleans_as_people_write_them(tmp_path: Path, text: str) -> None:
    file = read(tmp_path, MARKETS, f"market,name,currency,timezone,sends_orders\nDE,x,EUR,UTC,{text}\n")
    assert file.frame["sends_orders"].to_list() == [text.lower() not in ("false", "no", "0")]


def test_one_problem_per_cell_but_all_cells(tmp_path: Path) -> None:
    file = read(tmp_path, PLANNING_PARAMETERS, "sku,market,safety_stock\n,d e,-1\nA,,x\n")
    assert [(problem.row, problem.position) for problem in sorted(file.problems)] == [(1, 0), (1, 1), (1, 3), (2, 3)]


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("sku,name\nA,x\n")
    path.chmod(0)
    with without_root_rights() as thread:
        file = thread.submit(read_table, path, PRODUCTS).result()
    assert told(file) == ["products.csv: cannot be read (Permission denied); give the platform read access"]
    assert not file.complete


def test_a_quoted_line_break_does_not_shift_row_numbers(tmp_path: Path) -> None:
    file = read(tmp_path, PRODUCTS, 'sku,name\nA,"x\ny"\nB,\n')
    assert [problem.row for problem in sorted(file.problems)] == [1, 2]


def test_overlap_names_both_rows(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        SUPPLIER_PRODUCTS,
        OFFER + "S,A,0,1,,2025-06-30\nS,A,0,2,2025-06-30,\nS,A,10,3,2025-06-30,\nS,A,0,2,2024-01-01,2024-01-01\n",
    )
    what = "overlaps row 1 (supplier_id S, sku A, min_quantity 0.000); end one before the other begins"
    assert sorted(map(str, overlapping(file))) == [
        f"supplier_products.csv row 2, valid_from '2025-06-30': {what}",
        f"supplier_products.csv row 4, valid_from '2024-01-01': {what}",
    ]


_DAY = st.none() | st.integers(1, 12).map(lambda day: dt.date(2025, 1, day))
_OFFERS = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["0", "5"]), _DAY, _DAY), max_size=8)


@given(_OFFERS)
def test_overlaps_are_those_that_looking_at_each_pair_finds(
    tmp_path_factory: pytest.TempPathFactory, offers: list[tuple[str, str, dt.date | None, dt.date | None]]
) -> None:
    offers = [offer for offer in offers if offer[2] is None or offer[3] is None or offer[2] <= offer[3]]
    rows = "".join(f"S,{sku},{quantity},1,{start or ''},{end or ''}\n" for sku, quantity, start, end in offers)
    file = read(tmp_path_factory.mktemp("offers"), SUPPLIER_PRODUCTS, OFFER + rows)

    def meet(one: int, other: int) -> bool:
        a, b = offers[one], offers[other]
        return a[:2] == b[:2] and (a[2] or dt.date.min) <= (b[3] or dt.date.max) and (b[2] or dt.date.min) <= (a[3] or dt.date.max)

    problems = list(overlapping(file))
    in_order = sorted(range(len(offers)), key=lambda number: (offers[number][2] or dt.date.min, number))
    expected = {later + 1 for place, later in enumerate(in_order) if any(meet(later, earlier) for earlier in in_order[:place])}
    assert {problem.row for problem in problems} == expected
    for problem in problems:
        assert meet(problem.row - 1, int(str(problem).split("overlaps row ")[1].split()[0]) - 1)
