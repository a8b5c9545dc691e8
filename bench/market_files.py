"""What the benchmarks read: a home with its reference set, and days of market files written by the platform's own simulator.

All files are Avro (snappy). A few of them hold what goes wrong on a usual day, so that every branch of the work has some to do.
"""

import datetime as dt
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.lake.files import Lake
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import ORDERS, STOCK
from procurement_platform.procurement.reference.snapshot import read_tables
from procurement_platform.procurement.simulator.demand import order_tables, stock_tables
from procurement_platform.procurement.simulator.faults import Mischief, Spoiler
from procurement_platform.procurement.simulator.files import Desk
from procurement_platform.procurement.simulator.reference_set import load_made_reference
from procurement_platform.procurement.simulator.styles import style_of
from procurement_platform.procurement.simulator.world import world_of

SEED = 1
SKUS_PER_SUPPLIER = 100
# What goes wrong in the file of the first, second, … market; the files of all others are right.
ORDER_FAULTS = (
    {"duplicate": 12, "unknown": 8},
    {"conflict": 6, "negative": 9},
    {"duplicate": 5, "conflict": 4, "other_market": 7},
    {"unknown": 20, "negative": 3},
)
STOCK_FAULTS = ({"unknown": 4, "reserved": 6}, {"negative": 5})
STOCK_SENT_TWICE = 2  # the market that sends some stock rows again


def make_reference_set(platform: Platform, markets: int, skus: int) -> dict[str, pa.Table]:
    """Loads a made reference set of which at least so many markets and SKUs are active on any day; returns its tables."""
    products = skus + skus // 20 + 10  # a few in a hundred are not active
    load_made_reference(platform.database, markets, products, max(products // SKUS_PER_SUPPLIER, 1))
    with platform.database.connect(autocommit=True) as connection:
        return read_tables(connection)


def export_reference(tables: dict[str, pa.Table], folder: Path) -> None:
    """The reference tables as Parquet files, for the hand-written scripts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", store_decimal_as_integer=True)


def write_day(lake: Lake, tables: dict[str, pa.Table], day: dt.date, lines: int, skus: int) -> int:
    """Writes one day's files into the inbox, `lines` order lines over all markets; returns their size in bytes."""
    world = world_of(tables, day, None, skus)
    shares, size = world.lines(lines), 0
    for place, market in enumerate(world.markets):
        desk = Desk(lake, day, SEED, market.timezone, style_of(market, mixed=False))
        late = f"{market.code}__late"
        for feed, faults, rows in (
            (ORDERS, ORDER_FAULTS, order_tables(world, market, day, shares[market.code], SEED)),
            (STOCK, STOCK_FAULTS, stock_tables(world, market, day, shares[market.code], SEED, desk.style.warehouses)),
        ):
            mischief = Mischief(kinds=dict(faults[place]) if place < len(faults) else {})
            spoiler = Spoiler(mischief, world, market, desk.path(feed, market.code), desk.path(feed, late))
            size += desk.write(feed, market.code, spoiler.through(rows)).bytes
            if spoiler.late is not None:
                size += desk.write(feed, late, [spoiler.late]).bytes
        if place == STOCK_SENT_TWICE:
            rows = stock_tables(world, market, day, shares[market.code], SEED, desk.style.warehouses)
            size += desk.write(STOCK, late, [_sent_again(next(rows))]).bytes
    return size


def _sent_again(stock: pa.Table) -> pa.Table:
    """Some stock rows a second time, the last two with another count."""
    frame = pl.DataFrame(stock).slice(100, 5)
    more = pl.when(pl.int_range(pl.len()) >= 3).then(pl.col("available") + 1).otherwise(pl.col("available"))  # noqa: PLR2004
    return frame.with_columns(more.alias("available")).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(stock.schema)
