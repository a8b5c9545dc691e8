"""What a day's run came to, the platform's or a script's, and where two of them differ."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement.publication import orders_folder
from procurement_platform.procurement.service import published_day
from procurement_platform.procurement.tables import (
    AGGREGATED_ORDERS,
    NET_DEMAND,
    ORDER_LINES,
    STOCK_LINES,
    SUPPLIER_ORDER_ALLOCATIONS,
    SUPPLIER_ORDERS,
)

COMPARED = (AGGREGATED_ORDERS, NET_DEMAND, SUPPLIER_ORDERS, SUPPLIER_ORDER_ALLOCATIONS)
PLACE = ["feed", "file", "row_number", "rule"]


@dataclass(frozen=True)
class Results:
    """`csvs` by file name; `tables` by name, sorted by key; `left_out`: feed, file, row and why; `accepted` rows by lines table."""

    csvs: Mapping[str, bytes]
    tables: Mapping[str, pl.DataFrame]
    left_out: pl.DataFrame
    accepted: Mapping[str, int]

    @property
    def counts(self) -> str:
        rules = ", ".join(f"{rows:,} {rule}" for rule, rows in self.left_out.group_by("rule").len().sort("rule").iter_rows())
        accepted = ", ".join(f"{rows:,} {name}" for name, rows in self.accepted.items())
        return f"{accepted}; {rules}; {self.tables['supplier_orders'].height:,} supplier orders in {len(self.csvs):,} files"


def results_of_script(out: Path) -> Results:
    """What a hand-written script left in its folder."""
    return Results(
        {path.name: path.read_bytes() for path in (out / "csv").iterdir()},
        {table.name: _read([str(out / f"{table.name}.parquet")], table) for table in COMPARED},
        _left_out([str(out / "quarantine.parquet")], {"": str(out / "duplicates.parquet")}),
        {table.name: _rows(sorted(map(str, (out / table.name).glob("*.parquet")))) for table in (ORDER_LINES, STOCK_LINES)},
    )


def results_of_platform(platform: Platform, run_date: dt.date) -> Results:
    """What the platform published of a day."""
    day = published_day(platform, run_date)

    def files(table: Table) -> list[str]:
        return platform.publisher.run_files(table, run_date, day.tables[table.name])

    lines = {table.name: files(table) for table in (ORDER_LINES, STOCK_LINES)}
    quarantine = [
        str(path)
        for feed in ("orders", "stock")
        for path in Path(platform.lake.path("quarantine", feed, run_date.isoformat(), day.tables["quarantine"])).glob("*.parquet")
    ]
    duplicates = {}
    for feed, table in (("orders", ORDER_LINES), ("stock", STOCK_LINES)):
        found = Path(platform.lake.path(table.folder(run_date), day.tables[table.name], "_work", "duplicates.parquet"))
        if found.exists():
            duplicates[feed] = str(found)
    folder = Path(platform.lake.path(orders_folder(run_date)))
    return Results(
        {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()},
        {table.name: _read(files(table), table) for table in COMPARED},
        _left_out(quarantine, duplicates),
        {name: _rows(paths) for name, paths in lines.items()},
    )


def differences(expected: Results, found: Results) -> list[str]:
    """What of `found` is not as in `expected`, in words; empty where all is the same."""
    told = []
    if expected.csvs != found.csvs:
        names = sorted(n for n in {*expected.csvs, *found.csvs} if expected.csvs.get(n) != found.csvs.get(n))
        told.append(f"{len(names)} CSV files, the first {names[0]}")
    for name, table in expected.tables.items():
        if not table.equals(found.tables[name]):
            told.append(f"{name} ({table.height} and {found.tables[name].height} rows)")
    if not expected.left_out.equals(found.left_out):
        odd = expected.left_out.join(found.left_out, on=PLACE, how="anti"), found.left_out.join(expected.left_out, on=PLACE, how="anti")
        told.append(f"rows left out (missing: {odd[0].head(3).rows()}, too many: {odd[1].head(3).rows()})")
    if expected.accepted != found.accepted:
        told.append(f"rows accepted ({dict(expected.accepted)} and {dict(found.accepted)})")
    return told


def _read(paths: list[str], table: Table) -> pl.DataFrame:
    wanted = {c.name: pl.Decimal(*_scale(c.type)) for c in table.columns if c.type.startswith("decimal")}
    frame = pl.concat(pl.read_parquet(path, hive_partitioning=False) for path in paths)
    return frame.select(pl.col(c.name).cast(wanted.get(c.name, frame.schema[c.name])) for c in table.columns).sort(table.key)


def _scale(kind: str) -> tuple[int, int]:
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)


def _left_out(quarantine: list[str], duplicates: Mapping[str, str]) -> pl.DataFrame:
    frames = [pl.read_parquet(path, hive_partitioning=False).select(PLACE) for path in quarantine]
    for feed, path in duplicates.items():
        frame = pl.read_parquet(path, hive_partitioning=False).with_columns(rule=pl.lit("DUPLICATE_ORDER"))
        frames.append((frame.with_columns(feed=pl.lit(feed)) if feed else frame).select(PLACE))
    return pl.concat(frames).sort(PLACE)


def _rows(paths: list[str]) -> int:
    return sum(pl.scan_parquet(path).select(pl.len()).collect().item() for path in paths)
