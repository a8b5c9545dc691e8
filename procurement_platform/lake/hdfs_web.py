"""HDFS by WebHDFS: http requests to the NameNode, which sends those for content on to a DataNode.

https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html
"""

import http.client
import json
import os
from contextlib import closing
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

from procurement_platform.errors import ConfigurationError
from procurement_platform.lake.hdfs import Source, Status
from procurement_platform.lake.hdfs_errors import HdfsError, Replaced, as_python

SECONDS = 60.0  # without a byte
BLOCK = 1024 * 1024
_HANDED_ON = (http.client.TEMPORARY_REDIRECT, http.client.FOUND)


class Web:
    """A client of the NameNode at an http or https address."""

    def __init__(self, address: str, user: str | None) -> None:
        self.address = address.rstrip("/")
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"HDFS_BASE_URL={address} is no address of WebHDFS: write one such as http://namenode:9870")
        self._user = {"user.name": user} if user else {}

    def status(self, path: str) -> Status:
        return _status(path, json.loads(self._call("GET", path, "GETFILESTATUS"))["FileStatus"])

    def list(self, path: str) -> "list[Status]":
        found = json.loads(self._call("GET", path, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
        return [_status(f"{path.rstrip('/')}/{each['pathSuffix']}" if each["pathSuffix"] else path, each) for each in found]

    def make_folder(self, path: str) -> None:
        self._call("PUT", path, "MKDIRS")

    def rename(self, source: str, target: str) -> None:
        answer = self._call("PUT", source, "RENAME", destination=target, renameoptions="OVERWRITE")
        if answer:  # that of a rename without options, as a gateway makes it that does not know them
            raise HdfsError(f"{target}: {self.address} cannot rename over a file; give the NameNode's own address")

    def delete(self, path: str, *, recursive: bool) -> None:
        self._call("DELETE", path, "DELETE", recursive=str(recursive).lower())

    def open(self, path: str) -> Source:
        status = self.status(path)
        if status.folder:
            raise as_python("FileNotFoundException", "", path)
        return _Source(self, path, status)

    def read(self, path: str, offset: int, length: int) -> bytes:
        return self._call("GET", path, "OPEN", offset=str(offset), length=str(length))

    def put(self, path: str, source: IO[bytes]) -> None:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        self._call("PUT", path, "CREATE", (source, size), overwrite="true")

    def _call(self, method: str, path: str, operation: str, body: tuple[IO[bytes], int] | None = None, **options: str) -> bytes:
        query = urlencode({"op": operation, **self._user, **options}, quote_via=quote)
        url = f"{self.address}/webhdfs/v1{quote(path)}?{query}"
        answer, data, location = self._request(method, url, None)
        if answer in _HANDED_ON and location:  # to a DataNode, which takes or gives the content
            try:
                answer, data, _ = self._request(method, location, body)
            except http.client.IncompleteRead as problem:  # a DataNode that ends, or finds that its block is damaged
                raise ConnectionError(f"{path}: only {len(problem.partial):,} bytes of what was asked for came") from problem
        elif body is not None and answer < http.client.BAD_REQUEST:
            raise HdfsError(f"{path}: {self.address} does not say where its content goes (status {answer})")
        if answer >= http.client.BAD_REQUEST:
            raise _error(path, answer, data)
        return data

    def _request(self, method: str, url: str, body: tuple[IO[bytes], int] | None) -> tuple[int, bytes, str | None]:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        with closing(kind(parts.hostname or "", parts.port, timeout=SECONDS, blocksize=BLOCK)) as connection:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(body[1] if body else 0)}
            connection.request(method, f"{parts.path}?{parts.query}", body[0] if body else None, headers if method == "PUT" else {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers["Location"]


class _Source:
    """WebHDFS opens a file anew for each range: that it still is the same file is looked at after each."""

    def __init__(self, web: Web, path: str, status: Status) -> None:
        self._web, self._path, self.status = web, path, status

    def read(self, offset: int, length: int) -> bytes:
        if not length:
            return b""
        data = self._web.read(self._path, offset, length)
        if self._web.status(self._path).identity != self.status.identity:
            raise Replaced(self._path)
        if len(data) != length:
            raise ConnectionError(f"{len(data)} of {length} bytes of {self._path} came")
        return data


def _status(path: str, found: dict[str, Any]) -> Status:
    folder, size, modified = found["type"] == "DIRECTORY", found["length"], found["modificationTime"]
    return Status(path, folder, size, modified, (found.get("fileId"), size, modified))


def _error(path: str, answer: int, data: bytes) -> Exception:
    try:
        remote = json.loads(data)["RemoteException"]
        return as_python(remote.get("javaClassName") or remote["exception"], remote.get("message") or "", path)
    except (ValueError, KeyError, TypeError):
        words = f"{path}: WebHDFS answered with status {answer}"
        return ConnectionError(words) if answer >= http.client.BAD_GATEWAY else HdfsError(words)
