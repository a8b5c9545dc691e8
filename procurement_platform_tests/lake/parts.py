"""A table of its own, so that the lake is tested without any domain."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.lake.files import Lake
from procurement_platform.lake.tables import Column, Table

PARTS = Table(
    "parts",
    "processed",
    "A table of the tests.",
    (
        Column("run_date", "date", "The business day.", required=True),
        Column("part", "varchar", "Its name.", required=True),
        Column("amount", "decimal(18,3)", "Units."),
    ),
    key=("part",),
)
Stage = Callable[..., list[str]]


def staged(lake: Lake, day: dt.date, run_id: str) -> list[str]:
    """A run's file of one row, its part named like the run, in a lake without a registry."""
    folder = Path(lake.make_folder(f"{PARTS.folder(day)}/{run_id}"))
    rows = pa.table({"run_date": [day], "part": [run_id], "amount": [None]}, schema=PARTS.arrow)
    pq.write_table(rows, folder / "part-0.parquet")
    return [str(folder / "part-0.parquet")]
