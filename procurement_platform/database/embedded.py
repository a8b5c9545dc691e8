"""The embedded PostgreSQL: a service of the home, on a Unix socket, started by whoever needs it first and stopped by itself.

No process supervises it. A session inside the server, without a client (`_STOP_WHEN_IDLE`), stops it when there has been no other for
a while. The server may live only once that session runs (launch.py), every command looks whether it is there, and killing it ends the
server (`restart_after_crash`), which the next command starts again.

Nobody is caught by the stop: before it, that session locks `pg_database`, which every new connection must read, and looks again. Who
comes later fails while connecting, and `connect` waits for the end and starts the server anew.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from procurement_platform.database.postgres_folder import SOCKET, USER, PostgresFolder
from procurement_platform.errors import DatabaseUnavailable
from procurement_platform.settings import Settings

DATABASE = "procurement"
START_SECONDS = 90.0  # recovery after a kill on a slow disk; a server whose pid file or socket was lost ends by itself within 60
STOP_SECONDS = 60.0
_WATCH = "procurement: stop when idle"

# `sessions` also counts the clients that came and went between two looks. Each turn is a transaction, so that vacuum is never held back.
_STOP_WHEN_IDLE = """
DO $$
DECLARE
    seen bigint := -1;
    now_seen bigint;
    since timestamptz := clock_timestamp();
BEGIN
    IF NOT pg_try_advisory_lock(7270218) THEN RETURN; END IF;
    LOOP
        SELECT sum(sessions) INTO now_seen FROM pg_stat_database;
        IF now_seen IS DISTINCT FROM seen
            OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
        THEN
            seen := now_seen;
            since := clock_timestamp();
        ELSIF clock_timestamp() - since >= current_setting('procurement.idle')::interval THEN
            BEGIN
                LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE NOWAIT;
                PERFORM pg_stat_clear_snapshot();
                IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) THEN
                    COPY (SELECT 1 WHERE false) TO PROGRAM 'read -r pid < postmaster.pid && kill -INT "$pid"';
                    PERFORM pg_sleep(60);
                END IF;
            EXCEPTION WHEN lock_not_available THEN
                NULL;
            END;
        END IF;
        COMMIT;
        PERFORM pg_sleep(current_setting('procurement.turn')::float);
        COMMIT;
    END LOOP;
END $$
"""


@dataclass(frozen=True)
class ServerStatus:
    """What `doctor` tells about a home's server. `clients` leaves out the one who asks."""

    running: bool
    data: Path
    log: Path
    socket_folder: Path | None = None
    pid: int | None = None
    version: str | None = None
    clients: int = 0


class EmbeddedServer:
    """The server of one home. Cheap to make; nothing is started before `connect`."""

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.folder = PostgresFolder(settings.home)
        self._idle_seconds = settings.postgres_idle_seconds

    def connect(self, dbname: str = DATABASE, *, application_name: str | None = None, autocommit: bool = False) -> psycopg.Connection:
        """A connection to the home's server, which is started first where it does not run.

        Raises:
            DatabaseUnavailable: it cannot be started, or does not answer; the text has PostgreSQL's own reason.
        """
        try:
            try:
                connection = self.connect_running(dbname, application_name=application_name)
            except psycopg.OperationalError:
                connection = self._start_and_connect(dbname, application_name)
        except OSError as problem:
            raise DatabaseUnavailable(f"the embedded PostgreSQL of {self.home} cannot be started: {problem}") from problem
        connection.autocommit = autocommit
        return connection

    def connect_running(self, dbname: str = DATABASE, *, application_name: str | None = None, options: str = "") -> psycopg.Connection:
        """A connection that commits by itself, to a server that runs already; psycopg.OperationalError where none does."""
        try:
            folder = self.folder.socket_folder
            (folder / SOCKET).stat()
            self.folder.check_private(folder)
        except (FileNotFoundError, NotADirectoryError) as problem:
            raise psycopg.OperationalError(f"there is no {problem.filename}") from problem
        return psycopg.connect(
            host=str(folder),
            port=5432,
            user=USER,
            dbname=dbname,
            application_name=application_name or "procurement",
            options=options,
            autocommit=True,
        )

    def look_after(self, connection: psycopg.Connection) -> None:
        """What each process does once: sees to it that the server will stop by itself, and that its log stays short."""
        self.folder.trim_log()
        watched = connection.execute("SELECT FROM pg_stat_activity WHERE application_name = %s", (_WATCH,)).fetchone() is not None
        if not watched:
            self._watch()

    def _start_and_connect(self, dbname: str, application_name: str | None) -> psycopg.Connection:
        self.folder.make()
        deadline = time.monotonic() + START_SECONDS
        starting: subprocess.Popen[bytes] | None = None
        last = ""
        try:
            while time.monotonic() < deadline:
                with self.folder.lock() as lock:
                    if lock is not None and starting is not None:  # it has ended again
                        reason = f"{self.folder.reason()}; its log is {self.folder.log}"
                        raise DatabaseUnavailable(f"the embedded PostgreSQL of {self.home} did not start: {reason}")
                    if lock is not None:
                        starting = self.folder.start(lock)
                try:
                    if starting is not None:
                        self._let_live(starting)
                        starting = None
                    return self.connect_running(dbname, application_name=application_name)
                except psycopg.OperationalError as problem:
                    last = str(problem).strip().splitlines()[-1]
                    time.sleep(0.01)
        finally:
            if starting is not None and starting.stdin is not None:
                starting.stdin.close()
                starting.wait()
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL of {self.home} does not answer: {last}; end it with `procurement stop`, its log is {self.folder.log}"
        )

    def _let_live(self, starting: subprocess.Popen[bytes]) -> None:
        with self.connect_running("postgres") as connection:
            self._watch()
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute("CREATE DATABASE procurement")
        starting.communicate(b"live\n")

    def _watch(self) -> None:
        turn = min(1.0, self._idle_seconds / 4)
        options = f"-c client_connection_check_interval=0 -c procurement.idle={self._idle_seconds}s -c procurement.turn={turn}"
        with self.connect_running("postgres", application_name=_WATCH, options=options) as watch:
            # Sent, not waited for: the server goes on with it when this end is closed.
            watch.pgconn.send_query(_STOP_WHEN_IDLE.encode())
            while watch.pgconn.flush():
                time.sleep(0.001)
            watch.pgconn.finish()


def stop(settings: Settings) -> bool:
    """Stops the home's server, whoever uses it, and waits for its end. False: it did not run."""
    folder = PostgresFolder(settings.home)
    deadline, told = time.monotonic() + STOP_SECONDS, None
    while folder.path.exists() and time.monotonic() < deadline:
        with folder.lock() as lock:
            if lock is not None:
                folder.clean_up(lock)
                return told is not None
        pid = folder.pid()
        if pid is not None and pid != told:
            os.kill(pid, signal.SIGINT)
            told = pid
        time.sleep(0.01)
    if folder.path.exists():
        raise DatabaseUnavailable(f"the embedded PostgreSQL of {settings.home} (process {told}) does not stop; its log is {folder.log}")
    return False


def status(settings: Settings) -> ServerStatus:
    """How the home's server is. Starts nothing."""
    server = EmbeddedServer(settings)
    folder = server.folder
    try:
        with server.connect_running("postgres", application_name="procurement: status") as connection:
            row = connection.execute(
                "SELECT count(*), current_setting('server_version') FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> %s",
                (_WATCH,),
            ).fetchone()
    except psycopg.OperationalError:
        pid = folder.pid()
        return ServerStatus(pid is not None, folder.data, folder.log, pid=pid)
    clients, version = row or (0, None)
    return ServerStatus(True, folder.data, folder.log, folder.socket_folder, folder.pid(), version, clients)
