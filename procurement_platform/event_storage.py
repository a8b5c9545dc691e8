"""Dagster's SQLite storage with its databases kept open, for runs in this process.

Dagster's own opens, compiles its statements for and closes a database for every event it stores or reads, and each close writes the log
beside the database back into it: two thirds of a small day's time. The files are the same, so the UI and the daemon read them as ever.
"""

import atexit
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as db
from dagster import DagsterInstance
from dagster._core.events.log import EventLogEntry
from dagster._core.instance import InstanceRef
from dagster._core.instance.config import dagster_instance_config
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import QueuePool

KEPT = 4  # databases that stay open: the one over all runs, and those of the runs in hand
BUSY_SECONDS = 30


@lru_cache(maxsize=1)
def kept_instance(home: Path) -> DagsterInstance:
    """The instance of a Dagster home, as its `dagster.yaml` has it, on this storage. It stays open as long as the process.

    What steps print is shown where the command runs, and not captured (which takes four more processes a run) unless `dagster.yaml`
    names a place for it.
    """
    overrides: dict[str, Any] = {
        "storage": {"custom": {"module": __name__, "class": KeptStorage.__name__, "config": {"base_dir": str(home)}}}
    }
    configured, _ = dagster_instance_config(str(home))
    if "compute_logs" not in configured:
        overrides["compute_logs"] = {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}
    instance = DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
    atexit.register(instance.dispose)
    return instance


class KeptStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite under `base_dir`, in the folders of Dagster's default."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        self._run_storage = KeptRuns.from_local(str(Path(base_dir, "history")))
        self._event_log_storage = KeptEvents(str(Path(base_dir, "history", "runs")))
        self._schedule_storage = SqliteScheduleStorage.from_local(str(Path(base_dir, "schedules")))
        self._inst_data = inst_data
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]  # not that class's own, which opens its kind of storages

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> "KeptStorage":
        return cls(config_value["base_dir"], inst_data)


class KeptEvents(SqliteEventLogStorage):
    """The event log: a database per run, and one over all runs."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._open: OrderedDict[str, db.Connection] = OrderedDict()
        self._fresh: bytes | None = None  # a run's database before its first event
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock:  # which keeps a connection to one transaction at a time
            connection = self._connection(shard)
            with connection.begin():
                yield connection

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(event)
        # The UI follows a run by watching its database's file, which stays as it is until the log beside it is written back.
        with suppress(FileNotFoundError):
            os.utime(self.path_for_shard(event.run_id))

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def wipe(self) -> None:
        self._close()
        super().wipe()

    def dispose(self) -> None:
        self._close()
        super().dispose()

    def _connection(self, shard: str) -> db.Connection:
        connection = self._open.pop(shard, None)
        if connection is None:
            path = Path(self.path_for_shard(shard))
            fresh = not path.exists()
            if fresh and self._fresh is not None:
                path.write_bytes(self._fresh)
                self._initialized_dbs.add(shard)
            engine = _kept(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
                if fresh:
                    self._fresh = _content(engine)
            connection = engine.connect()
        self._open[shard] = connection
        if len(self._open) > KEPT:
            _dispose(self._open.popitem(last=False)[1])
        return connection

    def _close(self) -> None:
        with self._db_lock:
            while self._open:
                _dispose(self._open.popitem()[1])


class KeptRuns(SqliteRunStorage):
    """The runs and their tags."""

    _engine: db.Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[db.Connection]:
        if self._engine is None:
            self._engine = _kept(self._conn_string)
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        super().dispose()


def _dispose(connection: db.Connection) -> None:
    connection.close()
    connection.engine.dispose()


def _content(engine: db.Engine) -> bytes:
    """A database's content as a file would hold it."""
    connection = engine.raw_connection()
    try:
        content: bytes = connection.dbapi_connection.serialize()  # type: ignore[union-attr]  # sqlite3's own
        return content
    finally:
        connection.close()


def _kept(url: str) -> db.Engine:
    """An engine that keeps a connection, which threads hand to one another."""
    connecting = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = db.create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args=connecting)
    # A power cut may take back the last events, never the database: what the platform must not lose is in PostgreSQL.
    db.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = NORMAL"))
    return engine
