"""HDFS as an fsspec file system: through the NameNode's own protocol or through WebHDFS, with the same paths and the same errors.

Paths may be `hdfs://host:port/…` URLs or plain. A file is there as a whole or not at all: what is written is kept beside (in memory, larger
ones in a temporary file) until it is closed, then sent in one go, which can be done again after an error that may pass.
"""

import datetime as dt
import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, Protocol, TypeVar

from fsspec import AbstractFileSystem

from procurement_platform.errors import LakeUnavailable
from procurement_platform.lake.hdfs_errors import Replaced, may_pass
from procurement_platform.retry import retried

Result = TypeVar("Result")
CHUNK = 1024 * 1024  # eight transfers hold one each, and hdfs-native as much again
BUFFER = 512 * 1024  # read at once where less is asked for
IN_MEMORY = 8 * 1024 * 1024  # larger files wait on disk until they are closed


@dataclass(frozen=True)
class Status:
    """A file or folder. `modified` is in milliseconds since 1970; `identity` differs between files that had the same name in turn."""

    path: str
    folder: bool
    size: int
    modified: int
    identity: tuple[object, ...]


class Source(Protocol):
    """A file opened for reading: what it was, and ranges of it."""

    status: Status

    def read(self, offset: int, length: int) -> bytes: ...


class Wire(Protocol):
    """How HDFS is spoken to. Paths are plain; errors are `OSError`s as a local file system raises them, or `HdfsError`."""

    address: str

    def status(self, path: str) -> Status: ...

    def list(self, path: str) -> list[Status]: ...

    def make_folder(self, path: str) -> None: ...

    def rename(self, source: str, target: str) -> None: ...

    def delete(self, path: str, *, recursive: bool) -> None: ...

    def open(self, path: str) -> Source: ...

    def put(self, path: str, source: IO[bytes]) -> None: ...


def connect(url: str, web: str | None, user: str | None) -> "Hdfs":
    """The file system of an `hdfs://host:port/…` URL; with `web`, the NameNode's http address, through WebHDFS."""
    if web:
        from procurement_platform.lake.hdfs_web import Web

        return Hdfs(Web(web, user))
    from procurement_platform.lake.hdfs_rpc import Rpc

    return Hdfs(Rpc(url, user))


class Hdfs(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """HDFS. Errors that may pass are waited out for `patience` seconds; then they are `LakeUnavailable`."""

    protocol = "hdfs"
    root_marker = "/"
    cachable = False
    patience = 90.0

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    @property
    def fsid(self) -> str:
        return f"hdfs {self._wire.address}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        if "://" in text:
            text = "/" + text.partition("://")[2].partition("/")[2]
        return "/" + text.strip("/")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return _entry(self._patiently(lambda: self._wire.status(self._strip_protocol(path))))

    def exists(self, path: str, **_: Any) -> bool:
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    lexists = exists

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 -- fsspec's signature
        entries = [_entry(each) for each in self._patiently(lambda: self._wire.list(self._strip_protocol(path)))]
        entries.sort(key=lambda entry: entry["name"])
        return entries if detail else [entry["name"] for entry in entries]

    def modified(self, path: str) -> dt.datetime:
        modified: dt.datetime = self.info(path)["modified"]
        return modified

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ARG002, FBT001, FBT002 -- fsspec's signature
        self._patiently(lambda: self._wire.make_folder(self._strip_protocol(path)))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002 -- fsspec's signature
        if not exist_ok and self.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.mkdir(path)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Renames, over a file that the target is: in one step, so that the target is never missing."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        before: list[Status] = []

        def rename() -> None:
            try:
                if not before:
                    before.append(self._wire.status(source))
                self._wire.rename(source, target)
            except FileNotFoundError:
                # A rename that took place and whose answer was lost: done again, it does not find its source.
                if not before or self._wire.status(target).identity != before[0].identity:
                    raise

        self._patiently(rename)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:  # noqa: ARG002, FBT001, FBT002 -- fsspec's signature
        for each in path if isinstance(path, list) else [path]:
            self._patiently(partial(self._wire.delete, self._strip_protocol(each), recursive=recursive))

    def rm_file(self, path: str) -> None:
        self.rm(path)

    def rmdir(self, path: str) -> None:
        self.rm(path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        plain = self._strip_protocol(path)

        def read() -> bytes:
            source = self._wire.open(plain)
            first, last, _ = slice(start, end).indices(source.status.size)
            return source.read(first, max(0, last - first))

        return self._patiently(read, anew=True)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        if mode == "create" and self.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.send(self._strip_protocol(path), io.BytesIO(value))

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        with Path(lpath).open("rb") as file:
            self.send(self._strip_protocol(rpath), file)

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        plain = self._strip_protocol(rpath)

        def read() -> None:
            source = self._wire.open(plain)
            with Path(lpath).open("wb") as file:
                size = source.status.size
                file.writelines(source.read(offset, min(CHUNK, size - offset)) for offset in range(0, size, CHUNK))

        self._patiently(read, anew=True)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        with self.open(path1, "rb") as source:
            self.send(self._strip_protocol(path2), source)

    def send(self, path: str, source: IO[bytes]) -> None:
        """Writes a file from a seekable one, whole, over what is there."""

        def write() -> None:
            source.seek(0)
            self._wire.put(path, source)

        self._patiently(write)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> IO[bytes]:
        if mode == "rb":
            source = self._patiently(lambda: self._wire.open(path))
            return io.BufferedReader(_Reader(self, path, source), BUFFER)
        if mode == "wb":
            return NewFile(self, path)
        raise ValueError(f"files of HDFS are opened to be read (rb) or written (wb), not {mode!r}")

    def reopen(self, path: str, source: Source) -> Source:
        """A file opened again after its reading failed.

        Raises:
            Replaced: it is another file by now; what was read of the first does not go with it.
        """
        again = self._wire.open(path)
        if again.status.identity != source.status.identity:
            raise Replaced(path)
        return again

    def _patiently(self, action: Callable[[], Result], *, anew: bool = False) -> Result:
        """Does it again after errors that may pass; `anew`: it begins from the start, so a file may be another one by then."""
        try:
            return retried(action, lambda problem: may_pass(problem) or (anew and isinstance(problem, Replaced)), seconds=self.patience)
        except Exception as problem:
            if may_pass(problem):
                words = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
                raise LakeUnavailable(f"HDFS at {self._wire.address} cannot be used: {words}; mend it, then run again") from problem
            raise


class _Reader(io.RawIOBase):
    """A file, read where it is asked for."""

    def __init__(self, system: Hdfs, path: str, source: Source) -> None:
        super().__init__()
        self._system, self._path, self._source, self._position = system, path, source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.status.size}[whence]
        if start + offset < 0:
            raise ValueError(f"{self._path} has no position {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._source.status.size - self._position)
        if length <= 0:
            return 0
        broken = False

        def read() -> bytes:
            nonlocal broken
            if broken:
                self._source = self._system.reopen(self._path, self._source)
            broken = True
            return self._source.read(self._position, length)

        data = self._system._patiently(read)  # noqa: SLF001 -- the file system's own file
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class Sender(Protocol):
    """Whoever sends a new file, from one that is closed afterwards."""

    def send(self, path: str, source: IO[bytes]) -> None: ...


class NewFile(SpooledTemporaryFile[bytes]):
    """A new file: sent when it is closed, and not at all where its `with` block fails, or where it is forgotten."""

    def __init__(self, system: Sender, path: str) -> None:
        super().__init__(max_size=IN_MEMORY)
        self._system, self._path = system, path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            super().close()
        self.close()

    def __del__(self) -> None:
        super().close()  # forgotten: not sent

    def close(self) -> None:
        if not self.closed:
            try:
                self._system.send(self._path, self)
            finally:
                super().close()


def _entry(status: Status) -> dict[str, Any]:
    return {
        "name": status.path,
        "size": status.size,
        "type": "directory" if status.folder else "file",
        "modified": dt.datetime.fromtimestamp(status.modified / 1000, dt.UTC),
    }
