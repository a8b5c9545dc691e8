"""Connections to the platform's PostgreSQL database, whichever it is: `PROCUREMENT_DATABASE_URL`, or the embedded server of the home."""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from procurement_platform.database.embedded import DATABASE, EmbeddedServer
from procurement_platform.database.migrate import HEAD, migrate, revision
from procurement_platform.database.postgres_folder import USER
from procurement_platform.errors import ConfigurationError, DatabaseUnavailable, UnknownOutcome
from procurement_platform.settings import Settings

_KEPT = 4  # idle connections kept for `transaction`
_CONNECT_SECONDS = 10


class Database:
    """The platform's database. Cheap to make, connects when first used; one object may serve all threads of a process while it lives.

    The first use starts the embedded server where it must and brings the schema to this version's revision. While an object keeps a
    connection, the embedded server does not stop.
    """

    def __init__(self, settings: Settings, lake: str | None = None) -> None:
        """`lake` is the root of the lake that the database is to speak of; None: whichever it is."""
        self._url = settings.database_url
        self._lake = lake
        self._server = EmbeddedServer(settings) if self._url is None else None
        self._lock = threading.Lock()
        self._kept: list[psycopg.Connection] = []
        self._process = os.getpid()
        self._ready = False
        weakref.finalize(self, _close, self._kept, self._process)

    def connect(self, *, application_name: str | None = None, autocommit: bool = False) -> psycopg.Connection:
        """A new connection, the caller's to close. `application_name` is what others see who wait for it.

        Raises:
            DatabaseUnavailable: the server cannot be reached or started.
            ConfigurationError: the database was made by a newer version, or the URL is malformed.
        """
        self.ensure()
        return self._open(application_name, autocommit=autocommit)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """One transaction on a kept connection: committed at the end, rolled back when the block raises."""
        self.ensure()
        connection = self._take()
        committing = False
        try:
            with connection.transaction():
                yield connection
                committing = True
        except psycopg.OperationalError as problem:
            if not connection.closed:  # a statement's own failure
                raise
            if committing:
                raise UnknownOutcome(
                    f"the database went away during a commit: {_first_line(problem)}; look before running again"
                ) from problem
            raise DatabaseUnavailable(f"the database went away, nothing was committed: {_first_line(problem)}") from problem
        finally:
            self._give_back(connection)

    def ensure(self) -> None:
        """Makes sure that the server runs, has this version's schema and belongs to the lake. Once per object; then free of cost.

        Raises:
            ConfigurationError: the database speaks of another lake.
        """
        if self._process != os.getpid():  # a fork: connections cannot be shared with the parent (psycopg leaves the parent's open)
            self._kept.clear()
            self._ready, self._process = False, os.getpid()
        if self._ready:
            return
        connection = self._open(None, autocommit=True)
        try:
            if self._server is not None:
                self._server.look_after(connection)
            if revision(connection) != HEAD:
                migrate(lambda: self._open("procurement: migration", autocommit=False))
            if self._lake is not None:
                _same_lake(connection, self._lake)
        except psycopg.OperationalError as problem:
            connection.close()
            raise DatabaseUnavailable(f"the database went away: {_first_line(problem)}") from None
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        self._ready = True

    @property
    def sqlalchemy_url(self) -> str:
        """The database as SQLAlchemy's psycopg dialect wants it (PyIceberg's catalog). It has the password: never log it.

        The server runs and is migrated when this returns; keep the object while the URL is in use, and it stays up.
        """
        self.ensure()
        self._give_back(self._take())  # it may have been stopped since
        if self._server is not None:
            parts: dict[str, Any] = {"host": str(self._server.folder.socket_folder), "port": "5432", "user": USER, "dbname": DATABASE}
        else:
            parts = self._parts()
        parts = {name: str(value) for name, value in parts.items() if value is not None}
        login = quote(parts.pop("user", ""), safe="")
        if "password" in parts:
            login += ":" + quote(parts.pop("password"), safe="")
        name = quote(parts.pop("dbname", ""), safe="")
        return f"postgresql+psycopg://{login}{'@' if login else ''}/{name}{'?' if parts else ''}{urlencode(parts, quote_via=quote)}"

    def close(self) -> None:
        """Closes the kept connections. The object may be used again."""
        with self._lock:
            self._ready = False
            _close(self._kept, self._process)

    def _open(self, application_name: str | None, *, autocommit: bool) -> psycopg.Connection:
        if self._server is not None:
            return self._server.connect(application_name=application_name, autocommit=autocommit)
        parts = {"connect_timeout": _CONNECT_SECONDS, "application_name": "procurement", **self._parts()}
        if application_name:
            parts["application_name"] = application_name
        try:
            return psycopg.connect(**parts, autocommit=autocommit)
        except psycopg.Error as problem:
            reason = _first_line(problem)
            if parts.get("password"):
                reason = reason.replace(str(parts["password"]), "…")
            raise DatabaseUnavailable(f"the database of PROCUREMENT_DATABASE_URL is out of reach: {reason}") from None

    def _parts(self) -> dict[str, Any]:
        """The URL's parts. No error quotes it: it has a password, and a malformed one may have it where a host or port is expected."""
        url = self._url.get_secret_value().strip() if self._url else ""
        scheme, separator, rest = url.partition("://")
        try:
            parts = dict(conninfo_to_dict(f"postgresql://{rest}" if separator else url))
        except psycopg.Error:
            parts = {"port": "malformed"}
        ports = str(parts.get("port") or "5432").split(",")
        if (
            (separator and scheme.partition("+")[0] not in ("postgresql", "postgres"))
            or any("@" in str(parts.get(name)) for name in ("host", "dbname"))
            or not all(port.isdigit() for port in ports)
        ):
            raise ConfigurationError(
                "PROCUREMENT_DATABASE_URL is malformed; write postgresql://user:password@host:5432/database, and in the password %40 for @,"
                " %2F for /, %3A for :, %25 for %"
            )
        return parts

    def _take(self) -> psycopg.Connection:
        """A kept connection, or a new one. A kept one may have died with its server: it is asked before anything is entrusted to it."""
        while True:
            with self._lock:
                connection = self._kept.pop() if self._kept else None
            if connection is None:
                return self._open(None, autocommit=True)
            try:
                connection.execute("")
            except psycopg.OperationalError:
                connection.close()
            else:
                return connection

    def _give_back(self, connection: psycopg.Connection) -> None:
        with self._lock:
            if not connection.closed and len(self._kept) < _KEPT:
                self._kept.append(connection)
                return
        connection.close()


# The lake may change until something in it is spoken of: a first `doctor` with a wrong setting binds nobody.
_NOTE_LAKE = """
INSERT INTO control.lake (url) VALUES (%s) ON CONFLICT (one) DO UPDATE SET url = excluded.url, recorded_at = excluded.recorded_at
WHERE NOT EXISTS (SELECT FROM control.files) AND NOT EXISTS (SELECT FROM control.table_runs)
    AND NOT EXISTS (SELECT FROM control.reference_pins)
"""
_LAKE = "SELECT url FROM control.lake"


def _same_lake(connection: psycopg.Connection, lake: str) -> None:
    """Notes the lake at the first use: the ledger, the days and the tables name files by their place in it."""
    found = connection.execute(_LAKE).fetchone()
    if found != (lake,):
        connection.execute(_NOTE_LAKE, (lake,))
        found = connection.execute(_LAKE).fetchone()
    if found is not None and found != (lake,):
        raise ConfigurationError(
            f"the database speaks of the lake {found[0]}, and the lake set here is {lake}: set PROCUREMENT_LAKE={found[0]}, "
            "or give each lake a database of its own (PROCUREMENT_DATABASE_URL); a lake that was moved goes back to its place"
        )


def _close(connections: list[psycopg.Connection], process: int) -> None:
    if process == os.getpid():
        while connections:
            connections.pop().close()


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return lines[1].lstrip("- ") if lines[0].startswith("Multiple") and len(lines) > 1 else lines[0]
