"""The servers, one by one: what each needs, how it is prepared and started, and what it answers when it works."""

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from procurement_platform.database.postgres_folder import environment as postgres_environment
from procurement_platform.errors import StackUnavailable
from procurement_platform.project import project_file
from procurement_platform.stack import postgres, probes
from procurement_platform.stack.java import Java
from procurement_platform.stack.place import HOST, USER, Place

# Short-lived on two cores: the quick compiler alone, one collector thread. No files in /tmp, no address but IPv4's.
_COMMON = (
    *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Xms32m"),
    *("-Djava.net.preferIPv4Stack=true", "-Dfile.encoding=UTF-8"),
    # What these libraries do and newer Javas warn of.
    *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-XX:+EnableDynamicAgentLoading"),
)


@dataclass(frozen=True)
class Programs:
    """What starts the servers: Java, and the folders of their programs by name."""

    java: Java
    folders: dict[str, Path]

    def __getitem__(self, name: str) -> Path:
        return self.folders[name]


@dataclass(frozen=True)
class Command:
    """A server's arguments and environment."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Server:
    """One server of the stack. `answers` raises NotYet or OSError while it does not work."""

    name: str
    ports: tuple[str, ...]  # names in Ports; the first is the one that is told
    answers: Callable[[Place], None]
    command: Callable[[Place, Programs], Command]
    prepare: Callable[[Place, Programs], None] = lambda _, __: None
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    settle: Callable[[Place], None] = lambda _: None  # what is done once it answers for the first time
    ending: signal.Signals = field(default=signal.SIGTERM)


def java_command(place: Place, programs: Programs, memory: int, options: list[str], main: list[str]) -> Command:
    """A Java server's command: `memory` in MiB, its own options, its main class and what that takes."""
    temporary = f"-Djava.io.tmpdir={place.temporary}"
    arguments = [str(programs.java.binary), f"-Xmx{memory}m", *_COMMON, temporary, *options, *main]
    # Nothing of the caller's: JAVA_TOOL_OPTIONS, HADOOP_* and the like change servers. Python's own settings are not Java's.
    return Command(
        arguments,
        {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "JAVA_HOME": str(programs.java.home),
            "HADOOP_USER_NAME": place.hdfs_user,
        },
    )


def _hadoop(place: Place, programs: Programs) -> list[str]:
    return [str(place.conf / "hadoop"), f"{programs['hadoop']}/*"]


def _hdfs_command(main: str, memory: int) -> Callable[[Place, Programs], Command]:
    def command(place: Place, programs: Programs) -> Command:
        return java_command(place, programs, memory, ["-cp", ":".join(_hadoop(place, programs))], [main])

    return command


_namenode = _hdfs_command("org.apache.hadoop.hdfs.server.namenode.NameNode", 256)
_datanode = _hdfs_command("org.apache.hadoop.hdfs.server.datanode.DataNode", 192)


def _format_namenode(place: Place, programs: Programs) -> None:
    _once(place, "namenode", [*_namenode(place, programs).arguments, "-format", "-force", "-nonInteractive"], programs)


def _datanode_answers(place: Place) -> None:
    probes.datanode(place.ports.datanode_http)
    probes.hdfs(place.ports.webhdfs)


def _metastore(place: Place, programs: Programs) -> Command:
    classes = [str(place.conf / "metastore"), *_hadoop(place, programs), f"{programs['metastore']}/lib/*"]
    (agent,) = programs["metastore"].glob("byteman-*.jar")
    options = [
        f"-javaagent:{agent}=script:{project_file('deploy', 'stack', 'metastore-loopback.btm')}",
        f"-Dlog4j2.configurationFile={place.conf / 'metastore' / 'metastore-log4j2.properties'}",
        *("-cp", ":".join(classes)),
    ]
    found = java_command(place, programs, 256, options, ["org.apache.hadoop.hive.metastore.HiveMetaStore"])
    found.environment["METASTORE_CONF_DIR"] = str(place.conf / "metastore")
    return found


def _metastore_schema(place: Place, programs: Programs) -> None:
    # 3.1.3 has the tables of 3.1.0. Its own schematool needs what only a whole Hive brings.
    postgres.load_metastore_schema(place, programs["metastore"] / "scripts/metastore/upgrade/postgres/hive-schema-3.1.0.postgres.sql")


def _trino(place: Place, programs: Programs) -> Command:
    vector = ["--add-modules=jdk.incubator.vector"] if "jdk.incubator.vector" in programs.java.modules else []
    options = [
        *vector,
        *("-XX:ReservedCodeCacheSize=256M", "-Djdk.attach.allowAttachSelf=true", "-Djdk.nio.maxCachedBufferSize=2000000"),
        f"-Dconfig={place.conf / 'trino' / 'config.properties'}",
        *(f"-Dlog.levels-file={place.conf / 'trino' / 'log.properties'}", "-cp", f"{programs['trino']}/lib/*"),
    ]
    return java_command(place, programs, place.trino_mib, options, ["io.trino.server.TrinoServer"])


def _trino_answers(place: Place) -> None:
    probes.trino_rows(place.ports.trino, "SELECT count(*) FROM tpch.tiny.nation")


def _kafka_java(place: Place, programs: Programs, main: list[str]) -> Command:
    options = ["-cp", f"{programs['kafka']}/*", f"-Dlog4j2.configurationFile={place.conf / 'kafka' / 'log4j2.properties'}"]
    return java_command(place, programs, 256, options, main)


def _kafka(place: Place, programs: Programs) -> Command:
    return _kafka_java(place, programs, ["kafka.Kafka", str(place.conf / "kafka" / "server.properties")])


def _format_kafka(place: Place, programs: Programs) -> None:
    # The cluster's id: 16 bytes in base 64. One of its own for each home is of no use on loopback.
    main = ["kafka.tools.StorageTool", "format", "-t", "cHJvY3VyZW1lbnQtMQ", "-g", "-c", str(place.conf / "kafka" / "server.properties")]
    _once(place, "kafka", _kafka_java(place, programs, main).arguments, programs)


def _registry(place: Place, programs: Programs) -> Command:
    found = java_command(place, programs, 256, ["-jar", str(programs["registry"] / "quarkus-run.jar")], [])
    found.environment.update(
        QUARKUS_HTTP_HOST=HOST,
        QUARKUS_HTTP_PORT=str(place.ports.registry),
        QUARKUS_MANAGEMENT_HOST=HOST,
        QUARKUS_MANAGEMENT_PORT=str(place.ports.registry_health),
        APICURIO_STORAGE_KIND="sql",
        APICURIO_STORAGE_SQL_KIND="postgresql",
        APICURIO_DATASOURCE_URL=f"jdbc:postgresql://{HOST}:{place.ports.postgres}/registry",
        APICURIO_DATASOURCE_USERNAME=USER,
        APICURIO_DATASOURCE_PASSWORD=place.password(),
    )
    return found


def _once(place: Place, name: str, arguments: list[str], programs: Programs) -> None:
    """Formats a server's data folder, unless that was done to its end before."""
    done = place.data / f"{name}.formatted"
    if done.exists():
        return
    environment = java_command(place, programs, 1, [], []).environment
    made = subprocess.run(
        arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if made.returncode != 0:
        place.log(name).write_text(made.stdout)
        raise StackUnavailable(f"the data folder of {name} cannot be formatted; the reason is at the end of {place.log(name)}")
    done.touch()


SERVERS = {
    each.name: each
    for each in (
        # In the order in which they are started: Trino takes longest.
        Server(
            "postgres",
            ("postgres",),
            postgres.answers,
            lambda place, _: Command(postgres.command(place), postgres_environment()),
            lambda place, _: postgres.initialise(place),
            settle=postgres.make_databases,
            ending=signal.SIGINT,  # does not wait for clients
        ),
        Server("trino", ("trino",), _trino_answers, _trino, programs=("trino",)),
        Server(
            "namenode",
            ("webhdfs", "hdfs"),
            lambda place: _is_dict(probes.namenode(place.ports.webhdfs)),
            _namenode,
            _format_namenode,
            programs=("hadoop",),
        ),
        Server(
            "datanode",
            ("datanode", "datanode_http", "datanode_ipc"),
            _datanode_answers,
            _datanode,
            needs=("namenode",),
            programs=("hadoop",),
        ),
        Server(
            "metastore",
            ("metastore",),
            lambda place: probes.metastore(place.ports.metastore),
            _metastore,
            _metastore_schema,
            ("postgres", "datanode"),
            ("hadoop", "metastore"),
        ),
        Server(
            "kafka",
            ("kafka", "kafka_controller"),
            lambda place: probes.kafka(place.ports.kafka),
            _kafka,
            _format_kafka,
            programs=("kafka",),
        ),
        Server(
            "registry",
            ("registry", "registry_health"),
            lambda place: _is_list(probes.get_json(place.ports.registry, "/apis/ccompat/v7/subjects")),
            _registry,
            needs=("postgres",),
            programs=("registry",),
        ),
    )
}
OPTIONAL = ("registry",)


def _is_dict(answer: object) -> None:
    if not isinstance(answer, dict):
        raise probes.NotYet("it answered something else")


def _is_list(answer: object) -> None:
    if not isinstance(answer, list):
        raise probes.NotYet("it answered something else")
