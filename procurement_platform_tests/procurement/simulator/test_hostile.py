"""Files that attack: each is as bad as it claims, in the one way it claims."""

import datetime as dt
import gzip
import io
import zlib
from pathlib import Path

import fastavro
import polars as pl
import pytest

from procurement_platform.inbox.identity import FileIdentity, Unfit, parse
from procurement_platform.lake.files import Lake
from procurement_platform.procurement.simulator.faults import Fault
from procurement_platform.procurement.simulator.hostile import ATTACKS, write_hostile
from procurement_platform.procurement.simulator.reference_set import make_reference
from procurement_platform.procurement.simulator.world import world_of
from procurement_platform_tests.procurement.simulator.market_files import read_rows

DAY = dt.date(2025, 12, 20)


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Fault]]:
    """Files by what follows `MARKET__` in their names (or the whole name), with the fault reported."""
    folder = tmp_path_factory.mktemp("lake")
    faults: list[Fault] = []
    world = world_of(make_reference(8, 100, 5), DAY)
    written = list(write_hostile(Lake(folder.as_uri()), world, DAY, 1, faults))
    assert len(written) == len(ATTACKS) == len(faults) - 1
    names = [fault.file.rsplit("/", 1)[1] for fault in faults]
    return {name.partition("__")[2] or name: (folder / "inbox" / fault.file, fault) for name, fault in zip(names, faults, strict=True)}


def test_identities_do_not_meet(attacks: dict[str, tuple[Path, Fault]]) -> None:
    names = [path.name.split(".", maxsplit=1)[0] for path, _ in attacks.values()]
    assert len(set(names)) == len(names)


def test_a_link_leads_out_of_the_inbox(attacks: dict[str, tuple[Path, Fault]]) -> None:
    path, fault = attacks["link.csv"]
    assert path.is_symlink()
    assert fault.rule == "INVALID_FILE"


@pytest.mark.parametrize("name", ["truncated.avro", "flipped.avro", "empty.avro"])
def test_bad_avro_cannot_be_read(attacks: dict[str, tuple[Path, Fault]], name: str) -> None:
    path, fault = attacks[name]
    assert fault.rule == "INVALID_FILE"
    with pytest.raises((ValueError, EOFError, TypeError, IndexError, UnicodeDecodeError)):
        list(fastavro.reader(io.BytesIO(path.read_bytes())))


@pytest.mark.parametrize(("name", "lacks", "has"), [("schema.avro", "quantity", None), ("float.avro", None, "double")])
def test_wrong_schemas_are_well_formed_otherwise(
    attacks: dict[str, tuple[Path, Fault]], name: str, lacks: str | None, has: str | None
) -> None:
    reader = fastavro.reader(io.BytesIO(attacks[name][0].read_bytes()))
    assert len(list(reader)) == 20
    types = {field["name"]: field["type"] for field in reader.writer_schema["fields"]}  # type: ignore[call-overload, index]
    assert lacks not in types
    assert has is None or types["quantity"] == has


def test_bombs_are_small_and_unpack_to_much(attacks: dict[str, tuple[Path, Fault]]) -> None:
    avro, cell = attacks["bomb.avro"][0], attacks["bomb-cell.csv.gz"][0]
    assert max(avro.stat().st_size, cell.stat().st_size) < 500_000
    block = avro.read_bytes()
    marker = bytes(range(16))
    start = block.index(marker) + len(marker)
    unpacker = zlib.decompressobj(wbits=-15)
    counts = len(block[start:]) - len(block[start:].lstrip(bytes(range(128, 256)))) + 1  # the varint of the row count
    size = block[start + counts :]
    rest = size.lstrip(bytes(range(128, 256)))[1:]
    assert len(unpacker.decompress(rest, 70_000_000)) == 70_000_000
    text = gzip.decompress(cell.read_bytes())
    assert max(map(len, text.splitlines())) > 100 * 1024 * 1024


@pytest.mark.parametrize("name", ["cut-stream.csv.gz", "cut.parquet", "noise.parquet"])
def test_cut_files_cannot_be_read(attacks: dict[str, tuple[Path, Fault]], name: str) -> None:
    path = attacks[name][0]
    with pytest.raises((EOFError, pl.exceptions.PolarsError, OSError)):
        gzip.decompress(path.read_bytes()) if name.endswith(".gz") else pl.read_parquet(path)


def test_odd_names_are_no_market_s_and_right_ones_are(attacks: dict[str, tuple[Path, Fault]]) -> None:
    unfit = {name for name, (path, _) in attacks.items() if isinstance(parse(f"orders/{DAY}/{path.name}", ["orders"]), Unfit)}
    assert unfit == {"ü: odd?.csv", "case.csv"}
    odd = parse(f"orders/{DAY}/{attacks['odd (1), copy.csv'][0].name}", ["orders"])
    assert isinstance(odd, FileIdentity)


@pytest.mark.parametrize("name", ["odd (1), copy.csv", "bom.csv", "crlf.csv", "customer.csv"])
def test_files_that_are_odd_but_right_hold_twenty_good_rows(attacks: dict[str, tuple[Path, Fault]], name: str) -> None:
    path, fault = attacks[name]
    assert fault.rule == ""
    (path.parent / "copy").mkdir(exist_ok=True)
    plain = path.parent / "copy" / f"{path.stem}.csv"
    plain.write_bytes(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    rows = read_rows(plain, "orders", "UTC")
    assert len(rows) == 20
    assert all(row["quantity"] > 0 and row["market"] == path.name[:2] for row in rows)


@pytest.mark.parametrize("name", ["other.csv", "ZZ.csv"])
def test_files_of_others(attacks: dict[str, tuple[Path, Fault]], name: str) -> None:
    path, _ = attacks[name]
    markets = {row["market"] for row in read_rows(path, "orders", "UTC")}
    assert len(markets) == 1
    assert markets != {path.name[:2]} or name == "ZZ.csv"


def test_cells_are_as_bad_as_told(attacks: dict[str, tuple[Path, Fault]]) -> None:
    text = {name: path.read_bytes() for name, (path, _) in attacks.items() if name.endswith(".csv") and not path.is_symlink()}
    assert b"\xfc" in text["latin1.csv"]
    with pytest.raises(UnicodeDecodeError):
        text["latin1.csv"].decode()
    assert text["bom.csv"].startswith(b"\xef\xbb\xbforder_id,")
    assert text["newlines.csv"].count(b"\n") == 21 + 2
    assert all(value in text["numbers.csv"] for value in (b"1e400", b"NaN", b"99999999999999999999", b",-1,"))
    assert b"x" * 1_000_000 in text["long.csv"]
    assert b"=1+1" in text["formula.csv"]
    assert b"\0" in text["nul.csv"]
    cells = sorted(line.count(b",") for line in text["ragged.csv"].splitlines())
    assert (cells[0], cells[-1], cells.count(8)) == (6, 10, 19)


def test_attacks_share_no_order_number(attacks: dict[str, tuple[Path, Fault]]) -> None:
    numbers: list[str] = []
    for name in ("odd (1), copy.csv", "bom.csv", "crlf.csv", "numbers.csv", "times.csv", "formula.csv"):
        numbers += {line.split(b",")[0].decode() for line in attacks[name][0].read_bytes().splitlines()[1:]}
    assert len(set(numbers)) == len(numbers) == 120
