"""Asks each server something that only a working one answers. `NotYet` and OSError mean: not now."""

import http.client
import json
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

from procurement_platform.stack.place import HOST, USER

SECONDS = 3.0


class NotYet(Exception):
    """The server does not answer as it should; the text says what it does."""


def get_json(port: int, path: str) -> Any:
    """What a server answers to GET."""
    return _json(port, "GET", path)


def trino_rows(port: int, query: str, seconds: float = SECONDS) -> list[list[Any]]:
    """All rows of a query.

    Raises:
        NotYet: Trino is starting, or the query failed; the text is Trino's.
    """
    headers = {"X-Trino-User": USER, "X-Trino-Source": "procurement stack"}
    answer = _json(port, "POST", "/v1/statement", query, headers, seconds)
    rows: list[list[Any]] = []
    while True:
        if "error" in answer:
            raise NotYet(f"{answer['error'].get('errorName')}: {answer['error'].get('message')}")
        rows += answer.get("data", [])
        if "nextUri" not in answer:
            return rows
        answer = _json(port, "GET", urlsplit(answer["nextUri"]).path, None, headers, seconds)


def hdfs(port: int) -> None:
    """The NameNode has left safe mode and knows a live DataNode: files can be written."""
    namesystem = namenode(port)
    if namesystem["NumLiveDataNodes"] < 1:
        raise NotYet("no DataNode has reported")
    if namesystem["FSState"] != "Operational":
        raise NotYet(f"HDFS is in state {namesystem['FSState']}")
    if namesystem["CapacityRemaining"] <= 0:  # a DataNode says so with its first heartbeat, after it has registered
        raise NotYet("no DataNode has room")


def hdfs_writes(port: int, user: str) -> None:
    """A file can be written by WebHDFS. After the NameNode was killed this fails once: the DataNode tries its old connection."""
    status, answer = webhdfs(port, user, "PUT", "/stack/ready", "CREATE&overwrite=true", b"ready")
    if status != http.client.CREATED:
        raise NotYet(f"HDFS cannot be written ({status}): {answer.decode(errors='replace')[:300]}")


def webhdfs(port: int, user: str, method: str, path: str, operation: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One operation of WebHDFS: its status and what was answered. A redirection to the DataNode is followed, with the body."""
    target = f"/webhdfs/v1{path}?op={operation}&user.name={user}"
    for content in (None, body):
        connection = http.client.HTTPConnection(HOST, port, timeout=10 * SECONDS)
        try:
            connection.request(method, target, content)
            response = connection.getresponse()
            answer = response.read()
        except http.client.HTTPException as problem:
            raise NotYet(f"{method} {path} was not answered: {problem!r}") from problem
        finally:
            connection.close()
        if response.status != http.client.TEMPORARY_REDIRECT:
            break
        there = urlsplit(response.headers["Location"])
        port, target = there.port or 0, f"{there.path}?{there.query}"
    return response.status, answer


def namenode(port: int) -> dict[str, Any]:
    """What the NameNode says of its file system."""
    beans = get_json(port, "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState")["beans"]
    if not beans:
        raise NotYet("the NameNode has not loaded its file system")
    return dict(beans[0])


def datanode(port: int) -> None:
    """The DataNode that runs now has registered: the NameNode counts one that ended as alive for 20 s more."""
    beans = get_json(port, "/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo")["beans"]
    actors = json.loads(beans[0].get("BPServiceActorInfo") or "[]") if beans else []
    if not any(each["ActorState"] == "RUNNING" for each in actors):
        raise NotYet("the DataNode has not registered with the NameNode")


def metastore(port: int) -> None:
    """The metastore lists its databases (Thrift, binary protocol, strict)."""
    method = b"get_all_databases"
    with socket.create_connection((HOST, port), SECONDS) as connection:
        connection.sendall(struct.pack(">II", 0x80010001, len(method)) + method + struct.pack(">IB", 1, 0))
        (kind,) = struct.unpack(">I", _read(connection, 4))
        if kind != 0x80010002:  # noqa: PLR2004 -- the protocol's version and "reply"
            raise NotYet(f"the metastore answered {kind:#x}")
        _read(connection, 4 + len(method) + 4)
        field, number, element = struct.unpack(">BHB", _read(connection, 4))
        if (field, number, element) != (15, 0, 11):  # the result, a list of texts
            raise NotYet("the metastore could not list its databases")


def kafka(port: int) -> None:
    """The broker names one that topics can be put on: itself, once its controller lets it (Metadata, version 1, of no topic)."""
    client = b"procurement"
    request = struct.pack(">hhih", 3, 1, 7, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection((HOST, port), SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        _, correlation, brokers = struct.unpack(">iii", _read(connection, 12))
        if correlation != 7:  # noqa: PLR2004 -- the request's own number
            raise NotYet(f"the broker answered another's request ({correlation})")
        if brokers < 1:
            raise NotYet("the broker has not been let into its cluster")


def _json(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None, seconds: float = SECONDS
) -> Any:
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request(method, path, body.encode() if body is not None else None, headers or {})
        response = connection.getresponse()
        content = response.read()
    except http.client.HTTPException as problem:
        raise NotYet(f"{method} {path} was not answered: {problem!r}") from problem
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise NotYet(f"{method} {path} was answered with {response.status}")
    try:
        return json.loads(content)
    except ValueError as problem:
        raise NotYet(f"{method} {path} was not answered in JSON") from problem


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise NotYet("the server closed the connection")
        data += more
    return data
