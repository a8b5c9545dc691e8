"""Everything a step works with, made from settings alone: no Dagster here, and nothing connects before it is used."""

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from procurement_platform.database.connect import Database
from procurement_platform.engines.base import Engine
from procurement_platform.engines.queries import Query, load_query
from procurement_platform.inbox.ledger import Ledger
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.days import Days
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import Publisher
from procurement_platform.lake.runs import RunRegistry
from procurement_platform.profiles import PROFILES
from procurement_platform.settings import Settings

if TYPE_CHECKING:
    from procurement_platform.inbox.raw_tables import RawTables


class Platform:
    """The platform on one home and one profile. Its parts are made when first asked for, and kept for the process."""

    def __init__(self, settings: Settings) -> None:
        self._profile = PROFILES[settings.profile]
        self.settings = settings
        self.on_step: Callable[[str], None] | None = None  # told the name of each step as it begins

    @cached_property
    def database(self) -> Database:
        return Database(self.settings, self.lake.real_location)

    @cached_property
    def lake(self) -> Lake:
        return self._profile.lake(self.settings)

    @cached_property
    def catalog(self) -> TableCatalog:
        return self._profile.catalog(self.lake, self.database, self.settings)

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
        return self._profile.engine(self.settings, self.lake)

    @cached_property
    def raw_tables(self) -> "RawTables | None":
        """The Avro files as sent, for other programs to look into, where the profile has a place for them."""
        return self._profile.raw_tables(self.settings, self.lake, self.database)

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


_lock = threading.Lock()
_platforms: dict[Settings, Platform] = {}


def platform_for(settings: Settings) -> Platform:
    """The process's platform for these settings: a backfill's days share engine, workers and connections."""
    with _lock:
        if settings not in _platforms:
            _platforms[settings] = Platform(settings)
        return _platforms[settings]
