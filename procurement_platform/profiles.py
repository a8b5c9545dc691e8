"""The two profiles: what the lake, the tables' catalog and the SQL engine are. Nothing else asks which one is on.

Each part's packages are imported when it is made: an embedded home needs none of the cluster's.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import is_free
from procurement_platform.engines.base import Engine
from procurement_platform.errors import ConfigurationError
from procurement_platform.lake.catalog import TableCatalog, in_metastore
from procurement_platform.lake.files import Lake
from procurement_platform.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from procurement_platform.inbox.raw_tables import RawTables
    from procurement_platform.reach import Reached

CLUSTER_PACKAGES = ("hdfs_native", "thrift", "trino")  # those of the extra `cluster` that are imported by name
METASTORE_SECONDS, METASTORE_PATIENCE = 60.0, 20.0  # for the raw tables, without which a day is whole


class Profile(Protocol):
    """Makes the parts that differ."""

    def lake(self, settings: Settings) -> Lake:
        """Raises ConfigurationError where `PROCUREMENT_LAKE` is no place for the profile's lake."""
        ...

    def catalog(self, lake: Lake, database: Database, settings: Settings) -> TableCatalog: ...

    def engine(self, settings: Settings, lake: Lake) -> Engine: ...

    def raw_tables(self, settings: Settings, lake: Lake, database: Database) -> "RawTables | None":
        """The Avro files as sent, as tables; None where nobody else's engine looks at the lake."""
        ...

    def servers(self, settings: Settings, lake: Lake) -> "Iterator[Reached]":
        """How the servers are found that the profile needs beside the database."""
        ...


class Embedded:
    """A local folder, Iceberg's catalog in PostgreSQL, DuckDB."""

    def lake(self, settings: Settings) -> Lake:
        url = settings.lake_url
        # Looked at before it is opened: other file systems ask for packages that are not there.
        if "://" in url and url.partition("://")[0] not in ("file", "local"):
            raise ConfigurationError(
                f"PROCUREMENT_LAKE={url} is no local folder, which is what the embedded profile keeps its lake in: write a path or file://…"
            )
        return Lake(url)

    def catalog(self, lake: Lake, database: Database, settings: Settings) -> TableCatalog:
        database.ensure()
        return TableCatalog(lake, database.sqlalchemy_url, keep_snapshots=settings.snapshot_retention)

    def engine(self, settings: Settings, lake: Lake) -> Engine:
        from procurement_platform.engines.duckdb import DuckDBEngine

        return DuckDBEngine(
            connect=_duckdb_resource,
            memory_mib=settings.sql_memory_mib,
            threads=settings.sql_threads,
            temporary=settings.home / "tmp",
            folders=(lake.root,),
        )

    def raw_tables(self, settings: Settings, lake: Lake, database: Database) -> "RawTables | None":  # noqa: ARG002  the cluster's takes them
        return None

    def servers(self, settings: Settings, lake: Lake) -> "Iterator[Reached]":  # noqa: ARG002  it has none
        return iter(())


def _duckdb_resource() -> "AbstractContextManager[duckdb.DuckDBPyConnection]":
    from dagster_duckdb import DuckDBResource

    return DuckDBResource(database=":memory:").get_connection()


class Cluster:
    """HDFS, Iceberg's catalog in the Hive Metastore, Trino."""

    def lake(self, settings: Settings) -> Lake:
        if settings.lake is None or not settings.lake.startswith("hdfs://"):
            given = f"PROCUREMENT_LAKE={settings.lake} is no folder on HDFS" if settings.lake else "PROCUREMENT_LAKE is not set"
            raise ConfigurationError(
                f"{given}: the cluster profile keeps its lake on HDFS; write hdfs://namenode:port/folder "
                "(`procurement stack env` prints it for the servers of `procurement stack`)"
            )
        # Every other part takes the lake: where a package is missing, this says so before any of them is imported.
        if missing := [name for name in CLUSTER_PACKAGES if find_spec(name) is None]:
            raise ConfigurationError(
                f"PROCUREMENT_PROFILE=cluster needs packages that are not installed ({', '.join(missing)}): make setup-cluster, "
                "or pip install 'procurement-platform[cluster]'"
            )
        return Lake(settings.lake_url, web=settings.hdfs_base_url, user=settings.hdfs_user)

    def catalog(self, lake: Lake, database: Database, settings: Settings) -> TableCatalog:
        opened = in_metastore(settings.metastore_uri, partial(is_free, database))
        return TableCatalog(lake, opened, namespace=settings.table_schema, keep_snapshots=settings.snapshot_retention)

    def engine(self, settings: Settings, lake: Lake) -> Engine:
        from procurement_platform.engines.trino import TrinoEngine

        return TrinoEngine(
            lake=lake,
            host=settings.trino_host,
            port=settings.trino_port,
            user=settings.trino_user,
            password=settings.trino_password,
            tls=settings.trino_tls,
            ca=settings.trino_ca,
            schema=f"{settings.table_schema}_staging",
        )

    def raw_tables(self, settings: Settings, lake: Lake, database: Database) -> "RawTables | None":
        from procurement_platform.inbox.raw_tables import RawTables
        from procurement_platform.lake.metastore_client import Connections

        connections = Connections(settings.metastore_uri, METASTORE_SECONDS, METASTORE_PATIENCE)
        return RawTables(lake, connections, settings.raw_schema, partial(is_free, database))

    def servers(self, settings: Settings, lake: Lake) -> "Iterator[Reached]":
        from procurement_platform.reach import servers

        return servers(settings, lake)


PROFILES: dict[str, Profile] = {"embedded": Embedded(), "cluster": Cluster()}
