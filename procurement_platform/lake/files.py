"""The lake's files: one root folder on any fsspec file system, written so that a reader sees a whole file or none.

A local lake names its files by their paths, any other by their whole URLs.
"""

import datetime as dt
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from procurement_platform.errors import LakeUnavailable

_PIECE = 4 * 1024 * 1024


class Lake:
    """The lake's root folder. Paths given to its methods are relative to that root, with `/` between their parts, or absolute.

    A lake on HDFS (`hdfs://host:port/folder`) is used as `user`, through WebHDFS where `web` says where that is (`http://host:port`).
    """

    def __init__(self, url: str, *, web: str | None = None, user: str | None = None) -> None:
        self.url = url.rstrip("/")
        if self.url.startswith("hdfs://"):
            from procurement_platform.lake import hdfs

            self.fs, root = hdfs.connect(self.url, web, user), self.url
        else:
            self.fs, root = fsspec.core.url_to_fs(self.url)
        self.local = isinstance(self.fs, LocalFileSystem)
        # fsspec leaves percent escapes of file:// URLs alone; folders with spaces have them.
        self.root = (unquote(urlsplit(self.url).path) if "://" in self.url else str(root)) if self.local else self.url

    @property
    def location(self) -> str:
        """The root as PyIceberg takes it. It leaves percent escapes of URLs alone, too: a local root is a plain path."""
        return self.root

    @property
    def real_location(self) -> str:
        """The root by its one name, whichever links lead to it."""
        return os.path.realpath(self.root) if self.local else self.url

    def path(self, *parts: str) -> str:
        """The absolute path of a file, as the file system names it: on a lake that is not local, its URL."""
        if self.local:
            return str(PurePosixPath(self.root, *parts))
        joined = "/".join(part.strip("/") for part in parts if part.strip("/"))
        whole = f"{joined}/".startswith(f"{self.root}/")
        return joined if whole else f"{self.root}/{joined}".rstrip("/")

    def relative(self, path: str) -> str:
        """An absolute path or URL of this lake, relative to its root.

        On a lake that is not local the host is not compared: a NameNode may have several names.
        """
        if self.local:
            plain = unquote(urlsplit(path).path) if "://" in path else path
            return str(PurePosixPath(plain).relative_to(self.root))
        root, plain = _below_host(self.root), _below_host(path)
        if not f"{plain}/".startswith(f"{root}/"):
            raise ValueError(f"{path!r} is not in the subpath of {self.root!r}")
        return plain[len(root) + 1 :] or "."

    def exists(self, relative: str) -> bool:
        return bool(self.fs.exists(self.path(relative)))

    def modified_at(self, relative: str) -> dt.datetime:
        """When a file, or what is listed in a folder, changed last."""
        modified: dt.datetime = self.fs.modified(self.path(relative))
        return modified if modified.tzinfo else modified.replace(tzinfo=dt.UTC)

    def size(self, relative: str) -> int:
        return int(self.fs.size(self.path(relative)))

    def info(self, relative: str) -> tuple[int, dt.datetime]:
        """A file's size in bytes, and when it changed last."""
        entry = self.fs.info(self.path(relative))
        return int(entry["size"]), entry["modified"] if "modified" in entry else self.modified_at(relative)

    def make_folder(self, relative: str) -> str:
        """Makes a folder and those above it; returns its absolute path."""
        path = self.path(relative)
        self.fs.makedirs(path, exist_ok=True)
        return path

    def empty_folder(self, relative: str) -> str:
        """A folder with nothing in it, whatever an earlier attempt left there; returns its absolute path."""
        self.remove_folder(relative)
        return self.make_folder(relative)

    def files(self, relative: str) -> list[str]:
        """The names of the plain files right below a folder, in order; none where there is no folder."""
        path = self.path(relative)
        if not self.fs.isdir(path):
            return []
        return sorted(_name(e["name"]) for e in self.fs.ls(path, detail=True) if e["type"] == "file")

    def folders(self, relative: str) -> list[str]:
        """The names of the folders right below a folder, in order."""
        path = self.path(relative)
        if not self.fs.isdir(path):
            return []
        return sorted(_name(e["name"]) for e in self.fs.ls(path, detail=True) if e["type"] == "directory")

    def read(self, relative: str) -> bytes:
        data: bytes = self.fs.cat_file(self.path(relative))
        return data

    def open(self, relative: str) -> IO[bytes]:
        """A file to read, any part of it: the rest is not fetched."""
        file: IO[bytes] = self.fs.open(self.path(relative), "rb")
        return file

    def write(self, relative: str, data: bytes, *, lasting: bool = True) -> None:
        """Writes a whole file, in one step for its readers: beside it first, then renamed over it.

        Not `lasting`: the caller sees to it that it outlasts a power cut (`sync`), or need not.
        """
        with self._beside(relative, lasting=lasting) as beside:
            if not self.local:
                self.fs.pipe_file(beside, data)
                return
            with self.fs.open(beside, "wb") as file:
                file.write(data)
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())

    def write_pieces(self, relative: str, pieces: Iterable[bytes], *, lasting: bool = True) -> tuple[str, int]:
        """Writes a whole file as `write` does, of pieces that come one after the other: it is never held whole.

        Returns its SHA-256 and its size in bytes.
        """
        digest, size = hashlib.sha256(), 0
        with self._beside(relative, lasting=lasting) as beside, self._written(beside) as file:
            for piece in pieces:
                digest.update(piece)
                size += file.write(piece)
            file.flush()
            if self.local and lasting:
                os.fsync(file.fileno())
        return digest.hexdigest(), size

    def sha256(self, relative: str) -> str:
        """A file's SHA-256, read in pieces."""
        digest = hashlib.sha256()
        with self.open(relative) as file:
            for piece in pieces_of(file):
                digest.update(piece)
        return digest.hexdigest()

    def upload(self, local: Path, relative: str) -> None:
        """Copies a file of this machine into the lake, in one step for its readers, whatever its size."""
        with self._beside(relative, lasting=True) as beside:
            if self.local:
                shutil.copyfile(local, beside)
                _fsync(beside)
            else:
                self.fs.put_file(str(local), beside)

    def download(self, relative: str, local: Path) -> None:
        """Copies a file of the lake to this machine, over what is there, whatever its size."""
        beside = local.with_name(f".{local.name}.{uuid4().hex[:8]}.part")
        local.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.fs.get_file(self.path(relative), str(beside))
            beside.replace(local)
        finally:
            beside.unlink(missing_ok=True)

    def move(self, source: str, target: str) -> None:
        """Renames a file, over what the target holds."""
        self.fs.makedirs(_parent(self.path(target)), exist_ok=True)
        self._rename(self.path(source), self.path(target))

    def remove(self, relative: str) -> None:
        """Removes a file; none there is fine."""
        if self.exists(relative):
            self.fs.rm_file(self.path(relative))

    def remove_folder(self, relative: str) -> None:
        """Removes a folder and all below it; none there is fine."""
        path = self.path(relative)
        if self.local:
            shutil.rmtree(path, ignore_errors=True)
        elif self.fs.exists(path):
            self.fs.rm(path, recursive=True)

    def sync(self, paths: Iterable[str]) -> None:
        """Puts written files on disk, so that no commit can name a file that a power cut takes back."""
        if not self.local:
            return
        folders = set()
        for path in paths:
            _fsync(path)
            folders.add(str(Path(path).parent))
        for folder in folders:
            _fsync(folder)

    @contextmanager
    def _written(self, path: str) -> Iterator[IO[bytes]]:
        """A new file to write; one of a lake elsewhere is written here first, and put there once it is whole."""
        if self.local:
            with self.fs.open(path, "wb") as file:
                yield file
            return
        with NamedTemporaryFile() as here:
            yield here
            self.fs.put_file(here.name, path)

    @contextmanager
    def _beside(self, relative: str, *, lasting: bool) -> Iterator[str]:
        """A path beside a file's: what was written there becomes the file, or is removed where writing failed."""
        path = self.path(relative)
        beside = f"{_parent(path)}/.{_name(path)}.{uuid4().hex[:8]}.part"
        self.fs.makedirs(_parent(path), exist_ok=True)
        try:
            yield beside
            self._rename(beside, path, lasting=lasting)
        except LakeUnavailable:
            raise  # nor can anything be removed
        except BaseException:
            with suppress(FileNotFoundError):
                self.fs.rm_file(beside)
            raise

    def _rename(self, source: str, target: str, *, lasting: bool = True) -> None:
        if self.local:
            Path(source).replace(target)
            if lasting:
                _fsync(_parent(target))
        else:
            self.fs.mv(source, target)  # HDFS: over the target, in one step


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    """An open file's bytes, some MiB at a time."""
    while piece := file.read(_PIECE):
        yield piece


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0]


def _below_host(path: str) -> str:
    """The part of a URL below its host; a plain path is that already."""
    plain = "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path
    return plain.rstrip("/")


def _fsync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
