"""Where a home's stack lies, and on which ports it listens."""

import secrets
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import quote

from procurement_platform.errors import ConfigurationError
from procurement_platform.settings import Settings

HOST = "127.0.0.1"
USER = "procurement"
# Class paths and Hadoop's lists are split at some, `${…}` is replaced, and the DataNode takes the % in a folder's URI for that of a format.
_MISREAD = frozenset(',:$\n\t "%#?<>[\\]^`{|}')


@dataclass(frozen=True)
class Ports:
    """The ports, all on loopback. The defaults are those that the servers are known by, PostgreSQL's apart: that one is often taken."""

    postgres: int = 15432
    hdfs: int = 9000
    webhdfs: int = 9870
    datanode: int = 9866
    datanode_http: int = 9864
    datanode_ipc: int = 9867
    metastore: int = 9083
    trino: int = 8080
    kafka: int = 9092
    kafka_controller: int = 9093
    registry: int = 8081
    registry_health: int = 8082


@dataclass(frozen=True)
class Place:
    """`stack/` under a home: `conf/` is written by each start, `data/` stays, `logs/`, `run/` says which servers were started."""

    folder: Path
    ports: Ports
    hdfs_user: str
    trino_mib: int

    @property
    def conf(self) -> Path:
        return self.folder / "conf"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def passfile(self) -> Path:
        """PostgreSQL's password, as its clients read it from a file."""
        return self.folder / "pgpass"

    def log(self, server: str) -> Path:
        return self.folder / "logs" / f"{server}.log"

    def password(self) -> str:
        """PostgreSQL's password, made by the first who asks."""
        if not self.passfile.exists():
            new = self.passfile.with_suffix(".new")
            new.unlink(missing_ok=True)
            new.touch(mode=0o600)
            new.write_text(f"*:*:*:{USER}:{secrets.token_hex(16)}\n")
            new.replace(self.passfile)
        return self.passfile.read_text().strip().rpartition(":")[2]

    def database(self, name: str) -> str:
        """The address of a database, without its password: that is in the file it names."""
        return f"postgresql://{USER}@{HOST}:{self.ports.postgres}/{name}?passfile={quote(str(self.passfile))}"

    def make(self) -> None:
        """Makes the folders, for their owner only.

        Raises:
            ConfigurationError: the home cannot be written, or has a name that the servers would misread.
        """
        if misread := _MISREAD.intersection(str(self.folder)):
            raise ConfigurationError(f"{self.folder} has a {min(misread)!r}, which Hadoop misreads; set PROCUREMENT_HOME to another folder")
        try:
            for folder in (self.folder, self.conf, self.data, self.run, self.temporary, self.folder / "logs"):
                folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as problem:
            raise ConfigurationError(
                f"{self.folder} cannot be written ({problem.strerror}); set PROCUREMENT_HOME to a folder of your own"
            ) from problem


def place(settings: Settings) -> Place:
    """The stack's place in a home.

    Raises:
        ConfigurationError: PROCUREMENT_STACK_PORTS cannot be read.
    """
    return Place(settings.home / "stack", parse_ports(settings.stack_ports or ""), settings.hdfs_user, settings.stack_trino_memory_mib)


def parse_ports(text: str) -> Ports:
    """The ports that `NAME=PORT …` changes.

    Raises:
        ConfigurationError: a name is unknown, a port is none, or two servers have the same.
    """
    known = [field.name for field in fields(Ports)]
    changed: dict[str, int] = {}
    for pair in text.split():
        name, _, port = pair.partition("=")
        if name not in known:
            raise ConfigurationError(f"PROCUREMENT_STACK_PORTS: {pair!r} is not NAME=PORT with a NAME of {', '.join(known)}")
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):  # noqa: PLR2004
            raise ConfigurationError(f"PROCUREMENT_STACK_PORTS: {pair!r} has no port from 1 to 65535")
        changed[name] = int(port)
    ports = replace(Ports(), **changed)
    seen: dict[int, str] = {}
    for name in known:
        port_ = int(getattr(ports, name))
        if port_ in seen:
            raise ConfigurationError(f"PROCUREMENT_STACK_PORTS: {seen[port_]} and {name} both have port {port_}")
        seen[port_] = name
    return ports
