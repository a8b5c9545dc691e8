"""Files that are sent while others are being made: a table's metadata, small files of which a commit writes five.

Closing a small file on HDFS takes half a second of waiting, however many are closed at once (docs/hdfs.md).
"""

import io
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import IO, Any

from fsspec import AbstractFileSystem

from procurement_platform.lake.hdfs import NewFile

_TRANSFERS = ThreadPoolExecutor(8, thread_name_prefix="write-behind")  # no thread before there is a file


class WriteBehind:
    """What PyIceberg asks of a file system, over one that is slow to write. What was written here can be read here at once.

    Others can rely on it after `settle`.
    """

    def __init__(self, fs: AbstractFileSystem) -> None:
        self._fs = fs
        self._written: dict[str, bytes] = {}
        self._under_way: list[Future[None]] = []

    def open(self, path: str, mode: str = "rb") -> IO[bytes]:
        if mode == "wb":
            return NewFile(self, path)
        opened: IO[bytes] = io.BytesIO(self._written[path]) if path in self._written else self._fs.open(path, mode)
        return opened

    def info(self, path: str) -> dict[str, Any]:
        if path in self._written:
            return {"name": path, "size": len(self._written[path]), "type": "file"}
        told: dict[str, Any] = self._fs.info(path)
        return told

    def lexists(self, path: str) -> bool:
        return path in self._written or bool(self._fs.exists(path))

    def rm(self, path: str) -> None:
        self.settle()
        self._fs.rm(path)

    def send(self, path: str, source: IO[bytes]) -> None:
        """Sends a file's bytes, and does not wait for it."""
        source.seek(0)
        data = self._written[path] = source.read()
        self._under_way.append(_TRANSFERS.submit(self._fs.pipe_file, path, data))

    def settle(self) -> None:
        """Waits until all that was written is there.

        Raises:
            LakeUnavailable, OSError: a file could not be sent.
        """
        sent, self._under_way = self._under_way, []
        wait(sent)
        self._written.clear()
        for each in sent:
            each.result()
