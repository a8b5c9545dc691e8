"""What the hand-written scripts share: finding the day's files, hashing and copying them, the window of times, the suppliers' CSVs."""

import argparse
import csv
import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from zoneinfo import ZoneInfo

ORDER_COLUMNS = (
    "run_date",
    "supplier_id",
    "sku",
    "need",
    "quantity",
    "pack_size",
    "moq",
    "unit_price",
    "currency",
    "amount",
    "expected_date",
)
MAX_TEXT, MAX_QUANTITY, MAX_PRICE, WINDOW_DAYS = 256, 1_000_000_000, 100_000_000, 7


@dataclass(frozen=True)
class Day:
    """What a script is asked: the inbox, the reference tables as Parquet, where results go, the run date, and in how many processes."""

    inbox: Path
    reference: Path
    out: Path
    date: dt.date
    processes: int

    def files(self, feed: str) -> list[Path]:
        return sorted(p for p in (self.inbox / feed / self.date.isoformat()).iterdir() if p.name[0] not in "._")

    def window_us(self, zone: str) -> tuple[int, int]:
        """The window of `ordered_at` in a time zone: its first microsecond since 1970-01-01 UTC, and the first after it."""
        first, after = self.date - dt.timedelta(WINDOW_DAYS), self.date + dt.timedelta(1)
        start, end = (int(dt.datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000 for d in (first, after))
        return start, end


@dataclass(frozen=True)
class Taken:
    """A file that was hashed and copied; `data` are its bytes."""

    feed: str
    market: str
    file: str
    file_id: str
    data: bytes


def the_day() -> Day:
    """The day that the command line names."""
    parser = argparse.ArgumentParser()
    for name in ("inbox", "reference", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("date", type=dt.date.fromisoformat)
    parser.add_argument("processes", type=int, nargs="?", default=os.cpu_count())
    day = Day(**vars(parser.parse_args()))
    for folder in ("raw/orders", "raw/stock", "order_lines", "stock_lines", "csv"):
        (day.out / folder).mkdir(parents=True)
    return day


def take(day: Day, feed: str, path: Path) -> Taken:
    """Hashes a file and copies it to the raw files."""
    data = path.read_bytes()
    name = path.name.split(".")[0]
    sha256 = hashlib.sha256(data).hexdigest()
    file_id = hashlib.sha256(f"{feed}/{day.date}/{path.name}\n{sha256}".encode()).hexdigest()[:16]
    (day.out / "raw" / feed / f"{name}.{file_id}.avro").write_bytes(data)
    return Taken(feed, name.split("__")[0], path.name, file_id, data)


def write_csvs(day: Day, orders: Iterable[Mapping[str, object]]) -> None:
    """One CSV per supplier, of supplier orders in the order of supplier and SKU."""
    for supplier, lines in groupby(orders, key=itemgetter("supplier_id")):
        with (day.out / "csv" / f"{supplier}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(ORDER_COLUMNS)
            writer.writerows(_cells([line[column] for column in ORDER_COLUMNS]) for line in lines)


def _cells(values: Sequence[object]) -> list[str]:
    return [format(v, "f") if isinstance(v, Decimal) else str(v) for v in values]
