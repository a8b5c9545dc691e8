"""What counts as an answer: asked of small servers that speak the protocols."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from procurement_platform.stack import probes
from procurement_platform.stack.place import HOST
from procurement_platform.stack.probes import NotYet


@contextmanager
def http(answer: Callable[[str, str], tuple[int, Any]]) -> Iterator[int]:
    """A server that answers (method, path) with a status and JSON, or with text as it is; a redirection goes to the text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answer(self.command, self.path)
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            if status == 307:
                self.send_header("Location", str(body))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET  # noqa: N815 -- the base class's naming

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def replying(reply: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that takes one request and sends these bytes."""
    got: list[bytes] = []
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                got.append(connection.recv(1000))
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], got
        thread.join()


def test_trinos_rows_come_in_pages() -> None:
    def answer(method: str, path: str) -> tuple[int, Any]:
        if method == "POST":
            return 200, {"nextUri": "http://elsewhere:1/v1/statement/1"}
        if path == "/v1/statement/1":
            return 200, {"data": [[1]], "nextUri": "http://elsewhere:1/v1/statement/2"}
        return 200, {"data": [[2], [3]]}

    with http(answer) as port:
        assert probes.trino_rows(port, "SELECT 1") == [[1], [2], [3]]


def test_a_query_that_failed_is_told_in_trinos_words() -> None:
    error = {"errorName": "SERVER_STARTING_UP", "message": "Trino server is still initializing"}
    with http(lambda _, __: (200, {"error": error})) as port, pytest.raises(NotYet, match="SERVER_STARTING_UP: Trino server is still"):
        probes.trino_rows(port, "SELECT 1")


@pytest.mark.parametrize(("status", "body", "told"), [(503, {}, "answered with 503"), (200, "<html>", "was not answered in JSON")])
def test_what_is_no_answer_is_told(status: int, body: object, told: str) -> None:
    with http(lambda _, __: (status, body)) as port, pytest.raises(NotYet, match=told):
        probes.get_json(port, "/x")


def test_nobody_listening_is_an_os_error() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        for ask in (lambda port: probes.get_json(port, "/"), probes.metastore, probes.kafka):
            with pytest.raises(OSError, match="refused"):
                ask(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("beans", "told"),
    [
        ([], "has not loaded"),
        ([{"NumLiveDataNodes": 0, "FSState": "safeMode"}], "no DataNode has reported"),
        ([{"NumLiveDataNodes": 1, "FSState": "safeMode"}], "in state safeMode"),
        ([{"NumLiveDataNodes": 1, "FSState": "Operational", "CapacityRemaining": 0}], "no DataNode has room"),
        ([{"NumLiveDataNodes": 1, "FSState": "Operational", "CapacityRemaining": 1}], None),
    ],
)
def test_hdfs_is_ready_when_it_can_be_written(beans: list[object], told: str | None) -> None:
    with http(lambda _, __: (200, {"beans": beans})) as port:
        if told is None:
            probes.hdfs(port)
        else:
            with pytest.raises(NotYet, match=told):
                probes.hdfs(port)


@pytest.mark.parametrize(("status", "told"), [(201, None), (403, r"cannot be written \(403\): .*EOFException")])
def test_hdfs_is_asked_to_write_where_the_namenode_sends_it(status: int, told: str | None) -> None:
    asked = list[str]()

    def write(method: str, path: str) -> tuple[int, object]:
        asked.append(f"{method} {path}")
        return status, {"exception": "EOFException"}

    with http(write) as datanode, http(lambda _, __: (307, f"http://{HOST}:{datanode}/there?x=1")) as namenode:
        if told is None:
            probes.hdfs_writes(namenode, "root")
        else:
            with pytest.raises(NotYet, match=told):
                probes.hdfs_writes(namenode, "root")
    assert asked == ["PUT /there?x=1"]


@pytest.mark.parametrize(
    ("beans", "registered"),
    [
        ([], False),
        ([{}], False),  # while it starts
        ([{"BPServiceActorInfo": None}], False),
        ([{"BPServiceActorInfo": "[]"}], False),
        ([{"BPServiceActorInfo": '[{"ActorState":"CONNECTING"}]'}], False),
        ([{"BPServiceActorInfo": '[{"ActorState":"RUNNING"}]'}], True),
    ],
)
def test_a_datanode_answers_once_it_has_registered(beans: list[object], *, registered: bool) -> None:
    with http(lambda _, __: (200, {"beans": beans})) as port:
        if registered:
            probes.datanode(port)
        else:
            with pytest.raises(NotYet, match="has not registered"):
                probes.datanode(port)


METHOD = b"get_all_databases"


def thrift(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", 0x80010000 | kind, len(METHOD)) + METHOD + struct.pack(">I", 1) + body


def test_the_metastore_is_asked_for_its_databases() -> None:
    with replying(thrift(2, struct.pack(">BHBI", 15, 0, 11, 0) + b"\0")) as (port, got):
        probes.metastore(port)
    assert METHOD in got[0]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (thrift(3, b"\0" * 8), "answered 0x80010003"),
        (thrift(2, struct.pack(">BHB", 12, 1, 11)), "could not list"),
        (b"HTTP/1.1 400 Bad Request", "answered 0x48545450"),
        (b"\x80", "closed the connection"),
    ],
)
def test_a_metastore_that_answers_otherwise_is_told(reply: bytes, told: str) -> None:
    with replying(reply) as (port, _), pytest.raises(NotYet, match=told):
        probes.metastore(port)


def test_kafka_is_asked_for_its_brokers() -> None:
    with replying(struct.pack(">iii", 8, 7, 1)) as (port, got):
        probes.kafka(port)
    length, key, version = struct.unpack(">ihh", got[0][:8])
    assert (length, key, version) == (len(got[0]) - 4, 3, 1)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (struct.pack(">iii", 8, 7, 0), "not been let into its cluster"),
        (struct.pack(">iii", 8, 6, 1), "another's request"),
        (b"", "closed the connection"),
    ],
)
def test_a_broker_that_answers_otherwise_is_told(reply: bytes, told: str) -> None:
    with replying(reply) as (port, _), pytest.raises(NotYet, match=told):
        probes.kafka(port)
