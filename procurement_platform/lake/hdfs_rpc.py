"""HDFS by the NameNode's own protocol, through hdfs-native."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from hdfs_native import Client, WriteOptions

from procurement_platform.errors import ConfigurationError
from procurement_platform.lake.hdfs import CHUNK, Source, Status
from procurement_platform.lake.hdfs_errors import HdfsError, Replaced, as_python

USER = "HADOOP_USER_NAME"
_RPC_ERROR = re.compile(r'^(?:Fatal)?RPCError\("([\w.$]+)", "((?:[^"\\]|\\.)*)', re.DOTALL)


class Rpc:
    """A client of one NameNode, or of a name service that `HADOOP_CONF_DIR` describes.

    hdfs-native takes the user from the environment alone, when it connects: a process has one user for HDFS (Kerberos: the ticket's).
    """

    def __init__(self, url: str, user: str | None) -> None:
        self.address = "/".join(url.split("/", 3)[:3])
        if user:
            os.environ[USER] = user
        try:
            self._client = Client(self.address)
        except RuntimeError as problem:
            raise ConfigurationError(f"{self.address} is no HDFS that can be reached: {problem}") from problem

    def status(self, path: str) -> Status:
        with _python_errors(path):
            return _status(path, self._client.get_file_info(path))

    def list(self, path: str) -> "list[Status]":
        with _python_errors(path):
            return [_status(each.path, each) for each in self._client.list_status(path)]

    def make_folder(self, path: str) -> None:
        with _python_errors(path):
            self._client.mkdirs(path, create_parent=True)

    def rename(self, source: str, target: str) -> None:
        with _python_errors(source):
            self._client.rename(source, target, overwrite=True)

    def delete(self, path: str, *, recursive: bool) -> None:
        with _python_errors(path):
            self._client.delete(path, recursive)

    def open(self, path: str) -> Source:
        with _python_errors(path):
            status, reader = _status(path, self._client.get_file_info(path)), self._client.read(path)
            if len(reader) != status.size:  # replaced between the two
                raise Replaced(path)
            return _Source(path, status, reader)

    def put(self, path: str, source: IO[bytes]) -> None:
        with _python_errors(path):
            writer = self._client.create(path, WriteOptions(overwrite=True, create_parent=True))
            while data := source.read(CHUNK):
                writer.write(data)
            writer.close()


class _Source:
    def __init__(self, path: str, status: Status, reader: Any) -> None:
        self._path, self.status, self._reader = path, status, reader

    def read(self, offset: int, length: int) -> bytes:
        with _python_errors(self._path):
            return bytes(self._reader.read_range(offset, length)) if length else b""


def _status(path: str, found: Any) -> Status:
    return Status(path, found.isdir, found.length, found.modification_time, (found.length, found.modification_time))


@contextmanager
def _python_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as problem:
        raise as_python("FileNotFoundException", str(problem), path) from None
    except FileExistsError as problem:
        raise as_python("FileAlreadyExistsException", str(problem), path) from None
    except RuntimeError as problem:
        found = _RPC_ERROR.match(str(problem))
        if found:
            raise as_python(found[1], found[2].replace("\\n", "\n").replace('\\"', '"').replace("\\'", "'"), path) from None
        raise HdfsError(f"{path}: {problem}") from None
