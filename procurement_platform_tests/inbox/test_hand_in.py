"""A file handed in is one a market could have sent: whole, and under its identity."""

import datetime as dt
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.errors import InvalidFile, NotPermitted
from procurement_platform.inbox.hand_in import hand_in, sweep
from procurement_platform.inbox.identity import file_id
from procurement_platform.inbox.scan import scan
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line

DAY = dt.date(2025, 12, 20)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake((tmp_path / "a lake").as_uri())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "Export of Monday.CSV"
    path.write_bytes(b"market,sku,available,reserved\nDE,A,1,0\n")
    return path


def inbox(lake: Lake, feed: str = "stock") -> list[str]:
    return sorted(path.name for path in Path(lake.path("inbox", feed, str(DAY))).iterdir())


def test_the_file_gets_its_markets_name_and_keeps_its_bytes(lake: Lake, source: Path) -> None:
    handed = hand_in(lake, source, "stock", "DE", DAY)
    assert handed.path == "inbox/stock/2025-12-20/DE.csv"
    assert lake.read(handed.path) == source.read_bytes()
    assert inbox(lake) == ["DE.csv"]
    assert handed.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert handed.size == source.stat().st_size
    assert handed.file_id == file_id("stock", DAY, "DE.csv", handed.sha256)
    assert handed.lay_there == {}


def test_what_lay_there_is_told_with_its_hash(lake: Lake, source: Path, tmp_path: Path) -> None:
    first = hand_in(lake, source, "stock", "DE", DAY)
    Path(lake.path("inbox/stock/2025-12-20/DE.CSV.GZ")).write_bytes(b"x")  # the same name to the platform
    Path(lake.path("inbox/stock/2025-12-20/DE__other.csv")).write_bytes(b"y")
    source.write_bytes(b"other\n")
    second = hand_in(lake, source, "stock", "DE", DAY)
    assert second.lay_there == {"DE.csv": first.sha256, "DE.CSV.GZ": hashlib.sha256(b"x").hexdigest()}
    assert inbox(lake) == ["DE.csv", "DE__other.csv"]


def test_the_same_bytes_are_left_as_they_lie(lake: Lake, source: Path) -> None:
    handed = hand_in(lake, source, "stock", "DE", DAY)
    before = Path(lake.path(handed.path)).stat()
    again = hand_in(lake, source, "stock", "DE", DAY)
    assert again.lay_there == {"DE.csv": again.sha256}
    after = Path(lake.path(handed.path)).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert inbox(lake) == ["DE.csv"]


def test_a_run_takes_it(lake: Lake, source: Path) -> None:
    hand_in(lake, source, "stock", "DE", DAY, "late 2")
    (found,) = scan(lake.path("inbox"), "stock", DAY, settle_seconds=0).files
    assert (found.identity.market, found.identity.name, found.identity.format) == ("DE", "DE__late 2", "csv")


def test_the_same_identity_is_replaced_whatever_its_format_and_another_suffix_adds(lake: Lake, source: Path, tmp_path: Path) -> None:
    avro = tmp_path / "stock.avro"
    avro.write_bytes(b"Obj\x01")
    hand_in(lake, source, "stock", "DE", DAY)
    hand_in(lake, source, "stock", "DE", DAY, "late")
    hand_in(lake, avro, "stock", "DE", DAY)
    assert inbox(lake) == ["DE.avro", "DE__late.csv"]
    source.write_bytes(b"other\n")
    hand_in(lake, source, "stock", "DE", DAY, "late")
    assert lake.read("inbox/stock/2025-12-20/DE__late.csv") == b"other\n"


@pytest.mark.parametrize(
    ("market", "suffix", "reason"),
    [
        ("de", "", "capital letters"),
        ("../DE", "", "must not hold"),
        ("DE/../FR", "", "must not hold"),
        ("", "", "market code"),
        ("DE__x", "", "'__' parts the code"),
        ("DE", "a/b", "must not hold"),
        ("DE", "a:b", "characters that file systems refuse"),
        ("DE", "x" * 200, "bytes long"),
    ],
)
def test_a_name_that_is_none_is_refused_and_nothing_is_written(lake: Lake, source: Path, market: str, suffix: str, reason: str) -> None:
    with pytest.raises(InvalidFile, match=reason):
        hand_in(lake, source, "stock", market, DAY, suffix)
    assert not lake.exists("inbox")


def test_an_unknown_format_is_refused(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "stock.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(InvalidFile, match=r"'stock\.xlsx' ends in no known format"):
        hand_in(lake, path, "stock", "DE", DAY)


def test_a_copy_that_fails_leaves_nothing_behind(lake: Lake, source: Path, tmp_path: Path) -> None:
    hand_in(lake, source, "stock", "DE", DAY)
    before = lake.read("inbox/stock/2025-12-20/DE.csv")

    broken = tmp_path / "broken.csv"
    broken.symlink_to("/proc/self/mem")  # opens, and fails when it is read
    with pytest.raises(OSError, match="Input/output error"):
        hand_in(lake, broken, "stock", "DE", DAY)
    assert inbox(lake) == ["DE.csv"]
    assert lake.read("inbox/stock/2025-12-20/DE.csv") == before


def test_nothing_is_put_where_a_link_leads(lake: Lake, source: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "DE.avro").write_bytes(b"x")
    lake.make_folder("inbox/stock")
    link = Path(lake.path(f"inbox/stock/{DAY}"))
    link.symlink_to(elsewhere)
    with pytest.raises(NotPermitted, match=f"{link} is a symbolic link, which is never followed: make it a folder"):
        hand_in(lake, source, "stock", "DE", DAY)
    assert [path.name for path in elsewhere.iterdir()] == ["DE.avro"]


def test_a_folder_in_the_files_place_is_told_and_left(lake: Lake, source: Path) -> None:
    lake.make_folder(f"inbox/stock/{DAY}/DE.csv")
    with pytest.raises(NotPermitted, match=rf"inbox/stock/{DAY}/DE\.csv is no file: remove it, then put the file in again"):
        hand_in(lake, source, "stock", "DE", DAY)
    assert lake.folders(f"inbox/stock/{DAY}") == ["DE.csv"]
    assert lake.files(f"inbox/stock/{DAY}") == []


KILLED = """
import datetime as dt, sys
from pathlib import Path
from procurement_platform.inbox.hand_in import hand_in
from procurement_platform.lake.files import Lake
hand_in(Lake(sys.argv[1]), Path(sys.argv[2]), "stock", "DE", dt.date(2025, 12, 20))
"""


def test_what_a_killed_hand_in_left_goes_after_a_while(lake: Lake, source: Path, tmp_path: Path) -> None:
    hand_in(lake, source, "stock", "DE", DAY)
    endless = tmp_path / "endless.csv"
    os.mkfifo(endless)
    command = [sys.executable, "-c", KILLED, lake.url, str(endless)]
    with subprocess.Popen(command) as process, endless.open("wb"):  # which opens once the other side reads
        deadline = time.monotonic() + 20
        while len(inbox(lake)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    part, whole = inbox(lake)
    assert (part.startswith(".DE.csv."), whole) == (True, "DE.csv")
    now = dt.datetime.now(dt.UTC)
    assert swept(lake, now - dt.timedelta(days=1)) == []
    later = now + dt.timedelta(seconds=1)
    size = Path(lake.path("inbox/stock", str(DAY), part)).stat().st_size
    assert swept(lake, later, dry_run=True) == swept(lake, later) == [Line(f"inbox/stock/{DAY}", "unfinished files removed", 1, size)]
    assert inbox(lake) == ["DE.csv"]
    assert swept(lake, later) == []


def test_what_others_have_in_the_inbox_stays(lake: Lake, tmp_path: Path) -> None:
    folder = Path(lake.make_folder(f"inbox/stock/{DAY}"))
    names = [".DE.csv.part", "DE.csv.0a1b2c3d.part", ".DE.csv.0a1b2c3d", ".notes.txt.0a1b2c3d.part", ".DE.csv.0A1B2C3D.part", "DE.csv"]
    for name in names:
        (folder / name).write_bytes(b"x")
    (folder / ".GB.csv.0a1b2c3d.part").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".DE.csv.0a1b2c3d.part").write_bytes(b"x")
    (folder.parent / "2025-12-21").symlink_to(elsewhere)
    assert swept(lake, dt.datetime.now(dt.UTC) + dt.timedelta(days=1)) == []
    assert inbox(lake) == sorted([*names, ".GB.csv.0a1b2c3d.part"])
    assert list(elsewhere.iterdir())


def test_only_the_dates_that_are_asked_for_are_swept(lake: Lake) -> None:
    lake.write(f"inbox/stock/{DAY}/.DE.csv.0a1b2c3d.part", b"x")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert list(sweep(lake, ["orders", "stock"], later, lambda dates: [date for date in dates if date != DAY])) == []
    assert inbox(lake) == [".DE.csv.0a1b2c3d.part"]


def swept(lake: Lake, before: dt.datetime, *, dry_run: bool = False) -> list[Line]:
    return list(sweep(lake, ["orders", "stock"], before, sorted, dry_run=dry_run))


@given(market=st.text(max_size=12), suffix=st.text(max_size=12))
def test_nothing_is_ever_written_outside_the_days_folder(tmp_path_factory: pytest.TempPathFactory, market: str, suffix: str) -> None:
    root = tmp_path_factory.mktemp("any")
    source = root / "x.csv"
    source.write_bytes(b"a\n")
    lake = Lake((root / "lake").as_uri())
    try:
        path = hand_in(lake, source, "orders", market, DAY, suffix).path
    except InvalidFile:
        assert not lake.exists("inbox")
        return
    assert {p for p in root.rglob("*") if p.is_file()} == {source, Path(lake.path(path))}
    assert Path(lake.path(path)).parent == root / "lake" / "inbox" / "orders" / "2025-12-20"
