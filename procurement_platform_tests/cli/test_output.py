"""What a program, a spreadsheet and a person get from the same rows."""

import contextlib
import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from heapq import nsmallest
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.layout import View
from procurement_platform.cli.options import Format
from procurement_platform.cli.output import TABLE_ROWS, Row, Shown, cell, clean, say, show, show_table, steps
from procurement_platform_tests.cli.conftest import Terminal, plain

FORMATS: tuple[Format, ...] = get_args(Format)
COLUMNS = ("name", "quantity", "count", "day", "at", "note")
ROWS: list[Row] = [
    {
        "name": "Café",
        "quantity": Decimal("240.000"),
        "count": 1200,
        "day": dt.date(2025, 12, 20),
        "at": dt.datetime(2025, 12, 20, 6, 30, tzinfo=dt.UTC),
        "note": None,
    },
    {
        "name": "=1+1",
        "quantity": Decimal("-0.500"),
        "count": -3,
        "day": dt.date(2025, 12, 21),
        "at": dt.datetime(2025, 12, 21, tzinfo=dt.UTC),
        "note": "a, b\nc",
    },
]


def test_json_is_an_array_of_objects_with_exact_decimals(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, "json")
    out, err = capsys.readouterr()
    assert json.loads(out) == [
        {
            "name": "Café",
            "quantity": "240.000",
            "count": 1200,
            "day": "2025-12-20",
            "at": "2025-12-20T06:30:00+00:00",
            "note": None,
        },
        {
            "name": "=1+1",
            "quantity": "-0.500",
            "count": -3,
            "day": "2025-12-21",
            "at": "2025-12-21T00:00:00+00:00",
            "note": "a, b\nc",
        },
    ]
    assert err == ""


@pytest.mark.parametrize(("form", "wanted"), [("json", "[]\n"), ("csv", "name,quantity,count,day,at,note\n")])
def test_no_rows_are_still_whole_output(form: Format, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    show([], COLUMNS, form)
    assert capsys.readouterr().out == wanted


def test_csv_holds_no_formula_and_negative_numbers_stay_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, "csv")
    out = capsys.readouterr().out
    assert list(csv.reader(io.StringIO(out, newline=""))) == [
        list(COLUMNS),
        ["Café", "240.000", "1200", "2025-12-20", "2025-12-20T06:30:00+00:00", ""],
        ["'=1+1", "-0.500", "-3", "2025-12-21", "2025-12-21T00:00:00+00:00", "a, b\nc"],
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_any_text_survives_json_and_a_table_shows_no_control_characters(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        binary = io.BytesIO()
        patch.setattr("sys.stdout", io.TextIOWrapper(binary, encoding="utf-8", write_through=True))
        show([{"text": text} for text in texts], ["text"], "json")
        assert [row["text"] for row in json.loads(binary.getvalue())] == texts
        binary.seek(0)
        binary.truncate()
        show([{"text": text} for text in texts], ["text"], "table")
        assert all(c.isprintable() or c == "\n" for c in binary.getvalue().decode())


def test_an_error_before_the_first_row_leaves_standard_output_empty(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[Row]:
        yield from (ROWS[n] for n in [len(ROWS)])

    for form in FORMATS:
        with pytest.raises(IndexError):
            show(broken(), COLUMNS, form)
    assert capsys.readouterr().out == ""


def test_a_table_is_never_cut_where_it_is_piped(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 3000
    show([{"name": long, "note": "short"}, {"name": "y", "note": None}], ["name", "note"], "table", title="A title")
    assert capsys.readouterr().out.splitlines() == ["A title", f"name{' ' * 2996}  note", f"{long}  short", "y"]


def test_columns_that_are_the_same_everywhere_are_left_out_of_the_table_only(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, "table", hidden=("day",))
    assert "2025-12-21" in capsys.readouterr().out  # the time is still there
    show(ROWS, ("name", "day"), "table", hidden=("day",))
    assert "2025" not in capsys.readouterr().out
    show(ROWS, ("name", "day"), "csv", hidden=("day",))
    assert "2025-12-20" in capsys.readouterr().out


def test_a_long_table_says_how_much_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    show(({"n": n} for n in range(TABLE_ROWS + 1234)), ["n"], "table")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == TABLE_ROWS + 1
    assert err == "… 1,234 more, --format csv has them all\n"


def smallest_by_place(rows: Iterable[Row], most: int) -> list[Row]:
    return sorted(nsmallest(most, rows, key=lambda row: int(str(row["n"]))), key=lambda row: int(str(row["place"])))


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5))
def test_a_table_in_an_order_of_its_own_shows_the_first_and_counts_the_others(numbers: list[int], most: int) -> None:
    rows: list[Row] = [{"n": n, "place": place} for place, n in enumerate(numbers)]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        show(iter(rows), ("n", "place"), "table", most=most, choice=smallest_by_place)
    shown = [[int(cell) for cell in line.split()] for line in out.getvalue().splitlines()[1:]] if rows else []
    smallest = sorted(([n, place] for place, n in enumerate(numbers)), key=lambda pair: pair[0])[:most]
    assert shown == sorted(smallest, key=lambda pair: pair[1])
    assert err.getvalue() == (f"… {len(rows) - most} more, --format csv has them all\n" if len(rows) > most else "")


def test_on_a_narrow_terminal_columns_that_are_left_out_are_named(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(20)
    show([{"sku": "A", "quantity": 123456, "spare": "s" * 30}], ["sku", "quantity", "spare"], "table", view=View(spare=("spare",)))
    out, err = capsys.readouterr()
    assert plain(out) == "sku  quantity\nA     123,456\n"
    assert plain(err) == "columns left out: spare (--format csv has them all)\n"
    terminal(80)
    show_table([{"sku": "A", "spare": "s" * 30}], ["sku", "spare"], view=View(spare=("spare",)))
    out, err = capsys.readouterr()
    assert plain(out).split() == ["sku", "spare", "A", "s" * 30]
    assert err == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("240.000"), "240"),
        (Decimal("1234567.5000"), "1,234,567.50"),
        (Decimal("0.125"), "0.125"),
        (Decimal("-1000.100"), "-1,000.10"),
        (Decimal("1E+3"), "1,000"),
        (1234567, "1,234,567"),
        (True, "yes"),
        (Shown("12.50"), "12.50"),
        (None, ""),
        (dt.datetime(2025, 12, 20, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2025-12-20 00:00 UTC"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
    ],
)
def test_cells_are_for_reading(value: object, shown: str) -> None:
    assert cell(value) == shown


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**14), max_value=10**14))
def test_a_shown_decimal_is_the_same_number(value: Decimal) -> None:
    assert Decimal(cell(value).replace(",", "")) == value


def test_notes_are_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("a [bold]name[/bold]\n\x1b[31m" + "y" * 200, "red")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "a [bold]name[/bold]\\n\\x1b[31m" + "y" * 200 + "\n"
    assert clean("plain é 中") == "plain é 中"


def test_steps_are_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with steps("Running 2025-12-20") as on_step:
        on_step("order_lines")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == "Running 2025-12-20"
    assert re.fullmatch(r"  at +0\.\d s  order_lines", second)
