"""The lake's files: one root folder on any fsspec file system, written so that a reader sees a whole file or none."""

import datetime as dt
import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem


class Lake:
    """The lake's root folder. Paths given to its methods are relative to that root, with `/` between their parts."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.fs, root = fsspec.core.url_to_fs(self.url)
        self.local = isinstance(self.fs, LocalFileSystem)
        # fsspec leaves percent escapes of file:// URLs alone; folders with spaces have them.
        self.root = unquote(urlsplit(self.url).path) if self.local and "://" in self.url else str(root)

    @property
    def location(self) -> str:
        """The root as PyIceberg takes it. It leaves percent escapes of URLs alone, too: a local root is a plain path."""
        return self.root if self.local else self.url

    @property
    def real_location(self) -> str:
        """The root by its one name, whichever links lead to it."""
        return os.path.realpath(self.root) if self.local else self.url

    def path(self, *parts: str) -> str:
        """The absolute path of a file, as the file system names it."""
        return str(PurePosixPath(self.root, *parts))

    def relative(self, path: str) -> str:
        """An absolute path or URL of this lake, relative to its root."""
        plain = unquote(urlsplit(path).path) if "://" in path else path
        return str(PurePosixPath(plain).relative_to(self.root))

    def exists(self, relative: str) -> bool:
        return bool(self.fs.exists(self.path(relative)))

    def modified_at(self, relative: str) -> dt.datetime:
        """When a file, or what is listed in a folder, changed last."""
        modified: dt.datetime = self.fs.modified(self.path(relative))
        return modified if modified.tzinfo else modified.replace(tzinfo=dt.UTC)

    def size(self, relative: str) -> int:
        return int(self.fs.size(self.path(relative)))

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
        return sorted(PurePosixPath(e["name"]).name for e in self.fs.ls(path, detail=True) if e["type"] == "file")

    def folders(self, relative: str) -> list[str]:
        """The names of the folders right below a folder, in order."""
        path = self.path(relative)
        if not self.fs.isdir(path):
            return []
        return sorted(PurePosixPath(e["name"]).name for e in self.fs.ls(path, detail=True) if e["type"] == "directory")

    def read(self, relative: str) -> bytes:
        data: bytes = self.fs.cat_file(self.path(relative))
        return data

    def write(self, relative: str, data: bytes, *, lasting: bool = True) -> None:
        """Writes a whole file, in one step for its readers: beside it first, then renamed over it.

        Not `lasting`: the caller sees to it that it outlasts a power cut (`sync`), or need not.
        """
        path = PurePosixPath(self.path(relative))
        beside = str(path.with_name(f".{path.name}.{uuid4().hex[:8]}.part"))
        self.fs.makedirs(str(path.parent), exist_ok=True)
        try:
            with self.fs.open(beside, "wb") as file:
                file.write(data)
                if self.local and lasting:
                    file.flush()
                    os.fsync(file.fileno())
            self._rename(beside, str(path), lasting=lasting)
        except BaseException:
            if self.fs.exists(beside):
                self.fs.rm_file(beside)
            raise

    def move(self, source: str, target: str) -> None:
        """Renames a file, over what the target holds."""
        self.fs.makedirs(str(PurePosixPath(self.path(target)).parent), exist_ok=True)
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

    def _rename(self, source: str, target: str, *, lasting: bool = True) -> None:
        if self.local:
            Path(source).replace(target)
            if lasting:
                _fsync(str(Path(target).parent))
        else:
            if self.fs.exists(target):
                self.fs.rm_file(target)
            self.fs.mv(source, target)


def _fsync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
