"""Files that attack: cut, flipped, bomb-sized, of another schema, with impossible cells and odd names. They join a market's good files.

Each file has one thing wrong with it, and rows of its own, so that what the platform must say of it is known.
"""

import datetime as dt
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fastavro
import polars as pl
import pyarrow as pa

from procurement_platform.lake.files import Lake
from procurement_platform.procurement.feeds import ORDERS
from procurement_platform.procurement.simulator.avro_writer import AvroWriter, varint
from procurement_platform.procurement.simulator.demand import order_tables
from procurement_platform.procurement.simulator.faults import Fault
from procurement_platform.procurement.simulator.files import Desk, WrittenFile
from procurement_platform.procurement.simulator.styles import Style
from procurement_platform.procurement.simulator.world import Market, World
from procurement_platform.procurement.simulator.written import note, sha256_of

_ROWS = 20
_PLAIN = Style("csv", without=frozenset({"warehouse"}))
_SYNC = bytes(range(16))
_MIB = 1024 * 1024

_NUMBERS = ("1e400", "NaN", "Infinity", "-1", "0", "99999999999999999999", "1e999999999", "1.2345", "0x10", "", "1" * 5000)
_TIMES = ("2025-02-30T10:00:00", "1969-12-31T23:59:59", "9999-12-31T00:00:00", "yesterday", "")
_BROKEN_LINES = ('{"order_id": ', "[]", "null", '{"order_id": "X"} {"order_id": "Y"}')


@dataclass(frozen=True)
class Attack:
    """A file's name after `MARKET__`, its content made from good rows, and what the platform must find."""

    name: str
    content: Callable[["Material"], Iterable[bytes]]
    rule: str
    rows: int
    what: str


@dataclass(frozen=True)
class Material:
    """Good rows to spoil: as a table of the contract's columns, and as a CSV file's frame of the same, all text."""

    table: pa.Table
    frame: pl.DataFrame
    other_market: str

    def csv(self) -> bytes:
        return self.frame.write_csv().encode()

    def avro(self) -> bytes:
        sink = io.BytesIO()
        AvroWriter(sink, Style().avro_schema(ORDERS), _SYNC, codec="null", rows_per_block=8).write(self.table)
        return sink.getvalue()

    def cells(self, column: str, texts: Sequence[str]) -> bytes:
        """A CSV file whose first rows have these texts in a column."""
        values = [*texts, *self.frame[column].to_list()[len(texts) :]]
        return self.frame.with_columns(pl.Series(column, values, dtype=pl.String)).write_csv().encode()


def write_hostile(lake: Lake, world: World, day: dt.date, seed: int, faults: list[Fault]) -> Iterator[WrittenFile]:
    """Write every attack into the day's orders folder, and add to `faults` what must be found of each.

    Markets whose file is missing by the faults told so far get none: some attacks are odd but right, and would be the file.
    """
    missing = {fault.file for fault in faults if fault.rule == "MISSING_FILE"}
    senders = [market for market in world.markets if market.sends_orders]
    markets = [market for market in senders if f"orders/{day.isoformat()}/{market.code}" not in missing] or senders
    for number, attack in enumerate(ATTACKS):
        if not lake.local and ":" in attack.name:
            continue  # HDFS has no such names
        market = markets[(seed + day.toordinal() + number) % len(markets)]
        material = _material(world, market, day, seed, number)
        desk = Desk(lake, day, seed, market.timezone, _PLAIN)
        name = attack.name if attack.name[0] == "/" else f"/{market.code}__{attack.name}"
        path = f"orders/{day.isoformat()}{name}"
        yield desk.write_bytes(path, attack.content(material))
        faults.append(Fault(path, attack.rule, attack.rows, attack.what))
    if lake.local:
        path = f"orders/{day.isoformat()}/{markets[0].code}__link.csv"
        link = Path(lake.path("inbox", path))
        link.unlink(missing_ok=True)
        link.symlink_to("/etc/passwd")
        note(lake, path, sha256_of(lake, f"inbox/{path}"))
        faults.append(Fault(path, "INVALID_FILE", 0, "a link to a file outside the inbox"))


def _material(world: World, market: Market, day: dt.date, seed: int, number: int) -> Material:
    # Order numbers that no other file has: nothing here is a duplicate.
    table = next(order_tables(world, market, day, _ROWS, seed, one_line=True, series=f"H{number:02d}"))
    desk = Desk(Lake("file:///"), day, seed, market.timezone, _PLAIN)
    other = next((each.code for each in world.markets if each.code != market.code), "XX")
    return Material(table, desk.text(ORDERS, table).with_columns(pl.all().cast(pl.String)), other)


def _flipped(material: Material) -> Iterator[bytes]:
    content = bytearray(material.avro())
    content[-8] ^= 0x10  # in the last block's sync marker: every reader can tell
    yield bytes(content)


def _without_quantity(material: Material) -> Iterator[bytes]:
    schema = Style().avro_schema(ORDERS)
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "quantity"]
    sink = io.BytesIO()
    AvroWriter(sink, schema, _SYNC).write(material.table)
    yield sink.getvalue()


def _with_floats(material: Material) -> Iterator[bytes]:
    schema = Style().avro_schema(ORDERS)
    for field in schema["fields"]:
        if field["name"] in ("quantity", "unit_price"):
            field["type"] = "double"
    rows = pl.DataFrame(material.table).with_columns(pl.selectors.decimal().cast(pl.Float64)).to_dicts()
    sink = io.BytesIO()
    fastavro.writer(sink, schema, rows, sync_marker=_SYNC)
    yield sink.getvalue()


def _zeros(size: int) -> bytes:
    """A raw deflate stream of so many MiB of zeros: one piece, repeated, since each ends on a byte."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(_MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * size + packer.flush()


def _avro_bomb(_: Material) -> Iterator[bytes]:
    """400 kB that unpack to 400 MiB, in one block."""
    sink = io.BytesIO()
    AvroWriter(sink, Style().avro_schema(ORDERS), _SYNC, codec="deflate")
    block = _zeros(400)
    yield sink.getvalue() + varint(1_000_000) + varint(len(block)) + block + _SYNC


def _gzip_bomb(material: Material) -> Iterator[bytes]:
    """A cell of 100 MiB."""
    yield gzip.compress(material.csv() + f"{material.frame['order_id'][0]}".encode(), mtime=0)
    piece = gzip.compress(b"x" * _MIB, mtime=0)
    for _ in range(100):
        yield piece


def _latin1(material: Material) -> Iterator[bytes]:
    yield material.cells("customer_id", ["Müller"]).decode().encode("latin-1")


def _ragged(material: Material) -> Iterator[bytes]:
    lines = material.csv().splitlines(keepends=True)
    lines[2] = lines[2].rstrip(b"\n").rpartition(b",")[0].rpartition(b",")[0] + b"\n"
    lines[4] = lines[4].rstrip(b"\n") + b",one,two\n"
    yield b"".join(lines)


def _broken_lines(material: Material) -> Iterator[bytes]:
    good = material.frame.write_ndjson().splitlines()
    yield "\n".join([*good[:5], *_BROKEN_LINES, *good[5:], ""]).encode()


def _cut_parquet(material: Material) -> Iterator[bytes]:
    sink = io.BytesIO()
    pl.DataFrame(material.table).write_parquet(sink)
    yield sink.getvalue()[:-100]


_FILE, _ROW = "INVALID_FILE", "INVALID_ROW"
ATTACKS = (
    Attack("truncated.avro", lambda m: [m.avro()[:-40]], _FILE, 0, "cut within its last block"),
    Attack("flipped.avro", _flipped, _FILE, 0, "a bit of a sync marker is flipped"),
    Attack("empty.avro", lambda _: [], _FILE, 0, "no bytes at all"),
    Attack("nothing.csv", lambda _: [], _FILE, 0, "no bytes at all"),
    Attack("schema.avro", _without_quantity, _FILE, 0, "no quantity in its schema"),
    Attack("float.avro", _with_floats, _FILE, 0, "quantities and prices are doubles"),
    Attack("bomb.avro", _avro_bomb, _FILE, 0, "a block that unpacks to 400 MiB"),
    Attack("bomb-cell.csv.gz", _gzip_bomb, _FILE, 0, "a cell that unpacks to 100 MiB"),
    Attack("cut-stream.csv.gz", lambda m: [gzip.compress(m.csv(), mtime=0)[:-30]], _FILE, 0, "cut within the gzip stream"),
    Attack("cut.parquet", _cut_parquet, _FILE, 0, "cut within its footer"),
    Attack("noise.parquet", lambda _: [b"PAR1" + bytes(range(256)) * 8 + b"PAR1"], _FILE, 0, "no Parquet, whatever its name says"),
    Attack("other.csv", lambda m: [m.cells("market", [m.other_market] * _ROWS)], _FILE, 0, "all rows are another market's"),
    Attack("/ZZ.csv", lambda m: [m.cells("market", ["ZZ"] * _ROWS)], _FILE, 0, "a market nobody knows"),
    Attack("/lower__case.csv", lambda m: [m.csv()], _FILE, 0, "a name without a market code"),
    Attack("ü: odd?.csv", lambda m: [m.csv()], _FILE, 0, "a name that file systems refuse"),
    Attack("odd (1), copy.csv", lambda m: [m.csv()], "", 0, "an odd name, but a right one"),
    Attack("latin1.csv", _latin1, _ROW, 1, "a cell in Latin-1 instead of UTF-8"),
    Attack("bom.csv", lambda m: [b"\xef\xbb\xbf" + m.csv()], "", 0, "a byte order mark"),
    Attack("crlf.csv", lambda m: [m.csv().replace(b"\n", b"\r\n")], "", 0, "lines that end as on Windows"),
    Attack("ragged.csv", _ragged, _ROW, 2, "rows with too few and too many cells"),
    Attack("newlines.csv", lambda m: [m.cells("customer_id", ["a\nb", "c\r\nd"])], _ROW, 2, "line breaks within quoted cells"),
    Attack("numbers.csv", lambda m: [m.cells("quantity", _NUMBERS)], _ROW, len(_NUMBERS), "quantities that are none"),
    Attack("times.csv", lambda m: [m.cells("ordered_at", _TIMES)], _ROW, len(_TIMES), "times that are none, or of another day"),
    Attack("long.csv", lambda m: [m.cells("customer_id", ["x" * 1_000_000])], _ROW, 1, "a cell of a million characters"),
    Attack("nul.csv", lambda m: [m.cells("customer_id", ["a\0b"])], _ROW, 1, "a NUL character"),
    Attack("formula.csv", lambda m: [m.cells("sku", ["=1+1", "@SUM(A1)", "+2", "-2"])], "UNKNOWN_PRODUCT", 4, "formulas instead of SKUs"),
    Attack("customer.csv", lambda m: [m.cells("customer_id", ['=HYPERLINK("x")'])], "", 0, "a formula as a customer"),
    Attack("broken.jsonl", _broken_lines, _ROW, len(_BROKEN_LINES), "lines that are no JSON objects"),
)
