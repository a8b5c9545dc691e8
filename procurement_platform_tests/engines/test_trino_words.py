"""What Trino's engine says and hears, without Trino: statements, errors, retries, TLS, and the password that nobody sees."""

import datetime as dt
import json
import logging
import pickle
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from pydantic import SecretStr
from sqlglot import exp
from trino import exceptions

from procurement_platform.engines.base import Relation
from procurement_platform.engines.queries import Query
from procurement_platform.engines.trino import TrinoEngine
from procurement_platform.engines.trino_client import Answer, arrow_type
from procurement_platform.engines.trino_errors import ServerLost, Untrusted, explained, is_transient
from procurement_platform.engines.trino_sql import Scan, Schema, text_of
from procurement_platform.errors import ConfigurationError, InputGone, LakeUnavailable, ProcurementError, PromiseBroken, QueryRefused
from procurement_platform.lake.files import Lake

COLUMNS = {"k": "varchar", "q": "decimal(18,3)"}
STAGING = Schema("hive", "staging")
SECRET = "p4ss wörd'\"%"  # noqa: S105 -- nobody's


def over(sql: str, scans: dict[str, Scan], params: dict[str, object] | None = None) -> str:
    prepared = Query("test/q", sql).prepared({name: scan.columns for name, scan in scans.items()})
    return text_of(STAGING.over_files("test/q", prepared, {name: scans[name] for name in prepared.relations}, params or {}))


def query_error(name: str, kind: str = "EXTERNAL", message: str = "it failed", *causes: str) -> exceptions.TrinoQueryError:
    """An error as the driver raises it."""
    failure: dict[str, Any] | None = None
    for cause in reversed(causes):
        failure = {"type": "java.io.IOException", "message": cause, "cause": failure}
    told = {"message": message, "errorName": name, "errorType": kind, "failureInfo": {"type": "X", "message": message, "cause": failure}}
    of = {"EXTERNAL": exceptions.TrinoExternalError, "USER_ERROR": exceptions.TrinoUserError}
    return of.get(kind, exceptions.TrinoQueryError)(told, "20251220_1")


# Statements


def test_a_relation_is_the_rows_of_its_files_alone() -> None:
    scan = Scan(COLUMNS, {"read_1": ["hdfs://n:1/a/x.parquet", "hdfs://n:1/a/it's ü.parquet"], "read_2": ["hdfs://n:1/b/y.parquet"]})
    text = over("SELECT k FROM t WHERE q > CAST(0 AS decimal(18,3))", {"t": scan})
    tree = sqlglot.parse_one(text, read="trino")
    assert isinstance(tree, exp.Query)
    (cte,) = tree.ctes
    assert cte.alias == "relation__t"
    assert isinstance(cte.this, exp.Union)
    assert cte.this.args["distinct"] is False
    parts = [cte.this.left, cte.this.right]
    assert [table.sql("trino") for part in parts for table in part.find_all(exp.Table)] == [
        '"hive"."staging"."read_1"',
        '"hive"."staging"."read_2"',
    ]
    assert [part.args["where"].this.sql("trino") for part in parts] == [
        "\"$path\" IN ('hdfs://n:1/a/x.parquet', 'hdfs://n:1/a/it''s ü.parquet')",
        "\"$path\" IN ('hdfs://n:1/b/y.parquet')",
    ]


def test_a_relation_read_twice_is_named_once() -> None:
    text = over("SELECT a.k FROM t a JOIN t b ON a.k = b.k", {"t": Scan(COLUMNS, {"read_1": ["f"]})})
    assert text.count("read_1") == 1
    assert text.count('"relation__t" AS') == 3


def test_a_relation_without_files_has_types_and_no_rows() -> None:
    text = over("SELECT k, q FROM t", {"t": Scan(COLUMNS, {})})
    assert 'SELECT CAST(NULL AS VARCHAR) AS "k", CAST(NULL AS DECIMAL(18, 3)) AS "q" WHERE FALSE' in text


def test_a_relation_that_is_not_read_is_not_named() -> None:
    scan = Scan(COLUMNS, {"read_1": ["f"]})
    assert "relation__u" not in over("SELECT k FROM t", {"t": scan, "u": scan})


def test_the_query_s_own_names_stay_its_own() -> None:
    text = over("WITH read AS (SELECT k FROM t) SELECT r.k FROM read r UNION ALL SELECT k FROM t", {"t": Scan(COLUMNS, {"read_1": ["f"]})})
    tree = sqlglot.parse_one(text, read="trino")
    assert isinstance(tree, exp.Query)
    assert [cte.alias for cte in tree.ctes] == ["relation__t", "read"]


def test_parameters_are_literals_of_their_cast() -> None:
    sql = "SELECT k FROM t WHERE k = CAST(:k AS varchar) AND q < CAST(:q AS decimal(18,3)) AND CAST(:d AS date) IS NOT NULL"
    text = over(sql, {"t": Scan(COLUMNS, {})}, {"k": "'; DROP TABLE x --", "q": Decimal("1E+3"), "d": dt.date(2025, 12, 20)})
    assert "CAST('''; DROP TABLE x --' AS VARCHAR)" in text
    assert "CAST(1000 AS DECIMAL(18, 3))" in text
    assert "CAST('2025-12-20' AS DATE)" in text
    with pytest.raises(QueryRefused, match=":d has no value"):
        over(sql, {"t": Scan(COLUMNS, {})}, {"k": "a", "q": 1})
    with pytest.raises(QueryRefused, match=":q is a float"):
        over(sql, {"t": Scan(COLUMNS, {})}, {"k": "a", "q": 1.5, "d": None})


def test_statements_about_tables() -> None:
    assert STAGING.create() == 'CREATE SCHEMA IF NOT EXISTS "hive"."staging"'
    assert STAGING.drop('a"b') == 'DROP TABLE IF EXISTS "hive"."staging"."a""b"'
    assert STAGING.external("r", COLUMNS, "hdfs://n:1/it's") == (
        'CREATE TABLE "hive"."staging"."r" ("k" VARCHAR, "q" DECIMAL(18, 3)) '
        "WITH (external_location='hdfs://n:1/it''s', format='PARQUET')"
    )
    query = exp.select("1 AS a")
    assert STAGING.create_as("w", "hdfs://n:1/x", query) == (
        'CREATE TABLE "hive"."staging"."w" WITH (external_location=\'hdfs://n:1/x\', format=\'PARQUET\') AS SELECT 1 AS a'
    )


def test_only_a_query_s_own_order_is_kept() -> None:
    schema = {"t": COLUMNS}
    assert Query("q", "SELECT k FROM t ORDER BY k").prepared(schema).ordered
    assert not Query("q", "SELECT k FROM (SELECT k FROM t ORDER BY k LIMIT 3) x").prepared(schema).ordered


def test_prepared_queries_are_remembered_on_disk(tmp_path: Path) -> None:
    sql = "SELECT k FROM t"
    first = Query("q", sql, tmp_path).prepared({"t": COLUMNS})
    (entry,) = tmp_path.iterdir()
    entry.touch()
    assert Query("q", sql, tmp_path).prepared({"t": COLUMNS}) == first
    assert list(tmp_path.iterdir()) == [entry]


@pytest.mark.parametrize(
    ("kind", "arrow"),
    [
        ("varchar", pa.string()), ("varchar(12)", pa.string()), ("bigint", pa.int64()), ("integer", pa.int32()), ("boolean", pa.bool_()),
        ("date", pa.date32()), ("decimal(19, 3)", pa.decimal128(19, 3)), ("decimal(38,7)", pa.decimal128(38, 7)),
    ],
)  # fmt: skip
def test_types(kind: str, arrow: pa.DataType) -> None:
    assert arrow_type(kind) == arrow


def test_an_answer_without_rows_has_its_columns() -> None:
    table = Answer((("k", "varchar(3)"), ("q", "decimal(18, 3)")), []).arrow()
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {"k": pa.string(), "q": pa.decimal128(18, 3)}
    assert table.num_rows == 0


# Errors


@pytest.mark.parametrize(
    "problem",
    [
        ServerLost("Connection refused"),
        exceptions.TrinoConnectionError("failed to fetch: connection reset"),
        exceptions.Http502Error("error 502: bad gateway"),
        exceptions.Http503Error("error 503: service unavailable"),
        exceptions.Http504Error("error 504: gateway timeout"),
        exceptions.HttpError("error 404: b'Query not found'"),
        exceptions.HttpError("error 429"),
        query_error("SERVER_STARTING_UP", "INTERNAL_ERROR"),
        query_error("SERVER_SHUTTING_DOWN", "INSUFFICIENT_RESOURCES"),
        query_error("NO_NODES_AVAILABLE", "INTERNAL_ERROR"),
        query_error("QUERY_QUEUE_FULL", "INSUFFICIENT_RESOURCES"),
        query_error("REMOTE_TASK_ERROR", "INTERNAL_ERROR"),
        query_error("REMOTE_HOST_GONE", "INTERNAL_ERROR"),
        query_error("PAGE_TRANSPORT_TIMEOUT", "INTERNAL_ERROR"),
        query_error("HIVE_METASTORE_ERROR", "EXTERNAL", "Socket is closed by peer."),
        query_error("HIVE_METASTORE_ERROR", "EXTERNAL", "Failed connecting to Hive metastore: [127.0.0.1:9083]"),
        query_error("HIVE_METASTORE_ERROR", "EXTERNAL", "it failed", "wrapped", "java.net.SocketException: Connection reset"),
        query_error("HIVE_FILESYSTEM_ERROR", "EXTERNAL", "Failed to list", "Call From a to b:9000 failed on connection exception"),
        query_error("HIVE_FILESYSTEM_ERROR", "EXTERNAL", "Failed", "Cannot create file. Name node is in safe mode."),
        query_error("HIVE_CURSOR_ERROR", "EXTERNAL", "Could not obtain block: BP-1"),
    ],
    ids=str,
)
def test_errors_that_may_pass(problem: Exception) -> None:
    assert is_transient(problem)
    told = explained("test/q", "Trino at http://n:1", problem)
    assert isinstance(told, LakeUnavailable)
    assert str(told).startswith("test/q: Trino at http://n:1 cannot be used: ")


@pytest.mark.parametrize(
    ("problem", "kind", "words"),
    [
        (query_error("SYNTAX_ERROR", "USER_ERROR", "line 1:1: mismatched input"), QueryRefused, "mismatched input"),
        (query_error("COLUMN_NOT_FOUND", "USER_ERROR", "line 1:8: Column 'x' cannot be resolved"), QueryRefused, "'x'"),
        (query_error("TYPE_MISMATCH", "USER_ERROR"), QueryRefused, "test/q"),
        (query_error("NUMERIC_VALUE_OUT_OF_RANGE", "USER_ERROR", "Decimal overflow"), PromiseBroken, "does not fit its type: Decimal"),
        (query_error("INVALID_CAST_ARGUMENT", "USER_ERROR", "Cannot cast 1"), PromiseBroken, "does not fit its type"),
        (query_error("GENERIC_INTERNAL_ERROR", "INTERNAL_ERROR", "integer overflow"), PromiseBroken, "does not fit its type"),
        (query_error("EXCEEDED_LOCAL_MEMORY_LIMIT", "INSUFFICIENT_RESOURCES"), ProcurementError, "PROCUREMENT_STACK_TRINO_MEMORY_MIB"),
        (query_error("EXCEEDED_GLOBAL_MEMORY_LIMIT", "INSUFFICIENT_RESOURCES"), ProcurementError, "query.max-memory"),
        (query_error("CLUSTER_OUT_OF_MEMORY", "INSUFFICIENT_RESOURCES"), ProcurementError, "query.max-memory"),
        (query_error("QUERY_TEXT_TOO_LARGE", "USER_ERROR"), ProcurementError, "query.max-length"),
        (
            query_error("HIVE_BAD_DATA", "EXTERNAL", "Malformed Parquet file [x]\n at java"),
            ProcurementError,
            "HIVE_BAD_DATA: Malformed Parquet",
        ),
        (query_error("HIVE_METASTORE_ERROR", "EXTERNAL", "Got exception: MetaException"), ProcurementError, "MetaException"),
        (query_error("DIVISION_BY_ZERO", "USER_ERROR", "Division by zero"), ProcurementError, "Division by zero"),
        (query_error("PERMISSION_DENIED", "USER_ERROR", "Access Denied"), ProcurementError, "Access Denied"),
        (query_error("USER_CANCELED", "USER_ERROR", "Query was canceled"), ProcurementError, "canceled"),
        (exceptions.HttpError("error 401: b'Unauthorized'"), ConfigurationError, "PROCUREMENT_TRINO_PASSWORD"),
        (exceptions.HttpError("error 500: b'oops'"), ProcurementError, "500"),
        (Untrusted("self-signed certificate"), ConfigurationError, "PROCUREMENT_TRINO_CA"),
        (Untrusted("SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong')"), ConfigurationError, "speaks no TLS on this port"),
    ],
    ids=str,
)
def test_errors_that_stay(problem: Exception, kind: type[ProcurementError], words: str) -> None:
    assert not is_transient(problem)
    told = explained("test/q", "Trino at http://n:1", problem)
    assert type(told) is kind
    assert words in str(told)
    assert "\n" not in str(told)


# Small servers: how the driver's connection behaves


class Server:
    """Answers as told; remembers what was asked."""

    def __init__(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        waiting = list(answers)
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((self.command, body.decode(), self.headers.get("Authorization")))
                (waiting.pop(0) if len(waiting) > 1 else waiting[0])(self)

            do_POST = do_GET = do_DELETE = answer  # noqa: N815 -- the base class's names

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]

    @contextmanager
    def up(self) -> Iterator["Server"]:
        thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.http.shutdown()
            thread.join()
            self.http.server_close()


def gives(status: int, body: object = None) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.close()


ROWS = {
    "id": "1", "infoUri": "x", "stats": {}, "data": [["a"]],
    "columns": [{"name": "k", "type": "varchar(1)", "typeSignature": {"rawType": "varchar", "arguments": [{"kind": "LONG", "value": 1}]}}],
}  # fmt: skip
READ = Query("test/read", "SELECT k FROM t")
EMPTY = {"t": Relation(COLUMNS)}


def engine(server: Server, tmp_path: Path, **options: Any) -> TrinoEngine:
    return TrinoEngine(lake=Lake(str(tmp_path)), **{"host": "localhost", "port": server.port, "user": "u", "patience": 0.0, **options})


@pytest.mark.parametrize("lost", [hangs_up, gives(502), gives(503), gives(504), gives(200)], ids=["hangs up", "502", "503", "504", "empty"])
def test_a_statement_whose_answer_was_lost_is_not_sent_again_by_the_driver(lost: Any, tmp_path: Path) -> None:
    with Server(lost).up() as server, pytest.raises(LakeUnavailable, match="cannot be used"):
        engine(server, tmp_path).rows(READ, EMPTY, {})
    assert [method for method, _, _ in server.asked] == ["POST"]


def test_it_is_sent_again_by_the_engine_as_long_as_it_may(tmp_path: Path) -> None:
    with Server(gives(503), hangs_up, gives(200, ROWS)).up() as server:
        assert engine(server, tmp_path, patience=30).rows(READ, EMPTY, {}) == [{"k": "a"}]
    assert [text for _, text, _ in server.asked][:2] == ['CREATE SCHEMA IF NOT EXISTS "hive"."procurement_staging"'] * 2


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with Server(hangs_up).up() as server:
        pass
    with pytest.raises(LakeUnavailable, match=r"^test/read: Trino at http://localhost:\d+ cannot be used: [^\n]*Connection refused[^\n]*$"):
        engine(server, tmp_path).rows(READ, EMPTY, {})


def test_a_user_who_is_not_let_in(tmp_path: Path) -> None:
    with Server(gives(401)).up() as server, pytest.raises(ConfigurationError, match="PROCUREMENT_TRINO_USER"):
        engine(server, tmp_path, patience=30).rows(READ, EMPTY, {})
    assert len(server.asked) == 1


def test_a_password_is_not_sent_in_the_open(tmp_path: Path) -> None:
    with Server(gives(200, ROWS)).up() as server, pytest.raises(ConfigurationError, match="PROCUREMENT_TRINO_TLS") as told:
        engine(server, tmp_path, password=SECRET)
    assert SECRET not in str(told.value)
    assert server.asked == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of localhost, its key beside it."""
    path = tmp_path / "trusted.pem"
    subprocess.run(  # openssl is where Python is built
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(path.with_suffix(".key")), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


def over_tls(server: Server, certificate: Path) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    return server


@pytest.mark.parametrize("password", [SECRET, SecretStr(SECRET)], ids=["text", "secret"])
def test_user_and_password_over_tls(password: str | SecretStr, certificate: Path, tmp_path: Path) -> None:
    with over_tls(Server(gives(200, ROWS)), certificate).up() as server:
        found = engine(server, tmp_path, tls=True, ca=certificate, password=password)
        assert found.rows(READ, EMPTY, {}) == [{"k": "a"}]
        found.close()
    assert {authorization.partition(" ")[0] for _, _, authorization in server.asked if authorization} == {"Basic"}


def test_a_certificate_of_nobody_known_is_refused_at_once(certificate: Path, tmp_path: Path) -> None:
    with over_tls(Server(gives(200, ROWS)), certificate).up() as server, pytest.raises(ConfigurationError, match="PROCUREMENT_TRINO_CA"):
        engine(server, tmp_path, tls=True, password=SECRET, patience=30).rows(READ, EMPTY, {})
    assert server.asked == []


def test_the_password_is_never_shown(certificate: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    with over_tls(Server(gives(401), gives(500, "no"), hangs_up), certificate).up() as server:
        found = engine(server, tmp_path, tls=True, ca=certificate, password=SECRET)
        for _ in range(3):
            with pytest.raises(ProcurementError) as told:
                found.rows(READ, EMPTY, {})
            problem: BaseException | None = told.value
            while problem is not None:
                shown += [str(problem), repr(problem), repr(problem.__dict__)]
                problem = problem.__cause__ or problem.__context__
        shown += [repr(found), str(found), repr(found._client), repr(vars(found._client)), repr(vars(found)), caplog.text]
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(found)
    assert len(server.asked) == 3
    assert [text for text in shown if SECRET in text] == []


def test_a_file_that_trino_would_not_see_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_hidden.parquet").touch()
    (tmp_path / "part.parquet").touch()
    with Server(gives(200, ROWS)).up() as server:
        found = engine(server, tmp_path)
        with pytest.raises(QueryRefused, match="_hidden"):
            found.rows(READ, {"t": Relation(COLUMNS, (f"{tmp_path}/_hidden.parquet",))}, {})
        with pytest.raises(InputGone, match=r"gone: .*other\.parquet"):
            found.rows(READ, {"t": Relation(COLUMNS, (f"{tmp_path}/part.parquet", f"{tmp_path}/other.parquet"))}, {})
        with pytest.raises(QueryRefused, match="not in the lake"):
            found.rows(READ, {"t": Relation(COLUMNS, ("/elsewhere/part.parquet",))}, {})
