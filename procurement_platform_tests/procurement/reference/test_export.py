"""Export and load are each other's inverse, byte for byte."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.export import csv_bytes, export_reference
from procurement_platform.procurement.reference.load import load_reference
from procurement_platform.procurement.reference.read import read_table
from procurement_platform.procurement.reference.sample import SAMPLE, ensure_sample
from procurement_platform.procurement.reference.tables import BY_NAME, REFERENCE_TABLES, ReferenceColumn, ReferenceTable

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")), min_size=1, max_size=12)
_FORMS = {
    "market": st.from_regex(r"[A-Z0-9](_?[A-Z0-9-]){0,5}", fullmatch=True),
    "supplier_id": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
    "sku": _TEXT.map(str.strip).filter(bool),
    "currency": st.sampled_from(["EUR", "JPY"]),
    "timezone": st.sampled_from(["UTC", "Asia/Tokyo"]),
    "time": st.times().map(lambda time: f"{time:%H:%M}"),
    "text": _TEXT,
}


def cells(column: ReferenceColumn) -> st.SearchStrategy[object]:
    value: st.SearchStrategy[object]
    if column.choices:
        value = st.sampled_from(column.choices)
    elif column.type == "varchar":
        value = _FORMS[column.form]
    elif column.type == "boolean":
        value = st.booleans()
    elif column.type == "date":
        value = st.dates(dt.date(1000, 1, 1))
    elif column.type == "integer":
        value = st.integers(0, 3650)
    else:
        places = 3 if column.type == "decimal(18,3)" else 4
        value = st.integers(1 if column.above else 0, 10**8 * 10**places).map(lambda number: Decimal(number).scaleb(-places))
    return value if column.required else st.none() | value


@st.composite
def tables(draw: st.DrawFn) -> tuple[ReferenceTable, pa.Table]:
    table = draw(st.sampled_from(REFERENCE_TABLES))
    rows = draw(st.lists(st.tuples(*(cells(column) for column in table.columns)), max_size=6))
    columns = zip(*rows, strict=True) if rows else [()] * len(table.columns)
    return table, pa.table([pa.array(values, field.type) for values, field in zip(columns, table.arrow, strict=True)], schema=table.arrow)


@given(tables())
def test_what_is_written_is_read_back_equal(tmp_path_factory: pytest.TempPathFactory, drawn: tuple[ReferenceTable, pa.Table]) -> None:
    table, content = drawn
    path = tmp_path_factory.mktemp("table") / f"{table.name}.csv"
    path.write_bytes(csv_bytes(content))
    file = read_table(path, table)
    assert [str(problem) for problem in file.problems] == []
    assert file.frame.select(table.column_names).to_dicts() == content.to_pylist()


def test_the_sample_goes_in_and_out_byte_for_byte(database: Database, tmp_path: Path) -> None:
    assert ensure_sample(database)
    written = export_reference(database, tmp_path / "new" / "folder")
    assert [path.name for path in written] == [f"{name}.csv" for name in BY_NAME]
    for path in written:
        assert path.read_bytes() == (SAMPLE / path.name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(path.name for path in written)


def test_texts_that_look_like_something_else_survive(database: Database, tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text(
        'sku,name,category,uom\n001,"a ""quoted"", name",NULL,"\'"\n=1+1, blanks ,\\N,-\nÄ,\u00a0,"\\.",kg\n', encoding="utf-8"
    )
    load_reference(database, tmp_path)
    export_reference(database, tmp_path / "out")
    first = (tmp_path / "out" / "products.csv").read_bytes()
    load_reference(database, tmp_path / "out")
    export_reference(database, tmp_path / "again")
    assert (tmp_path / "again" / "products.csv").read_bytes() == first
    assert first.decode().splitlines()[1:] == ['001,"a ""quoted"", name",NULL,\',,', "=1+1, blanks ,\\N,-,,", "Ä,\u00a0,\\.,kg,,"]
