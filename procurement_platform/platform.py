"""Everything a step works with, made from settings alone: no Dagster here, and nothing connects before it is used."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property

import duckdb

from procurement_platform.database.connect import Database
from procurement_platform.engines.base import Engine
from procurement_platform.engines.queries import Query, load_query
from procurement_platform.errors import ConfigurationError
from procurement_platform.inbox.ledger import Ledger
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.days import Days
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import Publisher
from procurement_platform.lake.runs import RunRegistry
from procurement_platform.settings import Settings


class Platform:
    """The platform on one home and one profile. Its parts are made when first asked for, and kept for the process."""

    def __init__(self, settings: Settings) -> None:
        if settings.profile != "embedded":
            raise ConfigurationError(f"PROCUREMENT_PROFILE={settings.profile} is not available in this version; the one that is: embedded")
        self.settings = settings
        self.on_step: Callable[[str], None] | None = None  # told the name of each step as it begins

    @cached_property
    def database(self) -> Database:
        return Database(self.settings, self.lake.real_location)

    @cached_property
    def lake(self) -> Lake:
        url = self.settings.lake_url
        # Looked at before it is opened: other file systems ask for packages that are not there.
        if "://" in url and url.partition("://")[0] not in ("file", "local"):
            raise ConfigurationError(
                f"PROCUREMENT_LAKE={url} is no local folder, which is what the embedded profile keeps its lake in: write a path or file://…"
            )
        return Lake(url)

    @cached_property
    def catalog(self) -> TableCatalog:
        self.database.ensure()
        return TableCatalog(self.lake, self.database.sqlalchemy_url)

    @cached_property
    def registry(self) -> RunRegistry:
        return RunRegistry(self.database)

    @cached_property
    def publisher(self) -> Publisher:
        return Publisher(self.lake, self.catalog, self.registry)

    @cached_property
    def days(self) -> Days:
        return Days(self.database, self.lake)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.database)

    @cached_property
    def engine(self) -> Engine:
        from procurement_platform.engines.duckdb import DuckDBEngine

        return DuckDBEngine(
            connect=_duckdb_resource,
            memory_mib=self.settings.sql_memory_mib,
            threads=self.settings.sql_threads,
            temporary=self.settings.home / "tmp",
            folders=(self.lake.root,),
        )

    def query(self, name: str) -> Query:
        """A SQL file, compiled once per home."""
        return load_query(name, cache=self.settings.home / "cache" / "sql")

    @cached_property
    def decoders(self) -> DecoderPool:
        return DecoderPool(self.settings.decode_processes, self.settings.decode_memory_mib)

    def close(self) -> None:
        """Ends what the platform started for this process: worker processes, connections, the engine."""
        for name in ("decoders", "engine", "catalog", "database"):
            if name in self.__dict__:
                self.__dict__[name].close()


def _duckdb_resource() -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    from dagster_duckdb import DuckDBResource

    return DuckDBResource(database=":memory:").get_connection()


_lock = threading.Lock()
_platforms: dict[Settings, Platform] = {}


def platform_for(settings: Settings) -> Platform:
    """The process's platform for these settings: a backfill's days share engine, workers and connections."""
    with _lock:
        if settings not in _platforms:
            _platforms[settings] = Platform(settings)
        return _platforms[settings]
