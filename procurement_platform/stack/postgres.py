"""The stack's PostgreSQL: the embedded one's programs, listening on a port of loopback and asking for a password."""

import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from procurement_platform.database.postgres_folder import binary, environment, launcher
from procurement_platform.errors import StackUnavailable
from procurement_platform.stack.place import HOST, USER, Place
from procurement_platform.stack.probes import SECONDS, NotYet

DATABASES = (USER, "metastore", "registry")
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "io_method": "sync",  # no processes for reading ahead
    "max_wal_size": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def data(place: Place) -> Path:
    """The data folder."""
    return place.data / "postgres"


def initialise(place: Place) -> None:
    """Makes the data folder, whole or not at all, and removes what a killed server left there.

    Raises:
        StackUnavailable: it cannot be made; the text has initdb's reason.
    """
    folder = data(place)
    if not folder.exists():
        new = folder.with_suffix(".new")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        secret = place.temporary / "password"
        secret.touch(mode=0o600)
        secret.write_text(place.password())
        made = subprocess.run(
            [
                *launcher("run", new),
                *(str(binary("initdb")), "-D", str(new), "-U", USER, "--pwfile", str(secret)),
                *("--auth-local=reject", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=environment(),
            check=False,
        )
        secret.unlink()
        if made.returncode != 0:
            reason = (made.stdout.strip().splitlines() or ["no reason given"])[-1]
            raise StackUnavailable(f"the database folder {folder} cannot be made: {reason}")
        new.rename(folder)
    (folder / "postmaster.pid").unlink(missing_ok=True)  # nobody holds the server's mark: it is a killed one's


def command(place: Place) -> list[str]:
    """What becomes the server."""
    options = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": str(place.ports.postgres)}.items()]
    return [*launcher("run", data(place)), str(binary("postgres")), "-D", str(data(place)), *options]


def connect(place: Place, database: str) -> psycopg.Connection:
    """A connection that commits by itself; psycopg.OperationalError where the server does not answer."""
    return psycopg.connect(place.database(database), connect_timeout=int(SECONDS), autocommit=True, application_name="procurement stack")


def answers(place: Place) -> None:
    """The databases are there and one can be read. Raises NotYet."""
    try:
        with connect(place, "postgres") as connection:
            found = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    except psycopg.Error as problem:
        raise NotYet(str(problem).strip().splitlines()[-1]) from problem
    if missing := set(DATABASES) - found:
        raise NotYet(f"it has no database {min(missing)}")


def make_databases(place: Place) -> None:
    """Makes the databases that are missing, once the server answers. Raises NotYet."""
    try:
        with connect(place, "postgres") as connection:
            for name in DATABASES:
                if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.OperationalError as problem:
        raise NotYet(str(problem).strip().splitlines()[-1]) from problem


def load_metastore_schema(place: Place, script: Path) -> None:
    """Gives the metastore its tables, in one transaction, where it has none."""
    with connect(place, "metastore") as connection, connection.transaction():
        if connection.execute("SELECT to_regclass('public.\"VERSION\"')").fetchone() == (None,):
            connection.execute(script.read_bytes())
