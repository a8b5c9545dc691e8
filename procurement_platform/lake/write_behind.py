"""Files that are sent while others are being made: a table's metadata, small files of which a commit writes five.

Closing a small file on HDFS takes half a second of waiting, however many are closed at once (docs/hdfs.md).
"""

import io
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, Any

from fsspec import AbstractFileSystem

TRANSFERS = 8


class WriteBehind:
    """What PyIceberg asks of a file system, over one that is slow to write. What was written here can be read here at once.

    Others can rely on it after `settle`.
    """

    def __init__(self, fs: AbstractFileSystem) -> None:
        self._fs = fs
        self._written: dict[str, bytes] = {}
        self._under_way: list[Future[None]] = []
        self._transfers: ThreadPoolExecutor | None = None

    def open(self, path: str, mode: str = "rb") -> IO[bytes]:
        if mode == "wb":
            return _New(self, path)
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

    def send(self, path: str, data: bytes) -> None:
        """Sends a file's bytes, and does not wait for it."""
        if self._transfers is None:
            self._transfers = ThreadPoolExecutor(TRANSFERS, thread_name_prefix="write-behind")
        self._written[path] = data
        self._under_way.append(self._transfers.submit(self._fs.pipe_file, path, data))

    def settle(self) -> None:
        """Waits until all that was written is there.

        Raises:
            LakeUnavailable, OSError: a file could not be sent.
        """
        if self._transfers is None:
            return
        self._transfers.shutdown()
        sent, self._under_way, self._transfers = self._under_way, [], None
        self._written.clear()
        for each in sent:
            each.result()


class _New(io.BytesIO):
    """A new file: sent when it is closed, and not at all where its `with` block fails."""

    def __init__(self, files: WriteBehind, path: str) -> None:
        super().__init__()
        self._files, self._path = files, path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            super().close()
        self.close()

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            self._files.send(self._path, data)
