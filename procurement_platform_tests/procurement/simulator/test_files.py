"""One market's file: atomically, in its format and spelling, with what does not belong there when asked."""

import csv
import datetime as dt
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.inbox.identity import FORMATS
from procurement_platform.lake.files import Lake
from procurement_platform.procurement.feeds import ORDERS, STOCK
from procurement_platform.procurement.simulator.demand import order_tables, stock_tables
from procurement_platform.procurement.simulator.files import Desk, Spoiled
from procurement_platform.procurement.simulator.reference_set import make_reference
from procurement_platform.procurement.simulator.styles import Style, style_of
from procurement_platform.procurement.simulator.world import world_of
from procurement_platform_tests.procurement.simulator.market_files import read_rows

DAY = dt.date(2025, 12, 20)
WORLD = world_of(make_reference(8, 100, 5), DAY)
DE = WORLD.markets[1]
TABLE = next(order_tables(WORLD, DE, DAY, 50, 1))
NAMES = {"order_id": "orderId", "quantity": "qty", "ordered_at": "order_time"}


def desk(folder: Path, style: Style) -> Desk:
    return Desk(Lake(folder.as_uri()), DAY, 1, "Europe/Berlin", style)


@pytest.mark.parametrize("clock", ["local", "offset"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_reads_back_equal(tmp_path: Path, form: str, clock: str) -> None:
    style = Style(form, names=NAMES, without=frozenset({"currency"}), clock=clock)  # type: ignore[arg-type]
    file = desk(tmp_path, style).write(ORDERS, "DE", [TABLE.slice(0, 20), TABLE.slice(20)])
    assert file.path == f"orders/2025-12-20/DE.{form}"
    assert file.rows == 50
    assert read_rows(tmp_path / "inbox" / file.path, "orders", "Europe/Berlin") == TABLE.drop_columns(["currency"]).to_pylist()


def test_columns_are_spelled_as_the_market_spells_them(tmp_path: Path) -> None:
    columns = ["orderId", "line_number", "market", "sku", "qty", "unit_price", "order_time", "customer_id"]
    for form in FORMATS:
        file = desk(tmp_path, Style(form, names=NAMES, without=frozenset({"currency"}))).write(ORDERS, "DE", [TABLE])
        content = (tmp_path / "inbox" / file.path).read_bytes()
        match form:
            case "avro":
                found = list(next(iter(fastavro.reader(io.BytesIO(content)))))  # type: ignore[arg-type]
            case "parquet":
                found = pq.read_schema(io.BytesIO(content)).names
            case "jsonl":
                found = list(json.loads(content.splitlines()[0]))
            case _:
                text = gzip.decompress(content) if form == "csv.gz" else content
                found = next(csv.reader(io.StringIO(text.decode())))
        assert found == columns, form


def test_text_times_are_local_with_or_without_their_offset(tmp_path: Path) -> None:
    moment = pa.array([dt.datetime(2025, 12, 20, 12, 0, 0, 5000, dt.UTC)], pa.timestamp("us", "UTC"))
    table = TABLE.slice(0, 1).set_column(TABLE.schema.get_field_index("ordered_at"), "ordered_at", moment)
    texts = [desk(tmp_path, Style("csv", clock=clock)).text(ORDERS, table)["ordered_at"][0] for clock in ("local", "offset")]
    assert texts == ["2025-12-20T13:00:00.005", "2025-12-20T13:00:00.005+01:00"]


def test_the_avro_schema_is_plain_and_nullable_where_the_contract_is(tmp_path: Path) -> None:
    schema = Style(names=NAMES).avro_schema(STOCK, ("shelf",))
    assert [field["name"] for field in schema["fields"]] == ["market", "sku", "available", "reserved", "counted_at", "warehouse", "shelf"]
    assert all(set(field) <= {"name", "type", "default"} for field in schema["fields"])


@pytest.mark.parametrize("form", FORMATS)
def test_a_column_of_no_contract(tmp_path: Path, form: str) -> None:
    file = desk(tmp_path, Style(form)).write(ORDERS, "DE", [TABLE], extra={"sales_channel": "web"})  # type: ignore[arg-type]
    content = (tmp_path / "inbox" / file.path).read_bytes()
    assert b"sales_channel" in (gzip.decompress(content) if form == "csv.gz" else content)
    assert len(read_rows(tmp_path / "inbox" / file.path, "orders", "UTC")) == 50


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl"])
def test_spoiled_copies_follow_the_good_rows(tmp_path: Path, form: str) -> None:
    spoiled = Spoiled("quantity", ("twelve", '"', "1,5"))
    file = desk(tmp_path, Style(form, names=NAMES)).write(ORDERS, "DE", [TABLE], spoiled=spoiled)  # type: ignore[arg-type]
    rows = read_rows(tmp_path / "inbox" / file.path, "orders", "Europe/Berlin")
    assert file.rows == len(rows) == 53
    assert rows[:50] == TABLE.to_pylist()
    assert [row["quantity"] for row in rows[50:]] == [None, None, None]
    assert [row["order_id"] for row in rows[50:]] == [row["order_id"] for row in rows[:3]]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "inbox" / "orders" / "2025-12-20"

    def tables() -> Iterator[pa.Table]:
        yield TABLE
        assert [path.name for path in folder.iterdir()] == [f".DE.{form}.part"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk(tmp_path, Style(form)).write(ORDERS, "DE", tables())  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []


def test_stock_has_a_row_per_warehouse_where_the_market_has_several(tmp_path: Path) -> None:
    style = style_of(DE)
    assert style.warehouses == 2
    file = desk(tmp_path, style).write(STOCK, "DE", stock_tables(WORLD, DE, DAY, 500, 1, style.warehouses))
    rows = read_rows(tmp_path / "inbox" / file.path, "stock", "Europe/Berlin")
    assert {row["warehouse"] for row in rows} == {"DE-W1", "DE-W2"}


def test_markets_nobody_knows_keep_their_habits() -> None:
    known = {market.code: style_of(market) for market in WORLD.markets}
    assert {style.format for style in known.values()} == set(FORMATS)
    unknown = [DE.__class__(f"Q{n}", "EUR", "UTC", True, True, 1.0) for n in range(40)]
    assert [style_of(market) for market in unknown] == [style_of(market) for market in unknown]
    formats = [style_of(market).format for market in unknown]
    assert formats.count("avro") > len(formats) / 2
    assert {style_of(market, mixed=False).format for market in unknown} == {"avro"}
