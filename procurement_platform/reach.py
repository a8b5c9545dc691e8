"""The cluster profile's servers, each asked once whether it can be used as the platform uses it. Nothing is waited out."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from thrift.Thrift import TException
from trino import exceptions

from procurement_platform.engines.trino_client import Client
from procurement_platform.engines.trino_errors import ServerLost, Untrusted, explained
from procurement_platform.errors import ConfigurationError, ProcurementError
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore_client import Connections
from procurement_platform.settings import Settings

CATALOGS = {"hive", "iceberg"}
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Reached:
    """How a server was found. `mend` is empty where it can be used."""

    what: str
    found: str
    mend: str = ""


def servers(settings: Settings, lake: Lake) -> Iterator[Reached]:
    """Trino, the metastore, HDFS."""
    yield trino(settings)
    yield metastore(settings)
    yield hdfs(lake)


def trino(settings: Settings) -> Reached:
    """Trino answers a query, and has the catalogs that are used."""
    start = "start it, or correct TRINO_HOST, TRINO_PORT"
    try:
        client = Client(
            host=settings.trino_host,
            port=settings.trino_port,
            user=settings.trino_user,
            password=settings.trino_password,
            tls=settings.trino_tls,
            ca=settings.trino_ca,
            catalog="hive",
        )
    except ConfigurationError as problem:
        return Reached("trino", str(problem), "do as it says")
    try:
        version = client.run("SELECT node_version FROM system.runtime.nodes WHERE coordinator").rows[0][0]
        missing = sorted(CATALOGS - {str(name) for (name,) in client.run("SHOW CATALOGS").rows})
    except (exceptions.Error, exceptions.HttpError, ServerLost, Untrusted) as problem:
        told = explained("doctor", client.server, problem)
        return Reached("trino", str(told).removeprefix("doctor: "), "do as it says" if isinstance(told, ConfigurationError) else start)
    finally:
        client.close()
    mend = "give Trino catalogs of these names, as deploy/compose/trino has them" if missing else ""
    return Reached("trino", f"{client.server}, version {version}" + (f"; no catalog {', '.join(missing)}" if missing else ""), mend)


def metastore(settings: Settings) -> Reached:
    """The metastore answers."""
    try:
        with Connections(settings.metastore_uri, ANSWER_SECONDS, 0.0) as client:
            there = client.get_all_databases()
    except (ProcurementError, TException, OSError) as problem:
        return Reached("metastore", str(problem), "start it, or correct PROCUREMENT_METASTORE_URI")
    own = [f"{name} {'is' if name in there else 'not yet'} there" for name in (settings.table_schema, settings.raw_schema)]
    return Reached("metastore", f"{settings.metastore_uri}: the schemas {', '.join(own)}")


def hdfs(lake: Lake) -> Reached:
    """A file can be written to the lake, read back, and removed."""
    name, content = f".doctor-{uuid4().hex[:8]}", b"written by procurement doctor"
    lake.fs.patience = 0.0
    try:
        lake.write(name, content)
        read = lake.read(name)
        lake.remove(name)
    except (ProcurementError, OSError) as problem:
        return Reached("hdfs", f"{lake.url} cannot be written: {problem}", _mend(problem))
    if read != content:
        return Reached("hdfs", f"{lake.url} gives back other bytes than were written", "look at its disks: hdfs fsck /")
    return Reached("hdfs", f"{lake.url} can be written")


def _mend(problem: Exception) -> str:
    if isinstance(problem, PermissionError):
        return "let HDFS_USER write there: hdfs dfs -chown"
    return "start HDFS, or correct PROCUREMENT_LAKE (and HDFS_BASE_URL, where it is set)"
