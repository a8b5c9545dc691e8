"""Files that are sent behind, over a file system that can be held and made to fail."""

import gc
import threading
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from pyiceberg.io.fsspec import FsspecInputFile, FsspecOutputFile

from procurement_platform.lake.write_behind import WriteBehind

DEADLINE = 30.0


class Held(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Sends nothing until `go_on` is set; names with `full` in them find no room."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def pipe_file(self, path: str, value: bytes, **_: object) -> None:
        assert self.go_on.wait(DEADLINE)
        if "full" in path:
            raise OSError(28, "No space left on device", path)
        Path(path).write_bytes(value)


def write(files: WriteBehind, path: Path, data: bytes) -> None:
    with files.open(str(path), "wb") as file:
        file.write(data)


def test_what_was_written_is_read_before_it_is_there(tmp_path: Path) -> None:
    held, path = Held(), tmp_path / "manifest.avro"
    files = WriteBehind(held)
    write(files, path, b"some bytes")
    assert not path.exists()
    name = str(path)
    assert files.open(name).read() == b"some bytes"
    assert files.lexists(name)
    made = FsspecOutputFile(name, files)  # as PyIceberg uses it
    assert len(made) == 10
    assert FsspecInputFile(name, files).open().read() == b"some bytes"
    with pytest.raises(FileExistsError):
        made.create()
    held.go_on.set()
    files.settle()
    assert path.read_bytes() == b"some bytes"
    assert files.open(name).read() == b"some bytes"


def test_files_go_side_by_side(tmp_path: Path) -> None:
    meeting = threading.Barrier(5)

    class Met(Held):
        def pipe_file(self, path: str, value: bytes, **_: object) -> None:
            meeting.wait(DEADLINE)  # passed only where five are under way at once
            Path(path).write_bytes(value)

    files = WriteBehind(Met())
    for number in range(5):
        write(files, tmp_path / str(number), bytes([number]))
    files.settle()
    assert [(tmp_path / str(number)).read_bytes() for number in range(5)] == [bytes([number]) for number in range(5)]


def test_a_file_that_could_not_be_sent_is_told_when_others_are_to_rely_on_it(tmp_path: Path) -> None:
    held = Held()
    held.go_on.set()
    files = WriteBehind(held)
    write(files, tmp_path / "full.avro", b"1")
    write(files, tmp_path / "other.avro", b"2")
    with pytest.raises(OSError, match="No space left"):
        files.settle()
    assert (tmp_path / "other.avro").exists(), "nothing is under way any more"
    assert not files.lexists(str(tmp_path / "full.avro"))
    files.settle()  # told once
    write(files, tmp_path / "after.avro", b"3")
    files.settle()
    assert (tmp_path / "after.avro").read_bytes() == b"3"


def test_a_file_whose_making_failed_is_not_sent(tmp_path: Path) -> None:
    held, path = Held(), tmp_path / "half.avro"
    held.go_on.set()
    files = WriteBehind(held)
    with pytest.raises(TypeError), files.open(str(path), "wb") as file:
        file.write("no bytes")  # type: ignore[call-overload]
    files.settle()
    assert not path.exists()


def test_a_file_that_is_forgotten_is_not_sent(tmp_path: Path) -> None:
    held, path = Held(), tmp_path / "half.avro"
    held.go_on.set()
    files = WriteBehind(held)
    files.open(str(path), "wb").write(b"half")
    gc.collect()
    files.settle()
    assert not path.exists()


def test_what_is_removed_was_there_first(tmp_path: Path) -> None:
    held, path = Held(), tmp_path / "old.json"
    held.go_on.set()
    files = WriteBehind(held)
    write(files, path, b"{}")
    files.rm(str(path))
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        files.open(str(path))
