import os
from pathlib import Path

import pytest

from procurement_platform.lake.files import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake((tmp_path / "a lake ü").as_uri())


def test_a_root_with_blanks_and_umlauts_is_the_folder_of_that_name(lake: Lake, tmp_path: Path) -> None:
    lake.write("x/y.txt", b"1")
    assert (tmp_path / "a lake ü" / "x" / "y.txt").read_bytes() == b"1"


def test_paths_and_urls_of_the_lake_are_told_relative_to_its_root(lake: Lake) -> None:
    assert lake.relative(lake.path("raw", "a b.avro")) == "raw/a b.avro"
    assert lake.relative(f"{lake.url}/raw/a%20b.avro") == "raw/a b.avro"


def test_a_path_outside_the_lake_has_no_relative_form(lake: Lake) -> None:
    with pytest.raises(ValueError, match="not in the subpath"):
        lake.relative("/etc/passwd")


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(lake: Lake) -> None:
    lake.write("day/report.csv", b"old")
    lake.write("day/report.csv", b"new")
    assert lake.read("day/report.csv") == b"new"
    assert lake.files("day") == ["report.csv"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write("day/report.csv", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        lake.write("day/report.csv", b"new")
    assert lake.read("day/report.csv") == b"old"
    assert lake.files("day") == ["report.csv"]


def test_an_emptied_folder_holds_nothing_of_an_earlier_attempt(lake: Lake) -> None:
    lake.write("run/part-0.parquet", b"half")
    lake.write("run/deeper/part-1.parquet", b"half")
    assert lake.empty_folder("run") == lake.path("run")
    assert lake.files("run") == []
    assert lake.folders("run") == []


def test_files_and_folders_are_listed_apart_and_in_order(lake: Lake) -> None:
    for name in ("b.csv", "a.csv", "run-2/x", "run-1/x"):
        lake.write(f"day/{name}", b"")
    assert lake.files("day") == ["a.csv", "b.csv"]
    assert lake.folders("day") == ["run-1", "run-2"]


def test_a_folder_that_is_not_there_is_empty(lake: Lake) -> None:
    assert lake.files("nowhere") == []
    assert lake.folders("nowhere") == []


def test_moving_replaces_the_target(lake: Lake) -> None:
    lake.write("a", b"1")
    lake.write("b/c", b"2")
    lake.move("a", "b/c")
    assert lake.read("b/c") == b"1"
    assert not lake.exists("a")


def test_removing_what_is_not_there_is_fine(lake: Lake) -> None:
    lake.remove("nothing")
    lake.remove_folder("nothing")
    assert not lake.exists("nothing")


def test_a_lake_in_memory_writes_and_moves_like_one_on_disk() -> None:
    lake = Lake("memory://lake-of-test")
    lake.write("day/a.csv", b"1")
    lake.write("day/a.csv", b"2")
    lake.move("day/a.csv", "day/b.csv")
    assert lake.files("day") == ["b.csv"]
    assert lake.read("day/b.csv") == b"2"
    lake.remove_folder("day")
    assert not lake.exists("day/b.csv")
