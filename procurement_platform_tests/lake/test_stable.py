"""A folder that is switched from one run's files to another's, and stopped before every line of it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from procurement_platform.lake import stable
from procurement_platform.lake.stable import switch

OLD = {"s1.csv": b"old 1", "s2.csv": b"old 2"}
NEW = {"s1.csv": b"new 1", "s3.csv": b"new 3"}


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the module catches or cleans up."""


def make(folder: Path, run: str, contents: dict[str, bytes]) -> None:
    (folder / run / "csv").mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / run / "csv" / name).write_bytes(data)


def seen(folder: Path) -> dict[str, bytes]:
    """What someone who opens the folder's files reads; hidden ones are nobody's."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*")) if path.is_file()}


def left(folder: Path) -> list[str]:
    """Everything that lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def killed_at(line: int) -> Iterator[None]:
    """Stops the module before the given line that it runs, counted from 1."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        nonlocal count
        if frame.f_code.co_filename != stable.__file__:
            return None
        if event == "line":
            count += 1
            if count == line:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def linked(folder: Path) -> None:
    make(folder, "run-1", OLD)
    switch(folder, "run-1/csv", OLD)


def of_an_earlier_version(folder: Path) -> None:
    """Real files, as there were before there were links, with what a kill left."""
    folder.mkdir(parents=True)
    for name, data in OLD.items():
        (folder / name).write_bytes(data)
    (folder / ".s1.csv.1234.part").write_bytes(b"ol")


def copied_with_links_followed(folder: Path) -> None:
    linked(folder.parent / "elsewhere")
    shutil.copytree(folder.parent / "elsewhere", folder, symlinks=False)
    assert not (folder / "s1.csv").is_symlink()
    assert not (folder / ".current").is_symlink()


@pytest.mark.parametrize("before", [linked, of_an_earlier_version, copied_with_links_followed])
def test_stopped_before_any_line_the_files_are_all_old_or_all_new_and_the_next_time_all_new(
    before: Callable[[Path], None], tmp_path: Path
) -> None:
    states = set()
    line = 0
    done = False
    while not done:
        line += 1
        folder = tmp_path / str(line) / "day"
        before(folder)
        make(folder, "run-2", NEW)
        try:
            with killed_at(line):
                switch(folder, "run-2/csv", NEW)
            done = True
        except Killed:
            pass
        found = seen(folder)
        assert found in (OLD, NEW), f"stopped before line {line} that it ran"
        states.add(found == NEW)
        switch(folder, "run-2/csv", NEW)
        assert seen(folder) == NEW
        assert set(left(folder)) <= {".current", "run-1", "run-2", *NEW}
    assert states == {True, False}
    assert line > 20


def test_links_are_relative_so_that_a_home_can_be_moved(tmp_path: Path) -> None:
    linked(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert seen(tmp_path / "there") == OLD
    assert str((tmp_path / "there" / "s1.csv").readlink()) == ".current/s1.csv"
    assert str((tmp_path / "there" / ".current").readlink()) == "run-1/csv"


def test_what_is_missing_damaged_or_not_wanted_is_mended_and_told(tmp_path: Path) -> None:
    linked(tmp_path)
    assert switch(tmp_path, "run-1/csv", OLD) == []
    (tmp_path / "s1.csv").unlink()
    (tmp_path / "s2.csv").unlink()
    (tmp_path / "s2.csv").write_bytes(b"half")
    (tmp_path / "s9.csv").write_bytes(b"stale")
    (tmp_path / ".s7.csv.part").symlink_to("nowhere")
    assert switch(tmp_path, "run-1/csv", OLD) == [".s7.csv.part", "s1.csv", "s2.csv", "s9.csv"]
    assert seen(tmp_path) == OLD
    assert left(tmp_path) == [".current", "run-1", "s1.csv", "s2.csv"]


def test_a_link_that_leads_elsewhere_is_put_right(tmp_path: Path) -> None:
    linked(tmp_path)
    (tmp_path / "s1.csv").unlink()
    (tmp_path / "s1.csv").symlink_to("run-1/csv/s2.csv")
    assert switch(tmp_path, "run-1/csv", OLD) == ["s1.csv"]
    assert seen(tmp_path) == OLD


def test_a_run_without_files_leaves_none_to_read(tmp_path: Path) -> None:
    linked(tmp_path)
    assert switch(tmp_path, "run-2/csv", ()) == ["s1.csv", "s2.csv"]
    assert seen(tmp_path) == {}
    assert left(tmp_path) == [".current", "run-1", "run-2"]
