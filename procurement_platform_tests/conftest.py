"""What every test may ask for: a home of its own, with a database of its own in one server that all tests of a session share.

- `home`: settings of an empty home, whose database is new and migrated; the environment names both, for commands that a test starts.
- `database`: that home's `Database`.
- `own_processes`: decoding processes of the test's own; the others' are shared, as is compiled SQL.
- `own_home`: settings of a home whose embedded server is started by its first use, and ended with the test. About half a second.
- `cluster`, `session_cluster`, `cluster_home`: the real servers, for tests marked `cluster` (stack/live.py).
"""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from procurement_platform import platform
from procurement_platform.database.connect import Database
from procurement_platform.database.embedded import EmbeddedServer, stop
from procurement_platform.engines.queries import load_query
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.settings import Settings, settings
from procurement_platform_tests.stack.live import cluster, cluster_home, session_cluster

__all__ = ["cluster", "cluster_home", "session_cluster"]  # fixtures are found by their names here

hypothesis_settings.register_profile("default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A script's background job ignores Ctrl-C, so do its children, and Dagster gives SIGTERM what SIGINT has: tests end processes by both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count(1)
_OURS = ("PROCUREMENT_", "RUN_DATE", "HDFS_", "TRINO_", "DAGSTER_")


class SharedServer:
    """The session's server. Each database is a copy of its migrated template."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(_env_file=None, home=home)
        made = Database(self.settings)
        made.ensure()
        self._admin = EmbeddedServer(self.settings).connect("postgres", autocommit=True)
        made.close()  # a template must have no connection; `_admin` keeps the server up
        self._admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'procurement'")
        for name in (
            "fsync",
            "full_page_writes",
            "synchronous_commit",
        ):  # it need not outlive the machine; a new database takes 20 ms, not 600
            self._admin.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name)))
        self._admin.execute("SELECT pg_reload_conf()")

    def create(self) -> tuple[str, str]:
        """The name and URL of a new, migrated database."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE procurement STRATEGY file_copy").format(sql.Identifier(name)))
        info = self._admin.info
        return name, f"postgresql://{info.user}@/{name}?host={info.host}&port={info.port}"

    def drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        self._admin.close()
        stop(self.settings)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the real servers run only where they are asked for (-m cluster); the longest go first, not to be waited for."""
    if "cluster" not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker("cluster")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("live") is None)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's own environment and the settings another test read change nothing."""
    for name in list(os.environ):
        if name.startswith("PROCUREMENT_") or name in (
            "RUN_DATE",
            "HDFS_BASE_URL",
            "HDFS_USER",
            "TRINO_HOST",
            "TRINO_PORT",
            "DAGSTER_HOME",
        ):
            monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    server = SharedServer(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.close()


class LastingPool(DecoderPool):
    """Decoding processes that a test's platform leaves to the next, as a backfill's day to the next day: a start takes half a second."""

    def close(self) -> None:
        """Nothing: they end with the session."""


@pytest.fixture(scope="session", autouse=True)
def _what_platforms_share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoding processes, and compiled SQL (an entry's name tells all it depends on): either takes longer than a test's day."""
    pools: dict[tuple[int, int], LastingPool] = {}
    compiled = tmp_path_factory.mktemp("compiled")

    def lasting(processes: int, memory_mib: int) -> LastingPool:
        return pools.setdefault((processes, memory_mib), LastingPool(processes, memory_mib))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platform, "DecoderPool", lasting)
        patch.setattr(platform, "load_query", lambda name, cache: load_query(name, cache=compiled))
        yield
    for pool in pools.values():
        DecoderPool.close(pool)


@pytest.fixture
def own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's platforms start decoding processes of their own, with the rights of who starts them."""
    monkeypatch.setattr(platform, "DecoderPool", DecoderPool)


@pytest.fixture
def home(tmp_path: Path, shared_server: SharedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    name, url = shared_server.create()
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", url)
    yield Settings(_env_file=None)
    shared_server.drop(name)


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    database = Database(home)
    yield database
    database.close()


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("PROCUREMENT_HOME", str(tmp_path / "own"))
    found = Settings(_env_file=None)
    yield found
    stop(found)
