"""Reads simulated files back by other means than the platform's, and finds in plain Python what is wrong with them."""

import csv
import datetime as dt
import gzip
import io
import json
from collections import Counter, defaultdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import fastavro
import pyarrow.parquet as pq

from procurement_platform.procurement.feeds import FEED_BY_NAME

Row = dict[str, Any]


def read_rows(path: Path, feed: str, zone: str) -> list[Row]:
    """The file's rows under the contract's names; numbers as Decimal (None where they are none), instants in UTC, '' as None."""
    contract = FEED_BY_NAME[feed].contract
    raw = _raw(path)
    columns = contract.match(raw[0] if raw else [])
    kinds = {each.name: each.kind for each in contract.fields}
    return [{name: _value(row[column], kinds[name], zone) for name, column in columns.items()} for row in raw]


def _raw(path: Path) -> list[Row]:
    content = path.read_bytes()
    match path.name.split(".", 1)[1]:
        case "avro":
            return list(fastavro.reader(io.BytesIO(content)))  # type: ignore[arg-type]
        case "parquet":
            return pq.read_table(io.BytesIO(content)).to_pylist()
        case "jsonl":
            return [json.loads(line) for line in content.decode().splitlines()]
        case "csv.gz":
            content = gzip.decompress(content)
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


def _value(value: Any, kind: str, zone: str) -> Any:
    if value in (None, ""):
        return None
    if kind == "decimal" and not isinstance(value, Decimal):
        try:
            return Decimal(str(value))
        except InvalidOperation:
            return None
    if kind == "instant":
        instant = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        return (instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(zone))).astimezone(dt.UTC)
    return int(value) if kind == "integer" else value


def broken_rules(files: dict[str, list[Row]], active: set[str]) -> Counter[tuple[str, str]]:
    """How many rows of each file break which rule; `files` by path relative to the inbox."""
    found: Counter[tuple[str, str]] = Counter()
    by_key: dict[tuple[Any, ...], list[tuple[str, int, Row]]] = defaultdict(list)
    for path, rows in sorted(files.items(), key=lambda item: item[0].rsplit("/", 1)[1].split(".")[0]):
        feed, _, name = path.split("/")
        market = name.split(".")[0].split("__")[0]
        for number, row in enumerate(rows):
            if rule := _broken(row, feed, market, active):
                found[path, rule] += 1
            elif feed == "orders":
                by_key[row["market"], row["order_id"], row.get("line_number") or row["sku"]].append((path, number, row))
            elif row["reserved"] > row["available"]:
                found[path, "STOCK_LOGIC"] += 1
    for same in by_key.values():
        if any(row != same[0][2] for _, _, row in same):
            for path, _, _ in same:
                found[path, "CONFLICTING_ORDER"] += 1
        else:
            for path, _, _ in same[1:]:
                found[path, "DUPLICATE_ORDER"] += 1
    return found


def _broken(row: Row, feed: str, market: str, active: set[str]) -> str | None:
    measures = ("quantity", "unit_price") if feed == "orders" else ("available", "reserved")
    if row["market"] != market or any(row[name] is None or row[name] < 0 for name in measures):
        return "INVALID_ROW"
    if feed == "orders" and row["quantity"] == 0:
        return "INVALID_ROW"
    return None if row["sku"] in active else "UNKNOWN_PRODUCT"
