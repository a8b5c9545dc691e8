"""No password gets anywhere: not into run configuration, event logs, the Dagster home, compute logs, reports, or what commands print."""

import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from psycopg import sql

from procurement_platform.lake.files import Lake
from procurement_platform.settings import Settings
from procurement_platform.stack import postgres
from procurement_platform_tests.stack.live import Cluster, own_variables
from procurement_platform_tests.stack.secure_trino import PASSWORD, SecureTrino, secure_trino

__all__ = ["secure_trino"]  # a fixture, found by its name here

DAY = "2025-12-20"
SECRET = "hunter2"  # noqa: S105 -- what is looked for; PASSWORD begins with it


def procurement(environment: Mapping[str, str], *arguments: str) -> tuple[int, bytes]:
    """A command in a process of its own: its exit code and all it printed."""
    return printed(environment, "-c", "from procurement_platform.cli import main; main()", *arguments)


def printed(environment: Mapping[str, str], *arguments: str) -> tuple[int, bytes]:
    ours = ("PROCUREMENT_", "RUN_DATE", "DAGSTER_", "HDFS_", "TRINO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, *arguments], env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout


def used(environment: Mapping[str, str]) -> dict[str, bytes]:
    """What commands print while a day is run, by the platform's command and by Dagster's, and looked at."""
    found = {}
    for arguments in (
        ("doctor",),
        ("env",),
        ("simulate", DAY, "--orders", "100", "--faults", "typical"),
        ("--debug", "run", DAY),
        ("exceptions", DAY),
        ("files", DAY),
        ("history", "net_demand"),
    ):
        code, found[" ".join(arguments)] = procurement(environment, *arguments)
        assert code == 0, found[" ".join(arguments)].decode()
    instance = {"DAGSTER_HOME": f"{environment['PROCUREMENT_HOME']}/dagster", "DAGSTER_MODULE_NAME": "procurement_platform.definitions"}
    materialize = ("-m", "dagster", "asset", "materialize", "--select", "group:procurement", "--partition", DAY)
    code, found["dagster"] = printed({**environment, **instance}, *materialize)
    assert code == 0, found["dagster"].decode()
    return found


def stored(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and what Dagster's databases keep packed."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                if "snapshots" in tables:
                    for (body,) in database.execute("SELECT snapshot_body FROM snapshots"):
                        yield f"{path}: a snapshot", zlib.decompress(body)


def holding(found: Iterator[tuple[str, bytes]] | Mapping[str, bytes]) -> list[str]:
    """The names of what holds the password, as it is or as addresses write it."""
    pairs = found.items() if isinstance(found, Mapping) else found
    return [name for name, content in pairs if SECRET.encode() in content]


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "plain").write_text(f"x {PASSWORD} y")
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database, database:
        database.execute("CREATE TABLE snapshots (snapshot_body BLOB)")
        database.execute("INSERT INTO snapshots VALUES (?)", (zlib.compress(f"{SECRET} {'x' * 1000}".encode()),))
    assert sorted(holding(stored(tmp_path))) == [str(tmp_path / "a" / "plain"), f"{tmp_path / 'runs.db'}: a snapshot"]


def test_the_embedded_profile_keeps_its_passwords_to_itself(home: Settings, tmp_path: Path) -> None:
    assert home.database_url is not None
    url = home.database_url.get_secret_value()
    user = url.removeprefix("postgresql://").partition("@")[0]
    environment = {
        "PROCUREMENT_HOME": str(home.home),
        "PROCUREMENT_DATABASE_URL": url.replace(f"//{user}@", f"//{user}:{SECRET}@"),
        "PROCUREMENT_TRINO_PASSWORD": PASSWORD,
        "PROCUREMENT_SETTLE_SECONDS": "0",
    }
    assert SECRET in environment["PROCUREMENT_DATABASE_URL"]
    assert holding(used(environment)) == []
    names = [name for name, _ in stored(home.home)]
    assert any(name.endswith("runs.db") for name in names)
    assert any("/compute_logs/" in name for name in names)
    assert any(name.endswith("exceptions.csv") for name in names)
    assert holding(stored(home.home)) == []


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_cluster_profile_keeps_its_passwords_to_itself(cluster: Cluster, cluster_home: Settings, secure_trino: SecureTrino) -> None:
    user = f"secret_{cluster_home.table_schema}"
    database = cluster_home.table_schema
    _user_with_password(cluster, user, database)
    port = cluster.place.ports.postgres
    ours = own_variables()
    environment = {
        **ours,
        **secure_trino.variables(),
        "PROCUREMENT_DATABASE_URL": f"postgresql://{user}:{SECRET}@127.0.0.1:{port}/{database}",
        "PROCUREMENT_SETTLE_SECONDS": "0",
    }
    try:
        assert holding(used(environment)) == []
        code, told = procurement({**environment, "PROCUREMENT_TRINO_PASSWORD": f"{SECRET}-wrong"}, "run", DAY)
        assert code == 1
        assert f"Trino at https://localhost:{secure_trino.https} does not let this user in".encode() in told
        assert holding({"a wrong password": told, "the report": procurement(environment, "exceptions", DAY)[1]}) == []
        assert holding(stored(cluster_home.home)) == []
        assert holding(_on_hdfs(Lake(cluster_home.lake_url, user=cluster_home.hdfs_user))) == []
    finally:
        with postgres.connect(cluster.place, database) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN NOSUPERUSER").format(sql.Identifier(user)))


def _user_with_password(cluster: Cluster, user: str, database: str) -> None:
    """Somebody to whom the database belongs, and who is asked for the password."""
    with postgres.connect(cluster.place, database) as connection:
        name = sql.Identifier(user)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(name, sql.Literal(SECRET)))


def _on_hdfs(lake: Lake) -> Iterator[tuple[str, bytes]]:
    for path in lake.fs.find(lake.path()):
        yield path, lake.fs.cat_file(path)
