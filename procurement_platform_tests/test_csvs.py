import csv
import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.csvs import FORMULA_STARTS, cell, cells, csv_bytes, csv_of_cells, csv_pieces


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


TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8")), st.sampled_from([f"{start}x" for start in FORMULA_STARTS]))
VALUES = st.tuples(
    TEXTS,
    st.none() | st.decimals(-(10**14), 10**14, places=3),
    st.none() | st.decimals(-(10**30), 10**30, places=4),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.dates(),
    st.none() | st.booleans(),
)
KINDS = (pa.string(), pa.decimal128(18, 3), pa.decimal128(38, 4), pa.int64(), pa.date32(), pa.bool_())


@given(st.lists(VALUES, max_size=5))
def test_a_table_by_columns_is_the_same_csv_as_value_by_value(rows: list[tuple[object, ...]]) -> None:
    names = [f"c{place}" for place in range(len(KINDS))]
    columns = [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(KINDS)]
    table = pa.table(columns, names=names)
    whole = csv_bytes(names, [list(row.values()) for row in table.to_pylist()])
    assert csv_of_cells(names, cells(table)) == whole
    assert b"".join(csv_pieces(names, table.to_batches(max_chunksize=2))) == whole
