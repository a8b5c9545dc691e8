"""One Trino server spoken to: how it is reached, what a session is like, and a statement's answer."""

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import SecretStr
from trino.auth import BasicAuthentication
from trino.client import TrinoRequest
from trino.dbapi import Connection

from procurement_platform.engines.trino_errors import ServerLost, Untrusted
from procurement_platform.errors import ConfigurationError
from procurement_platform.lake.tables import ARROW_TYPES

_http: Any = TrinoRequest.http
AT_ONCE = 4
_GATEWAY = {429, 502, 503, 504}
# One writer keeps the order of a sorted result in one file; Trino leaves out the sorting of what it writes unless told not to.
_IN_ORDER = {
    "skip_redundant_sort": "false", "scale_writers": "false", "redistribute_writes": "false",
    "task_scale_writers_enabled": "false", "task_min_writer_count": "1", "task_max_writer_count": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a statement gave: its columns (name, Trino's type) and its rows. Of one that writes: a row with their number."""

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        by_column = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        arrays = [pa.array(values, arrow_type(kind)) for (_, kind), values in zip(self.columns, by_column, strict=True)]
        return pa.table(arrays, names=[name for name, _ in self.columns])


class Client:
    """Connects when first used, for each thread on its own; `close` may be followed by another use.

    Raises:
        ConfigurationError: a password without TLS, which would show it to whoever listens.
    """

    def __init__(
        self, *, host: str, port: int, user: str, password: SecretStr | str | None, tls: bool, ca: Path | None, catalog: str
    ) -> None:
        if password is not None and not tls:
            raise ConfigurationError("PROCUREMENT_TRINO_PASSWORD needs PROCUREMENT_TRINO_TLS=true: else it would be sent in the open")
        self.server = f"Trino at {'https' if tls else 'http'}://{host}:{port}"
        secret = SecretStr(password) if isinstance(password, str) else password
        self._connect: Callable[[dict[str, str]], Connection] = lambda session: Connection(
            host=host,
            port=port,
            user=user,
            source="procurement-platform",
            catalog=catalog,
            http_scheme="https" if tls else "http",
            http_session=_session(ca),
            auth=BasicAuthentication(user, secret.get_secret_value()) if secret else None,
            session_properties={f"{catalog}.compression_codec": "ZSTD", **session},
            timezone="UTC",
        )
        self._open: dict[tuple[int, bool], Connection] = {}

    def run(self, statement: str, *, in_order: bool = False) -> Answer:
        """A statement's answer, all of it. One that is interrupted is ended on the server, too.

        `in_order`: what it writes is one file, in the order of its ORDER BY.
        """
        key = (threading.get_ident(), in_order)
        if key not in self._open:
            self._open[key] = self._connect(_IN_ORDER if in_order else {})
        cursor = self._open[key].cursor()
        try:
            cursor.execute(statement)
            rows = cursor.fetchall()
            columns = tuple((column.name, column.type_code) for column in cursor.description or ())
        except BaseException:
            with suppress(Exception):
                cursor.cancel()
            raise
        return Answer(columns, rows)

    def run_all(self, statements: Sequence[str]) -> None:
        """Runs statements that do not depend on each other, a few at a time: each waits for the server more than it works.

        Raises what the first one raises that fails, once all have ended.
        """
        if len(statements) < 2:  # noqa: PLR2004 -- nothing to be done side by side
            for statement in statements:
                self.run(statement)
            return
        with ThreadPoolExecutor(AT_ONCE) as threads:
            answers = [threads.submit(self.run, statement) for statement in statements]
        for key in [key for key in self._open if key[0] != threading.get_ident()]:
            self._open.pop(key).close()  # type: ignore[no-untyped-call]
        for answer in answers:
            answer.result()

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()  # type: ignore[no-untyped-call]
        self._open.clear()


def arrow_type(kind: str) -> pa.DataType:
    """Arrow's type of one of Trino's, as the embedded engine gives it."""
    name = kind.replace(" ", "")
    number = re.fullmatch(r"decimal\((\d+),(\d+)\)", name)
    if number:
        return pa.decimal128(int(number[1]), int(number[2]))
    return ARROW_TYPES[plain(name)] if plain(name) in ARROW_TYPES else pa.null()


def plain(kind: str) -> str:
    """One of Trino's types as the platform writes it: texts have no length."""
    return re.sub(r"^(varchar|char)\(\d+\)$", "varchar", kind.replace(" ", ""))


def _session(ca: Path | None) -> Any:
    session = _SentOnce()
    session.verify = str(ca) if ca else True
    return session


class _SentOnce(_http.Session):  # type: ignore[misc]  # requests has no types
    """The driver sends a statement again when its answer was lost. One that writes must not be: that is the engine's to judge."""

    def request(self, method: str, url: str, **options: Any) -> Any:
        return super().request(method, url, **{**options, "verify": self.verify})  # else REQUESTS_CA_BUNDLE would go before the setting

    def post(self, url: str, *arguments: Any, **options: Any) -> Any:
        try:
            answer = super().post(url, *arguments, **options)
        except _http.exceptions.SSLError as problem:
            raise Untrusted(_reason(problem)) from None
        except _http.exceptions.RequestException as problem:
            raise ServerLost(_reason(problem)) from None
        if answer.status_code in _GATEWAY or (answer.ok and not answer.content):
            raise ServerLost(f"it answered {answer.status_code} {answer.reason}")
        return answer


def _reason(problem: Exception) -> str:
    """The last of the reasons that are told inside each other, where it is one of the usual ones."""
    refused = re.search(
        r"\[Errno \d+\] ([^'\")]+)|((?:Read|Connect)[^'\"(]*timed out)|(Remote end closed[^'\")]*)|certificate verify failed: ([^('\"]*\w)",
        str(problem),
    )
    return refused[0] if refused else str(problem)
