"""The Parquet files of a decoding process: row groups of a size that fits its memory."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from procurement_platform.inbox import output
from procurement_platform.inbox.output import ParquetOutput


def groups(folder: Path, text: str) -> list[int]:
    made = ParquetOutput(folder / "made.parquet", folder / ".unfinished", {"row_number": "bigint", "row": "varchar"}, {})
    for first in range(0, 400, 100):
        made.add(pl.DataFrame({"row_number": [*range(first, first + 100)], "row": [text] * 100}))
    [path] = made.keep()
    with pq.ParquetFile(path) as file:
        assert file.read()["row_number"].to_pylist() == [*range(400)]
        return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def test_rows_with_long_texts_are_written_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert groups(tmp_path, "x" * 1000) == [400]
    monkeypatch.setattr(output, "_WAITING_BYTES", 150_000)
    assert groups(tmp_path, "x" * 1000) == [200, 200]
    assert groups(tmp_path, "short") == [400]
