"""Parquet files are read alike, wherever the lake is."""

import io
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.lake.files import Lake
from procurement_platform.lake.parquet import footer, read_batches, read_columns, read_rows


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "a lake")) if request.param == "local" else Lake(f"memory://parquet-{uuid4().hex}")


def put(lake: Lake, name: str, rows: int, begin: int = 0) -> str:
    sink = io.BytesIO()
    table = pa.table({"n": range(begin, begin + rows), "text": [f"row {n}" for n in range(begin, begin + rows)]})
    pq.write_table(table, sink, row_group_size=4)
    lake.write(name, sink.getvalue())
    return lake.path(name)


def test_a_footer_tells_rows_and_columns(lake: Lake) -> None:
    found = footer(lake, put(lake, "t/a.parquet", 10))
    assert (found.num_rows, found.num_row_groups, found.schema.names) == (10, 3, ["n", "text"])


def test_files_become_one_table_in_the_order_given(lake: Lake) -> None:
    files = [put(lake, "t/b.parquet", 3, 100), put(lake, "t/a.parquet", 2)]
    assert read_columns(lake, files).to_pylist()[2:4] == [{"n": 102, "text": "row 102"}, {"n": 0, "text": "row 0"}]
    assert read_columns(lake, files, ["n"]).to_pydict() == {"n": [100, 101, 102, 0, 1]}


def test_rows_come_one_by_one_and_may_be_left_early(lake: Lake) -> None:
    path = put(lake, "t/a.parquet", 10)
    assert [row["n"] for row in read_rows(lake, path, 3)] == list(range(10))
    rows = read_rows(lake, path, 3)
    assert next(rows) == {"n": 0, "text": "row 0"}
    rows.close()  # type: ignore[attr-defined]


def test_batches_are_never_larger_than_asked_and_have_the_columns_asked_for(lake: Lake) -> None:
    path = put(lake, "t/a.parquet", 10)
    batches = list(read_batches(lake, path, ["n"], batch=3))
    assert max(batch.num_rows for batch in batches) == 3
    assert [n for batch in batches for n in batch["n"].to_pylist()] == list(range(10))
    assert {tuple(batch.schema.names) for batch in batches} == {("n",)}
    assert next(read_batches(lake, path)).schema.names == ["n", "text"]


def test_a_file_that_is_gone_is_not_there(lake: Lake) -> None:
    with pytest.raises(FileNotFoundError):
        footer(lake, lake.path("t/none.parquet"))
