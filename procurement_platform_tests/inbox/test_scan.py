import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from procurement_platform.errors import NotPermitted
from procurement_platform.inbox.scan import Scan, newest_first, scan
from procurement_platform_tests.rights import without_root_rights

DAY = dt.date(2025, 12, 20)
NOW = 1_766_250_000.0


class Clock:
    """Time that passes only when somebody sleeps; `during` is what happens meanwhile."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.during: Callable[[], object] = lambda: None

    def now(self) -> float:
        return NOW + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.during()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox" / "orders" / "2025-12-20"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, name: str, age: float = 100.0, content: bytes = b"x") -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (NOW - age, NOW - age))
    return path


def look(folder: Path, clock: Clock, settle: float = 2.0) -> Scan:
    return scan(str(folder.parent.parent), "orders", DAY, settle, sleep=clock.sleep, now=clock.now)


def names(files: tuple[object, ...]) -> list[str]:
    return [file.identity.file_name for file in files]  # type: ignore[attr-defined]


def test_a_folder_that_may_not_be_listed_is_not_taken_for_an_empty_one(folder: Path, clock: Clock) -> None:
    put(folder, "DE.csv")
    with without_root_rights() as thread:
        assert names(thread.submit(look, folder, clock).result().files) == ["DE.csv"]
        for mode in (0o000, 0o300, 0o600):  # not to be listed; listed and not entered
            folder.chmod(mode)
            with pytest.raises(NotPermitted) as refused:
                thread.submit(look, folder, clock).result()
            assert str(refused.value) == (
                f"{folder} cannot be listed (Permission denied): give the platform the right to read and enter this folder"
            )
        folder.chmod(0o700)
        (folder / "DE.csv").chmod(0)  # a file that may not be read is found: whoever reads it says so
        assert names(thread.submit(look, folder, clock).result().files) == ["DE.csv"]


def test_an_absent_folder_is_empty(tmp_path: Path, clock: Clock) -> None:
    assert scan(str(tmp_path), "orders", DAY, 2.0, sleep=clock.sleep) == Scan()
    assert clock.slept == []


def test_lists_settled_files_in_order_without_waiting(folder: Path, clock: Clock) -> None:
    for name in ("FR.csv", "DE.avro", ".hidden.csv", "_SUCCESS", "AT.csv.tmp"):
        put(folder, name, content=b"four")
    found = look(folder, clock)
    assert names(found.files) == ["DE.avro", "FR.csv"]
    assert clock.slept == []
    assert found.files[0].size == 4
    assert found.files[0].modified_at == dt.datetime.fromtimestamp(NOW - 100, dt.UTC)
    assert Path(found.files[0].path).read_bytes() == b"four"
    assert not found.unfit
    assert not found.growing


def test_waits_once_for_all_young_files_and_takes_those_unchanged(folder: Path, clock: Clock) -> None:
    put(folder, "DE.csv", age=0.5)
    put(folder, "FR.csv", age=-3600)
    found = look(folder, clock)
    assert clock.slept == [2.0]
    assert names(found.files) == ["DE.csv", "FR.csv"]


def test_reports_what_still_grows(folder: Path, clock: Clock) -> None:
    growing = put(folder, "DE.csv", age=0.5)
    put(folder, "FR.csv")
    clock.during = lambda: growing.write_bytes(b"xxxx")
    found = look(folder, clock)
    assert names(found.files) == ["FR.csv"]
    assert names(found.growing) == ["DE.csv"]


def test_a_file_that_vanishes_while_waiting_is_gone(folder: Path, clock: Clock) -> None:
    path = put(folder, "DE.csv", age=0.5)
    clock.during = path.unlink
    assert look(folder, clock) == Scan()


def test_no_settle_time_means_no_waiting(folder: Path, clock: Clock) -> None:
    put(folder, "DE.csv", age=-10)
    assert names(look(folder, clock, settle=0).files) == ["DE.csv"]
    assert clock.slept == []


def test_lists_all_files_of_one_identity_and_leaves_the_unfit_alone(folder: Path, clock: Clock) -> None:
    for age, name in enumerate(("DE.csv", "DE.parquet", "DE.avro", "DE.xlsx"), 10):
        put(folder, name, age=age)
    found = look(folder, clock)
    assert names(found.files) == ["DE.avro", "DE.csv", "DE.parquet"]
    assert [each.file_name for each in found.unfit] == ["DE.xlsx"]


def test_the_newest_is_tried_first_and_of_one_age_the_last_name(folder: Path, clock: Clock) -> None:
    for name, age in (("DE.avro", 50), ("DE.csv", 60), ("DE.csv.gz", 60), ("DE.jsonl", 40)):
        put(folder, name, age=age)
    assert names(tuple(newest_first(look(folder, clock).files))) == ["DE.jsonl", "DE.avro", "DE.csv.gz", "DE.csv"]


def test_lists_what_it_cannot_take_with_the_reason(folder: Path, clock: Clock) -> None:
    put(folder, "DE.xlsx")
    (folder / "sub").mkdir()
    (folder / "FR.csv").symlink_to(put(folder.parent, "outside.csv"))
    os.mkfifo(folder / "IT.csv")
    put(folder, "US__a:b.csv")
    Path(os.fsdecode(os.fsencode(folder) + b"/ES\xff.csv")).write_bytes(b"x")
    found = look(folder, clock)
    assert found.files == ()
    told = {unfit.file_name: unfit.reason for unfit in found.unfit}
    assert "known format" in told["DE.xlsx"]
    assert "a folder" in told["sub"]
    assert "never followed" in told["FR.csv"]
    assert "no regular file" in told["IT.csv"]
    assert "refuse" in told["US__a:b.csv"]
    assert "not UTF-8" in told["ES\\xff.csv"]
    assert all(name.isprintable() for name in told)


def test_a_link_in_the_place_of_the_dates_folder_is_one_thing_it_cannot_take(folder: Path, clock: Clock) -> None:
    put(folder, "DE.csv")
    elsewhere = folder.rename(folder.parent.parent / "elsewhere")
    folder.symlink_to(elsewhere)
    os.utime(folder, (NOW - 50, NOW - 50), follow_symlinks=False)
    found = look(folder, clock)
    assert (found.files, found.growing) == ((), ())
    [unfit] = found.unfit
    assert (unfit.file_name, unfit.path, unfit.modified_at.timestamp()) == (folder.name, str(folder), NOW - 50)
    assert "symbolic link" in unfit.reason
    folder.unlink()
    folder.symlink_to("/nowhere")
    assert [each.file_name for each in look(folder, clock).unfit] == [folder.name]


@pytest.mark.parametrize(("owner", "followed"), [(0, True), (os.geteuid(), True), (12345, False)])
def test_a_link_in_the_place_of_a_feeds_folder_is_its_owners_to_make(folder: Path, clock: Clock, owner: int, followed: bool) -> None:
    if os.geteuid() != 0 and owner != os.geteuid():
        pytest.skip("only root can give a link away")
    put(folder, "DE.csv")
    feed = folder.parent
    elsewhere = feed.rename(feed.parent / "elsewhere")
    feed.symlink_to(elsewhere)
    os.lchown(feed, owner, -1)
    found = look(folder, clock)
    assert names(found.files) == (["DE.csv"] if followed else [])
    assert [each.file_name for each in found.unfit] == ([] if followed else ["orders"])


def test_takes_a_file_url(folder: Path, clock: Clock) -> None:
    put(folder, "DE.csv")
    found = scan(folder.parent.parent.as_uri() + "/", "orders", DAY, 2.0, sleep=clock.sleep, now=clock.now)
    assert [file.path for file in found.files] == [str(folder / "DE.csv")]


def test_takes_any_fsspec_url(clock: Clock) -> None:
    memory = fsspec.filesystem("memory")
    base = f"memory://inbox-{os.getpid()}"
    memory.pipe(f"{base}/orders/2025-12-20/DE.csv", b"abc")
    memory.pipe(f"{base}/orders/2025-12-20/DE.xlsx", b"abc")
    memory.pipe(f"{base}/orders/2025-12-20/sub/DE.csv", b"abc")
    found = scan(base, "orders", DAY, 0.0, sleep=clock.sleep)
    assert [(file.path, file.size) for file in found.files] == [(f"{base}/orders/2025-12-20/DE.csv", 3)]
    assert [unfit.file_name for unfit in found.unfit] == ["DE.xlsx", "sub"]
    assert scan(base, "stock", DAY, 0.0) == Scan()
