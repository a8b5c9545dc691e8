"""HDFS by the NameNode's own protocol, through hdfs-native."""

import os
import re
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import IO, Any

from hdfs_native import Client, WriteOptions

from procurement_platform.errors import ConfigurationError
from procurement_platform.lake.hdfs import CHUNK, Source, Status
from procurement_platform.lake.hdfs_errors import HdfsError, Replaced, as_python

USER = "HADOOP_USER_NAME"
SECONDS = 20.0  # that one answer may take: of the NameNode, or a few MiB of a DataNode
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
        return _status(path, self._ask(path, lambda client: client.get_file_info(path)))

    def list(self, path: str) -> "list[Status]":
        return [_status(each.path, each) for each in self._ask(path, lambda client: list(client.list_status(path)))]

    def make_folder(self, path: str) -> None:
        self._ask(path, lambda client: client.mkdirs(path, create_parent=True))

    def rename(self, source: str, target: str) -> None:
        self._ask(source, lambda client: client.rename(source, target, overwrite=True))

    def delete(self, path: str, *, recursive: bool) -> None:
        self._ask(path, lambda client: client.delete(path, recursive))

    def open(self, path: str) -> Source:
        status, reader = self.status(path), self._ask(path, lambda client: client.read(path))
        if len(reader) != status.size:  # replaced between the two
            raise Replaced(path)
        return _Source(self, path, status, reader)

    def put(self, path: str, source: IO[bytes]) -> None:
        writer = self._ask(path, lambda client: client.create(path, WriteOptions(overwrite=True, create_parent=True)))
        close = writer.close
        writer.close = _forget  # which Python would call for a writer that failed, and wait for ever for a NameNode that is gone
        while data := source.read(CHUNK):
            self._ask(path, partial(_write, writer, data))
        self._ask(path, lambda _: close())

    def _ask(self, path: str, question: Callable[[Any], Any]) -> Any:
        """An answer of hdfs-native, which may wait for ever for one that was lost with its NameNode.

        Raises:
            TimeoutError: there was none in time; the next question is asked over connections of its own.
        """
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        client = self._client

        def ask() -> None:
            try:
                answers.put((question(client), None))
            except BaseException as problem:  # noqa: BLE001 -- raised where it was asked
                answers.put((None, problem))

        threading.Thread(target=ask, daemon=True).start()
        try:
            answer, problem = answers.get(timeout=SECONDS)
        except Empty:
            self._client = Client(self.address)
            raise TimeoutError(f"no answer within {SECONDS:.0f} seconds") from None
        if problem is not None:
            raise _python_error(path, problem) from None
        return answer


class _Source:
    def __init__(self, rpc: Rpc, path: str, status: Status, reader: Any) -> None:
        self._rpc, self._path, self.status, self._reader = rpc, path, status, reader

    def read(self, offset: int, length: int) -> bytes:
        read: bytes = self._rpc._ask(self._path, lambda _: self._reader.read_range(offset, length)) if length else b""  # noqa: SLF001
        return read


def _forget() -> None:
    """What becomes of a writer that is given up: a file that was not closed is not there for anybody."""


def _status(path: str, found: Any) -> Status:
    return Status(path, found.isdir, found.length, found.modification_time, (found.length, found.modification_time))


def _python_error(path: str, problem: BaseException) -> BaseException:
    if isinstance(problem, FileNotFoundError):
        return as_python("FileNotFoundException", str(problem), path)
    if isinstance(problem, FileExistsError):
        return as_python("FileAlreadyExistsException", str(problem), path)
    if isinstance(problem, RuntimeError):
        found = _RPC_ERROR.match(str(problem))
        if found:
            return as_python(found[1], found[2].replace("\\n", "\n").replace('\\"', '"').replace("\\'", "'"), path)
        return HdfsError(f"{path}: {problem}", path)
    return problem


def _write(writer: Any, data: bytes, _: Any) -> None:
    writer.write(data)
