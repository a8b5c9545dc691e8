"""A market's desk: writes files in any format, hands them to the decode pass, and reads back what became of them."""

import csv
import datetime as dt
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask, Limits
from procurement_platform.procurement.feeds import ORDERS
from procurement_platform.settings import Settings

DAY = dt.date(2025, 12, 20)
NOON = dt.datetime(2025, 12, 20, 12, tzinfo=dt.UTC)
Row = dict[str, Any]


def order(number: int = 1, **values: Any) -> Row:
    """An order line that breaks no rule, save for `values`."""
    row: Row = {
        "order_id": f"O-{number}",
        "line_number": 1,
        "market": "DE",
        "sku": f"SKU-{number % 5 + 1}",
        "quantity": Decimal("2.500"),
        "unit_price": Decimal("9.9900"),
        "currency": "EUR",
        "ordered_at": NOON,
        "customer_id": None,
    }
    return row | values


def stock(number: int = 1, **values: Any) -> Row:
    """A stock row that breaks no rule, save for `values`."""
    row: Row = {"market": "DE", "sku": f"SKU-{number % 5 + 1}", "available": Decimal(10), "reserved": Decimal(0), "counted_at": None}
    return row | {"warehouse": f"W{number}"} | values


def as_text(rows: Sequence[Row]) -> list[dict[str, str]]:
    def cell(value: Any) -> str:
        return "" if value is None else value.isoformat() if isinstance(value, dt.datetime) else str(value)

    return [{name: cell(value) for name, value in row.items()} for row in rows]


def avro(rows: Sequence[Row], feed: Feed = ORDERS, schema: Any = None, codec: str = "null", sync: int = 16000) -> bytes:
    target = io.BytesIO()
    parsed = fastavro.parse_schema(schema or json.loads(feed.contract.avsc))
    fastavro.writer(target, parsed, rows, codec=codec, sync_interval=sync, sync_marker=b"0123456789abcdef")
    return target.getvalue()


def csv_bytes(rows: Sequence[Row], delimiter: str = ",", names: Sequence[str] | None = None) -> bytes:
    target = io.StringIO(newline="")
    writer = csv.DictWriter(target, names or list(dict.fromkeys(name for row in rows for name in row)), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(as_text(rows))
    return target.getvalue().encode()


def jsonl(rows: Sequence[Row]) -> bytes:
    def value(each: Any) -> Any:
        return each.isoformat() if isinstance(each, dt.datetime) else str(each) if isinstance(each, Decimal) else each

    return "".join(json.dumps({name: value(each) for name, each in row.items()}) + "\n" for row in rows).encode()


def parquet(rows: Sequence[Row], types: dict[str, pa.DataType] | None = None) -> bytes:
    """Rows as Parquet, decimals and instants as such; `types` overrides a column's type."""
    target = io.BytesIO()
    given = types or {}
    arrays = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        kind = next((type(value) for value in values if value is not None), str)
        usual: dict[type, pa.DataType] = {
            Decimal: pa.decimal128(18, 4),
            dt.datetime: pa.timestamp("us", "UTC"),
            int: pa.int64(),
            str: pa.string(),
        }
        arrays[name] = pa.array(values, given.get(name) or usual[kind])
    pq.write_table(pa.table(arrays), target)
    return target.getvalue()


WRITERS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "avro": avro,
    "csv": csv_bytes,
    "csv.gz": lambda rows: gzip.compress(csv_bytes(rows), mtime=0),
    "jsonl": jsonl,
    "parquet": parquet,
}


@dataclass
class Desk:
    """Files of one market, decoded under a folder of their own."""

    root: Path
    pool: DecoderPool

    def task(self, content: bytes, form: str, name: str = "DE", feed: Feed = ORDERS, **changes: Any) -> DecodeTask:
        source = self.root / "inbox" / f"{name}.{form}"
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(content)
        own_limits = {key: changes.pop(key) for key in list(changes) if key in {each.name for each in fields(Limits)}}
        limits = replace(Limits.of(Settings(_env_file=None)), **own_limits)
        made = DecodeTask(
            feed=feed.name,
            run_date=DAY,
            market="DE",
            timezone="Europe/Berlin",
            name=name,
            file_name=source.name,
            format=form,  # type: ignore[arg-type]
            source=str(source),
            raw_folder=str(self.root / "raw"),
            rejected_folder=str(self.root / "rejected"),
            lines_folder=str(self.root / "lines"),
            quarantine_folder=str(self.root / "quarantine"),
            contract=feed.contract.avsc,
            columns=feed.lines.sql_types,
            products=str(self._products()),
            limits=limits,
        )
        return replace(made, **changes)

    def decode(self, content: bytes, form: str, **changes: Any) -> DecodeOutcome:
        [outcome] = self.pool.run([self.task(content, form, **changes)])
        if outcome.status == "accepted":
            assert outcome.rows == outcome.accepted + outcome.quarantined
            assert outcome.accepted == len(self.lines(outcome))
            assert outcome.quarantined == len(self.quarantine(outcome))
        elif outcome.status == "rejected":
            assert outcome.reason is not None
            assert "\n" not in outcome.reason
            assert not outcome.lines_files
            assert not outcome.quarantine_files
            assert len(outcome.sha256) == 64
        return outcome

    def lines(self, outcome: DecodeOutcome) -> list[Row]:
        return self._read(outcome.lines_files)

    def quarantine(self, outcome: DecodeOutcome) -> list[Row]:
        return self._read(outcome.quarantine_files)

    def reasons(self, outcome: DecodeOutcome) -> dict[int, str]:
        return {row["row_number"]: row["reasons"] for row in self.quarantine(outcome)}

    def left_behind(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file() and path.name != "products.parquet"
        )

    def _read(self, files: Sequence[str]) -> list[Row]:
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def _products(self) -> Path:
        path = self.root / "products.parquet"
        if not path.exists():
            days = {"active_from": [None] * 5 + [None, dt.date(2025, 12, 21)], "active_to": [None] * 5 + [dt.date(2025, 12, 19), None]}
            skus = {"sku": [f"SKU-{number}" for number in range(1, 6)] + ["SKU-OLD", "SKU-NEW"]}
            pl.DataFrame(skus | days, schema={"sku": pl.String, "active_from": pl.Date, "active_to": pl.Date}).write_parquet(path)
        return path
