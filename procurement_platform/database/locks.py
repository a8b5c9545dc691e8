"""One run per domain and day: an advisory lock on a connection of its own, free the moment its holder is gone, however it went."""

import datetime as dt
import hashlib
import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from procurement_platform.database.connect import Database
from procurement_platform.errors import DatabaseUnavailable, DayBusy, LockLost

_HOLDER_BYTES = 63  # PostgreSQL cuts an application name there
# PostgreSQL shows a 64-bit key as two halves, https://www.postgresql.org/docs/current/view-pg-locks.html
_HOLDER = """
SELECT l.pid, a.application_name
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""
_SECONDS_TO_NOTICE = 10.0  # that a holder was killed
# A server elsewhere notices a holder whose machine vanished; and no time limit ends an idle holder.
_KEEP_ALIVE = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; SET idle_session_timeout = 0"


class DayLock:
    """The lock of a domain's day. Made by `acquire`; usable in a `with` statement."""

    def __init__(self, connection: psycopg.Connection, key: int, day: str) -> None:
        self._connection = connection
        self._key = key
        self._day = day

    @classmethod
    def acquire(cls, database: Database, domain: str, run_date: dt.date, holder: str, wait_seconds: float = 0) -> Self:
        """Takes the day, waiting for it up to `wait_seconds`. `holder` is what others are told who want it meanwhile.

        Raises:
            DayBusy: another holds it; its text and `holder` say who.
            DatabaseUnavailable: the database went away.
        """
        return cls.named(database, f"{domain} {run_date.isoformat()}", holder, wait_seconds)

    @classmethod
    def named(cls, database: Database, day: str, holder: str, wait_seconds: float = 0) -> Self:
        """Takes the lock of work that is no day's (`maintenance`), as `acquire` takes a day's."""
        key = _key(day)
        name = holder.encode("ascii", "replace")[:_HOLDER_BYTES].decode().strip()
        connection = database.connect(application_name=name, autocommit=True)
        try:
            connection.execute(_KEEP_ALIVE)
            _take(connection, key, day, wait_seconds)
        except psycopg.OperationalError as problem:
            connection.close()
            raise DatabaseUnavailable(f"the database went away while {day} was waited for: {str(problem).splitlines()[0]}") from problem
        except BaseException:
            connection.close()
            raise
        return cls(connection, key, day)

    def check(self) -> None:
        """Makes sure, just before a commit, that the day is still ours.

        Raises:
            LockLost: the server was restarted or the connection ended; another run may have the day by now.
        """
        try:
            held = self._connection.execute(f"SELECT FROM ({_HOLDER}) WHERE pid = pg_backend_pid()", (self._key,)).fetchone() is not None
        except psycopg.Error:
            held = False
        if not held:
            self._connection.close()
            raise LockLost(f"the lock of {self._day} was lost (the database restarted, or the connection broke); run it again")

    def release(self) -> None:
        """Gives the day back. Once is enough; more does no harm."""
        with suppress(psycopg.Error):  # told, because the server notices a closed connection only a little later
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def is_free(database: Database, work: dt.date | str) -> bool:
    """Whether nobody works on a day of any domain that the database has had runs of, or has the lock of such a name.

    False where it has had no run at all: then the locks may be another database's.

    Raises:
        DatabaseUnavailable: the database went away.
    """
    with database.transaction() as connection:
        domains = connection.execute("SELECT DISTINCT domain FROM control.runs").fetchall()
        names = {work if isinstance(work, str) else f"{domain} {work.isoformat()}" for (domain,) in domains}
        held = [connection.execute(_HOLDER, (_key(name),)).fetchone() for name in names]
    return bool(held) and all(each is None for each in held)


def _key(day: str) -> int:
    return int.from_bytes(hashlib.sha256(f"day {day}".encode()).digest()[:8], "big", signed=True)


def _take(connection: psycopg.Connection, key: int, day: str, wait_seconds: float) -> None:
    taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone() == (True,)
    if not taken and wait_seconds > 0:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{max(1, round(wait_seconds * 1000))}ms",))
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (key,))
            taken = True
        except psycopg.errors.LockNotAvailable:
            pass
    deadline = time.monotonic() + _SECONDS_TO_NOTICE
    while not taken:
        row = connection.execute(_HOLDER, (key,)).fetchone()
        if row:
            holder = str(row[1] or "another run")
            if _is_gone(holder) and time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            raise DayBusy(f"{day} is being worked on by {holder}; wait for it to end, then run again", holder)
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone() == (True,)  # it has gone since


def _is_gone(holder: str) -> bool:
    """Whether a holder on this machine, as it names itself, was killed: the server notices that a little later."""
    named = re.search(r"process (\d+) on (\S+)$", holder)
    return named is not None and named[2] == socket.gethostname() and not Path("/proc", named[1]).exists()
