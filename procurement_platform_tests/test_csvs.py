import csv
import datetime as dt
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.csvs import FORMULA_STARTS, cell, csv_bytes


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (Decimal("-1.500"), "-1.500"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.0001"), "0.0001"),
        (-7, "-7"),
        (True, "true"),
        (dt.date(2025, 12, 20), "2025-12-20"),
        ("plain", "plain"),
        ("=SUM(A1)", "'=SUM(A1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
    ],
)
def test_cells_show_numbers_as_numbers_and_never_a_formula(value: object, shown: str) -> None:
    assert cell(value) == shown


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.decimals(allow_nan=False, allow_infinity=False, places=3))))
def test_what_is_written_reads_back(rows: list[tuple[str, Decimal]]) -> None:
    data = csv_bytes(("text", "number"), rows).decode()
    read = list(csv.reader(io.StringIO(data, newline="")))
    assert read[0] == ["text", "number"]
    back = [(t.removeprefix("'") if t[1:].startswith(FORMULA_STARTS) else t, Decimal(n)) for t, n in read[1:]]
    expected = [(t, n) for t, n in rows]
    assert [n for _, n in back] == [n for _, n in expected]
    assert [t for t, _ in back] == [t[1:] if t.startswith("'") and t[1:].startswith(FORMULA_STARTS) else t for t, _ in expected]


def test_a_header_alone_is_a_file() -> None:
    assert csv_bytes(("a", "b"), []) == b"a,b\n"
