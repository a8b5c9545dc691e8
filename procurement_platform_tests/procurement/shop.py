"""A small retailer for tests: three markets, a few products, two suppliers; files are put into its inbox and its days are run.

Its runs go through the same steps as Dagster's, in the same order, without Dagster: a tenth of the time.
"""

import csv
import datetime as dt
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
from fastavro import parse_schema, writer

from procurement_platform.dayrun import DayRun
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement import planning, publication, service
from procurement_platform.procurement.feeds import FEED_BY_NAME
from procurement_platform.procurement.intake import take_in
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.reference.load import load_reference
from procurement_platform.procurement.reference.pins import pin

DAY = dt.date(2025, 12, 20)
NOON = dt.datetime(2025, 12, 20, 12, tzinfo=dt.UTC)
REFERENCE = {
    "markets": "market,name,currency,timezone\nDE,Germany,EUR,Europe/Berlin\nGB,Britain,GBP,Europe/London\nJP,Japan,JPY,Asia/Tokyo\n",
    "products": "sku,name,category\nA,Apple,fruit\nB,Bread,bakery\nC,Cheese,dairy\nN,Nobody sells it,misc\n",
    "suppliers": "supplier_id,name,currency\nS1,First,EUR\nS2,Second,USD\n",
    "supplier_products": (
        "supplier_id,sku,priority,min_quantity,unit_price,moq,pack_size,lead_time_days\n"
        "S1,A,1,0,2.50,10,6,3\nS1,B,1,0,1.20,0,1,1\nS2,C,1,0,7.0000,5,5,10\nS2,A,2,0,2.00,0,1,2\n"
    ),
    "planning_parameters": "sku,market,safety_stock\nA,,2\nA,JP,5\n",
}
_numbers = itertools.count(1)
Row = dict[str, object]


def order(order_id: str, sku: str, quantity: object, **more: object) -> Row:
    """An order line as a market sends it; what is not given has a plain value."""
    return {"order_id": order_id, "sku": sku, "quantity": quantity, "unit_price": "9.99", "ordered_at": "2025-12-20T12:00:00Z", **more}


def count(sku: str, available: object, reserved: object = 0, **more: object) -> Row:
    """A stock row as a market sends it."""
    return {"sku": sku, "available": available, "reserved": reserved, **more}


@dataclass
class Shop:
    """The retailer. `run` runs a day as the day's job does and returns the run's id."""

    platform: Platform

    @property
    def inbox(self) -> Path:
        return Path(self.platform.lake.path("inbox"))

    def load(self, changes: Mapping[str, str] | None = None) -> None:
        """Loads the reference tables, with some of them changed."""
        folder = self.platform.settings.home / "reference-csv"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**REFERENCE, **(changes or {})}.items():
            (folder / f"{name}.csv").write_text(text)
        load_reference(self.platform.database, folder)

    def put(self, feed: str, market: str, rows: Sequence[Row], *, suffix: str = "", form: str = "avro", day: dt.date = DAY) -> Path:
        """Puts a market's file into the inbox, as CSV or Avro."""
        full = [{"market": market, **row} for row in rows]
        return self.put_bytes(feed, f"{market}{suffix}.{form}", _avro(feed, full) if form == "avro" else _csv(full), day=day)

    def put_bytes(self, feed: str, name: str, data: bytes, *, day: dt.date = DAY) -> Path:
        """Puts any bytes into the inbox under any name."""
        path = self.inbox / feed / day.isoformat() / name
        if self.platform.lake.local:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        else:
            self.platform.lake.write(f"inbox/{feed}/{day}/{name}", data)
        return path

    def all_counted(self, *, day: dt.date = DAY, except_for: Sequence[str] = ()) -> None:
        """Empty but accepted stock files of every market: its stock is known to be zero."""
        for market in ("DE", "GB", "JP"):
            if market not in except_for:
                self.put("stock", market, [count("A", 0)], day=day)

    def day(self, day: dt.date = DAY, run_id: str | None = None) -> DayRun:
        return DayRun(self.platform, DOMAIN, day, run_id or f"run-{next(_numbers)}", launched_by="test")

    def run(self, day: dt.date = DAY, *, refresh: bool = False) -> str:
        run = self.day(day)
        try:
            for name, step in (
                ("reference", lambda: pin(self.platform, day, refresh=refresh)),
                ("intake", lambda: take_in(run)),
                ("aggregated_orders", lambda: planning.make_aggregated_orders(run)),
                ("net_demand", lambda: planning.make_net_demand(run)),
                ("supplier_orders", lambda: planning.make_supplier_orders(run)),
                ("exceptions", lambda: publication.make_exceptions(run)),
                ("published_day", lambda: publication.publish_day(run)),
            ):
                with run.step(name):
                    step()
        except BaseException:
            publication.report_crash(run)
            raise
        finally:
            run.close()
        return run.run_id

    def rows(self, table: Table, day: dt.date = DAY) -> list[Row]:
        """A table's rows for a day, without the run date, files' ids and row numbers left in."""
        lake, rows = self.platform.lake, []
        for path in self.platform.catalog.files(table, day):
            with lake.open(path) as file:
                rows += pq.read_table(file).to_pylist()
        return [{k: v for k, v in row.items() if k != "run_date"} for row in rows]

    def demand(self, day: dt.date = DAY) -> dict[tuple[str, str], Row]:
        return {(str(r["market"]), str(r["sku"])): r for r in service.demand(self.platform, day)}

    def orders(self, day: dt.date = DAY) -> dict[str, tuple[str, Decimal]]:
        """SKU → (supplier, quantity)."""
        return {str(r["sku"]): (str(r["supplier_id"]), Decimal(str(r["quantity"]))) for r in service.orders(self.platform, day)}

    def exceptions(self, day: dt.date = DAY) -> list[tuple[str, str, str, str, int]]:
        """(rule, market, SKU, file, rows) of the day's report."""
        return [
            (str(r["rule"]), str(r["market"] or ""), str(r["sku"] or ""), str(r["file"] or ""), int(str(r["rows"])))
            for r in service.exceptions(self.platform, day)
        ]

    def report(self, day: dt.date = DAY) -> str:
        """The report at its stable path."""
        return self.platform.lake.read(f"logs/exceptions/date={day}/exceptions.csv").decode()

    def csvs(self, day: dt.date = DAY) -> dict[str, str]:
        """The suppliers' files at their stable paths, as one who opens them finds them."""
        lake, stable = self.platform.lake, publication.orders_folder(day)
        if not lake.local:
            return {name: lake.read(f"{stable}/{name}").decode() for name in sorted(lake.files(stable)) if name[0] not in "!."}
        folder = Path(lake.path(stable))
        return {path.name: path.read_text() for path in sorted(folder.glob("[!.]*")) if path.is_file()}

    def ledger(self, day: dt.date = DAY) -> dict[tuple[str, str, str], LedgerFile]:
        """(feed, file name, state) → the ledger's row."""
        return {(f.feed, f.file_name, f.state): f for f in self.platform.ledger.files(day)}


def _csv(rows: Sequence[Row]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    out = csv.DictWriter(text, columns)
    out.writeheader()
    out.writerows(rows)
    return text.getvalue().encode()


def _avro(feed: str, rows: Sequence[Row]) -> bytes:
    data = io.BytesIO()
    schema = parse_schema(json.loads(FEED_BY_NAME[feed].contract.avsc))
    writer(data, schema, [{k: _native(k, v) for k, v in row.items()} for row in rows], codec="deflate", sync_marker=b"0" * 16)
    return data.getvalue()


def _native(field: str, value: object) -> object:
    if field in ("quantity", "unit_price", "available", "reserved"):
        return Decimal(str(value))
    return dt.datetime.fromisoformat(str(value)) if field.endswith("_at") else value
