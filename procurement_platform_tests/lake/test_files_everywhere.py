"""What the lake asks of its files, held to by every file system it may lie on."""

import datetime as dt
import hashlib
import io
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from procurement_platform.errors import ConfigurationError, LakeUnavailable
from procurement_platform.lake.files import Lake
from procurement_platform.lake.hdfs_errors import HdfsError
from procurement_platform_tests.stack.live import Cluster

pytestmark = pytest.mark.timeout(900)

NAMES = [
    "plain.csv",
    "with blank.csv",
    "ünïcödé 商品.csv",
    "per%20cent+plus&and=is#hash;semi.csv",
    "quo'te(1)[x]{y}~!$@,.csv",
    ".hidden",
    "_under",
]
ON_HDFS = [pytest.param("rpc", marks=pytest.mark.cluster), pytest.param("web", marks=pytest.mark.cluster)]


def opened(cluster: Cluster, kind: str, folder: str, user: str = "root") -> Lake:
    web = cluster.variables["HDFS_BASE_URL"] if kind == "web" else None
    return Lake(f"{cluster.hdfs}{folder}", web=web, user=user)


@pytest.fixture(params=["local", *ON_HDFS])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    if request.param == "local":
        yield Lake((tmp_path / "lake").as_uri())
        return
    found = opened(request.getfixturevalue("cluster"), request.param, f"/tests/{uuid.uuid4().hex}/a lake ü")
    yield found
    found.fs.rm(found.root.rpartition("/")[0], recursive=True)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_market_may_give_a_file(lake: Lake, name: str) -> None:
    relative = f"day/{name}"
    lake.write(relative, name.encode())
    assert lake.read(relative) == name.encode()
    assert lake.files("day") == [name]
    assert lake.size(relative) == len(name.encode())
    assert lake.relative(lake.path(relative)) == relative
    lake.move(relative, f"day/{name}.2")
    assert lake.files("day") == [f"{name}.2"]
    lake.remove(f"day/{name}.2")
    assert not lake.exists(f"day/{name}.2")


def test_a_path_is_one_that_the_file_system_takes_itself(lake: Lake) -> None:
    lake.write("a/b.txt", b"1")
    path = lake.path("a", "b.txt")
    assert path == lake.path("a/b.txt") == lake.path(path) == f"{lake.root}/a/b.txt"
    assert lake.fs.cat_file(path) == lake.read(path) == b"1"
    assert lake.local or path.startswith("hdfs://")
    assert lake.relative(lake.root) == "."
    with pytest.raises(ValueError, match="not in the subpath"):
        lake.relative(f"{lake.root}-other/a")


def test_an_empty_file_is_a_file(lake: Lake, tmp_path: Path) -> None:
    lake.write("day/empty.csv", b"")
    assert lake.exists("day/empty.csv")
    assert (lake.read("day/empty.csv"), lake.size("day/empty.csv")) == (b"", 0)
    with lake.open("day/empty.csv") as file:
        assert file.read() == b""
    (tmp_path / "nothing").write_bytes(b"")
    lake.upload(tmp_path / "nothing", "day/up.csv")
    lake.download("day/up.csv", tmp_path / "down.csv")
    assert (tmp_path / "down.csv").read_bytes() == b""


def test_writing_and_moving_replace_the_target_and_leave_nothing_beside_it(lake: Lake) -> None:
    lake.write("day/report.csv", b"first")
    lake.write("day/report.csv", b"second")
    assert lake.read("day/report.csv") == b"second"
    lake.write("elsewhere/new.csv", b"third")
    lake.move("elsewhere/new.csv", "day/report.csv")
    assert lake.read("day/report.csv") == b"third"
    assert lake.files("day") == ["report.csv"]
    assert lake.files("elsewhere") == []
    lake.move("day/report.csv", "a/new/folder/report.csv")
    assert lake.read("a/new/folder/report.csv") == b"third"


def test_a_file_is_written_in_pieces_whole_or_not_at_all(lake: Lake) -> None:
    pieces = [b"a" * 1000, b"", b"b" * (5 << 20), b"c"]
    whole = b"".join(pieces)
    assert lake.write_pieces("day/report.csv", iter(pieces)) == (hashlib.sha256(whole).hexdigest(), len(whole))
    assert lake.read("day/report.csv") == whole
    assert lake.sha256("day/report.csv") == hashlib.sha256(whole).hexdigest()

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        lake.write_pieces("day/report.csv", broken())
    assert lake.sha256("day/report.csv") == hashlib.sha256(whole).hexdigest()
    assert lake.files("day") == ["report.csv"]
    assert lake.write_pieces("day/report.csv", (), lasting=False) == (hashlib.sha256(b"").hexdigest(), 0)
    assert lake.read("day/report.csv") == b""


def test_what_fails_while_it_is_written_leaves_the_old_file_and_nothing_beside_it(lake: Lake, tmp_path: Path) -> None:
    lake.write("day/report.csv", b"old")
    with pytest.raises(FileNotFoundError):
        lake.upload(tmp_path / "not there", "day/report.csv")
    assert lake.read("day/report.csv") == b"old"
    assert lake.files("day") == ["report.csv"]


def test_listings_are_in_order_and_tell_files_from_folders(lake: Lake) -> None:
    for name in ("b.csv", "a.csv", "B.csv", "ä.csv", "run-2/x", "run-1/x"):
        lake.write(f"day/{name}", b"")
    assert lake.files("day") == ["B.csv", "a.csv", "b.csv", "ä.csv"]
    assert lake.folders("day") == ["run-1", "run-2"]
    assert lake.files("day/a.csv") == lake.folders("day/a.csv") == []


def test_what_is_missing_is_said_to_be_missing(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "kept.csv").write_bytes(b"kept")
    assert lake.files("nowhere") == lake.folders("nowhere") == []
    assert not lake.exists("nowhere/x")
    calls: list[Callable[[], object]] = [
        lambda: lake.read("nowhere/x"),
        lambda: lake.open("nowhere/x"),
        lambda: lake.size("nowhere/x"),
        lambda: lake.info("nowhere/x"),
        lambda: lake.modified_at("nowhere/x"),
        lambda: lake.move("nowhere/x", "day/x"),
        lambda: lake.download("nowhere/x", tmp_path / "kept.csv"),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError):
            call()
    lake.remove("nowhere/x")
    lake.remove_folder("nowhere")
    assert lake.files("day") == []
    assert (tmp_path / "kept.csv").read_bytes() == b"kept"


def test_a_file_is_no_folder(lake: Lake) -> None:
    lake.write("day", b"a file")
    assert not lake.exists("day/below")
    with pytest.raises(OSError, match=r"day"):
        lake.write("day/below", b"")
    assert lake.read("day") == b"a file"


def test_a_folder_goes_with_all_below_it(lake: Lake) -> None:
    for name in ("part-0.parquet", "deeper/part-1.parquet", "deeper/still/part-2.parquet"):
        lake.write(f"run/{name}", b"half")
    lake.write("run-2/part-0.parquet", b"other")
    assert lake.empty_folder("run") == lake.path("run")
    assert lake.files("run") == lake.folders("run") == []
    assert lake.exists("run")
    lake.remove_folder("run")
    assert not lake.exists("run")
    assert lake.read("run-2/part-0.parquet") == b"other"


def test_size_and_time_are_told_together(lake: Lake) -> None:
    lake.write("day/a.csv", b"123")
    size, modified = lake.info("day/a.csv")
    assert (size, modified) == (3, lake.modified_at("day/a.csv"))
    assert modified.utcoffset() == dt.timedelta(0)
    assert abs(modified - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=10)


def test_a_file_is_read_from_anywhere_in_it(lake: Lake) -> None:
    data = bytes(n % 251 for n in range(2_000_000))
    lake.write("big", data)
    with lake.open("big") as file:
        assert file.seekable()
        assert file.seek(-5, io.SEEK_END) == 1_999_995
        assert file.read(100) == data[-5:]
        assert file.seek(1_000_000) == file.tell() == 1_000_000
        assert file.read(700_000) == data[1_000_000:1_700_000]
        file.seek(10, io.SEEK_CUR)
        assert file.read(1) == data[1_700_010:1_700_011]
        file.seek(3_000_000)
        assert file.read(1) == b""
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)
    assert lake.fs.cat_file(lake.path("big"), start=7, end=9) == data[7:9]
    assert lake.fs.cat_file(lake.path("big"), start=-3) == data[-3:]


def test_a_parquet_footer_is_read_without_the_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    written = pa.table({"n": pa.array(range(1_000_000)), "text": [f"row {n}" for n in range(1_000_000)]})
    lake.make_folder("")
    with lake.fs.open(lake.path("t.parquet"), "wb") as file:
        pq.write_table(written, file, compression="none", row_group_size=100_000)
    fetched = 0
    if not lake.local:
        wire = lake.fs._wire
        opening = wire.open

        def counted(path: str) -> object:
            source = opening(path)
            reading = source.read

            def read(offset: int, length: int) -> bytes:
                nonlocal fetched
                fetched += length
                return bytes(reading(offset, length))

            monkeypatch.setattr(source, "read", read)
            return source

        monkeypatch.setattr(wire, "open", counted)
    with lake.open("t.parquet") as file:
        assert pq.read_metadata(file).num_rows == 1_000_000
    assert fetched < lake.size("t.parquet") / 10
    with lake.open("t.parquet") as file:
        assert pq.read_table(file).equals(written)


def test_a_file_opened_to_be_written_is_there_when_it_is_closed_and_not_if_its_block_fails(lake: Lake) -> None:
    lake.make_folder("day")
    with lake.fs.open(lake.path("day/a"), "wb") as file:
        file.write(b"1")
        file.write(b"2" * 10_000_000)
    assert lake.size("day/a") == 10_000_001
    assert lake.read("day/a")[:3] == b"122"
    if not lake.local:
        with suppress(ZeroDivisionError), lake.fs.open(lake.path("day/b"), "wb") as file:
            file.write(bytes(1 // 0))
        lake.fs.open(lake.path("day/c"), "wb").write(b"forgotten")
        assert lake.files("day") == ["a"]


def test_64_mb_go_and_come_in_bounded_memory(lake: Lake, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    digest = hashlib.sha256()
    with (tmp_path / "big").open("wb") as file:
        for n in range(64):
            block = hashlib.shake_128(str(n).encode()).digest(1024 * 1024)
            digest.update(block)
            file.write(block)
    script = """
import resource, sys
from pathlib import Path
from procurement_platform.lake.files import Lake
lake = Lake(sys.argv[1], web=sys.argv[2] or None, user="root")
lake.write("small", b"1"), lake.read("small")
lake.upload(Path(sys.argv[4]), "small"), lake.download("small", Path(sys.argv[3] + ".small"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lake.upload(Path(sys.argv[3]), "day/big")
lake.download("day/big", Path(sys.argv[3] + ".back"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "few").write_bytes(b"few" * 1_000_000)
    web = getattr(getattr(lake.fs, "_wire", None), "address", "")
    arguments = [lake.url, web if web.startswith("http") else "", str(tmp_path / "big"), str(tmp_path / "few")]
    grown = int(subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True).stdout)
    assert grown < 24 * 1024, "KiB"
    assert lake.size("day/big") == 64 * 1024 * 1024
    assert hashlib.sha256((tmp_path / "big.back").read_bytes()).digest() == digest.digest()
    assert lake.files("day") == ["big"]
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


def test_a_reader_during_overwrites_sees_a_whole_file_old_or_new(lake: Lake) -> None:
    versions = [str(n % 10).encode() * (100_000 + n * 10_000) for n in range(12)]
    lake.write("day/report.csv", versions[0])
    seen, failures, done = [], [], threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(lake.read("day/report.csv"))
            except Exception as problem:  # noqa: BLE001 -- whatever it is, it is one too many
                failures.append(problem)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    try:
        for data in versions[1:]:
            lake.write("day/report.csv", data)
    finally:
        done.set()
        for each in readers:
            each.join()
    assert failures == []
    assert len(seen) > 12
    assert {hashlib.sha256(each).digest() for each in seen} <= {hashlib.sha256(each).digest() for each in versions}


def test_an_open_file_that_is_replaced_is_never_read_as_a_mixture(lake: Lake) -> None:
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    lake.write("day/report.csv", old)
    with lake.open("day/report.csv") as file:
        first = file.read(10)
        lake.write("day/report.csv", new)
        try:
            rest = file.read()
        except OSError as problem:
            assert "replaced by another file" in str(problem)  # noqa: PT017 -- one of two good ends
            rest = old[10:]
    assert first + rest == old
    assert lake.read("day/report.csv") == new


@pytest.mark.parametrize("kind", ON_HDFS)
def test_a_file_belongs_to_the_user_as_whom_it_was_written(kind: str, cluster: Cluster) -> None:
    folder = f"/tests/{uuid.uuid4().hex}"
    cluster.webhdfs("PUT", folder, "MKDIRS")
    cluster.webhdfs("PUT", folder, "SETPERMISSION&permission=777")
    cluster.webhdfs("PUT", f"{folder}/closed", "MKDIRS")
    script = """
import sys
from procurement_platform.lake.files import Lake
lake = Lake(sys.argv[1], web=sys.argv[2] or None, user="clerk")
lake.write("a.txt", b"1")
try:
    lake.write("closed/b.txt", b"1")
except PermissionError:
    print("refused")
"""
    web = cluster.variables["HDFS_BASE_URL"] if kind == "web" else ""
    done = subprocess.run([sys.executable, "-c", script, f"{cluster.hdfs}{folder}", web], check=True, capture_output=True, text=True)
    assert done.stdout == "refused\n"
    assert b'"owner":"clerk"' in cluster.webhdfs("GET", f"{folder}/a.txt", "GETFILESTATUS")[1]
    cluster.webhdfs("DELETE", folder, "DELETE&recursive=true")


@pytest.mark.parametrize("kind", ON_HDFS)
def test_what_one_way_writes_the_other_reads(kind: str, cluster: Cluster) -> None:
    folder = f"/tests/{uuid.uuid4().hex}"
    here, there = opened(cluster, kind, folder), opened(cluster, "rpc" if kind == "web" else "web", folder)
    here.write("day/ü b.csv", b"1")
    assert there.read(here.path("day/ü b.csv")) == b"1"
    assert there.files("day") == ["ü b.csv"]
    assert there.path("day") == here.path("day")
    there.remove_folder("")
    assert not here.exists("day")


@pytest.mark.parametrize("kind", ON_HDFS)
def test_a_name_that_hdfs_refuses_is_refused_at_once(kind: str, cluster: Cluster) -> None:
    lake = opened(cluster, kind, f"/tests/{uuid.uuid4().hex}")
    lake.fs.patience = 0.0  # it would raise LakeUnavailable
    with pytest.raises(HdfsError, match="InvalidPathException"):
        lake.write("12:00.csv", b"")
    lake.remove_folder("")


def test_an_address_that_is_none_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigurationError, match="HDFS_BASE_URL=namenode:9870"):
        Lake("hdfs://namenode:9000/lake", web="namenode:9870")


@pytest.mark.parametrize("server", ["namenode", "datanode"])
@pytest.mark.parametrize("kind", ON_HDFS)
def test_a_server_that_is_killed_and_comes_back_is_waited_for(kind: str, server: str, cluster: Cluster, tmp_path: Path) -> None:
    lake = opened(cluster, kind, f"/tests/{uuid.uuid4().hex}")
    data = bytes(n % 251 for n in range(3_000_000))
    (tmp_path / "data").write_bytes(data)
    lake.write("day/before.bin", data)
    cluster.kill(server)
    with ThreadPoolExecutor(4) as pool:
        asked: list[Future[Any]] = [
            pool.submit(lake.write, "day/during.bin", data),
            pool.submit(lake.upload, tmp_path / "data", "day/uploaded.bin"),
            pool.submit(lake.read, "day/before.bin"),
            pool.submit(lake.files, "day"),
        ]
        cluster.heal()
        answers = [each.result(120) for each in asked]
    assert answers[2] == data
    assert lake.files("day") == ["before.bin", "during.bin", "uploaded.bin"]
    assert lake.read("day/during.bin") == lake.read("day/uploaded.bin") == data
    lake.remove_folder("")


@pytest.mark.parametrize("kind", ON_HDFS)
def test_a_namenode_that_stays_away_is_named_and_a_file_being_read_outlives_it(kind: str, cluster: Cluster) -> None:
    lake = opened(cluster, kind, f"/tests/{uuid.uuid4().hex}")
    lake.write("day/a.bin", bytes(3_000_000))
    reader = lake.open("day/a.bin")
    reader.read(10)
    cluster.kill("namenode")
    lake.fs.patience = 0.5
    with pytest.raises(LakeUnavailable, match=r"cannot be used: .*mend it, then run again"):
        lake.write("day/b.bin", b"")
    with pytest.raises(LakeUnavailable):
        lake.exists("day/a.bin")
    cluster.heal()
    lake.fs.patience = 90.0
    assert reader.read() == bytes(2_999_990)
    assert lake.files("day") == ["a.bin"]
    lake.remove_folder("")
