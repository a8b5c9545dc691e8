"""The servers' configuration files, from where the stack lies and its ports. Pure: nothing is read or written."""

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from procurement_platform.stack.place import HOST, USER, Place

JDBC = "jdbc:postgresql"
TRINO_HEADROOM, TRINO_QUERY = 0.2, 0.3  # of Trino's memory: for what it does not account for, and for one query


def render(place: Place, trino: Path) -> dict[str, str]:
    """Path below `conf/` → text. `trino` is the folder of its programs."""
    password = place.password()
    return {
        "hadoop/core-site.xml": _xml(_core(place)),
        "hadoop/hdfs-site.xml": _xml(_hdfs(place)),
        "hadoop/log4j.properties": LOG4J1,
        "metastore/metastore-site.xml": _xml(_metastore(place, password)),
        "metastore/metastore-log4j2.properties": LOG4J2,
        "trino/config.properties": _properties(_trino(place, trino)),
        "trino/log.properties": _properties({"io.trino": "WARN", "io.airlift": "WARN", "": "WARN"}),
        "trino/catalog/hive.properties": _properties(_hive(place)),
        "trino/catalog/iceberg.properties": _properties(_iceberg(place)),
        "trino/catalog/postgresql.properties": _properties(_postgresql(place, password)),
        "trino/catalog/tpch.properties": _properties({"connector.name": "tpch"}),
        "kafka/server.properties": _properties(_kafka(place)),
        "kafka/log4j2.properties": LOG4J2,
    }


def _core(place: Place) -> dict[str, object]:
    return {"fs.defaultFS": f"hdfs://{HOST}:{place.ports.hdfs}", "hadoop.tmp.dir": place.temporary}


def _hdfs(place: Place) -> dict[str, object]:
    ports = place.ports
    return {
        "dfs.namenode.name.dir": place.data / "namenode",
        "dfs.datanode.data.dir": place.data / "datanode",
        "dfs.replication": 1,
        "dfs.namenode.rpc-address": f"{HOST}:{ports.hdfs}",
        "dfs.namenode.http-address": f"{HOST}:{ports.webhdfs}",
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.safemode.min.datanodes": 1,
        "dfs.namenode.heartbeat.recheck-interval": 5000,  # a dead DataNode is known as dead after 20 s, and not after 10 minutes
        "dfs.heartbeat.interval": "1s",
        "dfs.datanode.hostname": HOST,
        "dfs.datanode.address": f"{HOST}:{ports.datanode}",
        "dfs.datanode.http.address": f"{HOST}:{ports.datanode_http}",
        "dfs.datanode.ipc.address": f"{HOST}:{ports.datanode_ipc}",
        "dfs.client.use.datanode.hostname": "true",
        # Whoever closes a file asks whether its last block is known, and is mostly a few ms early: 400 for each small file otherwise.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": 10,
    }


def _metastore(place: Place, password: str) -> dict[str, object]:
    return {
        "metastore.warehouse.dir": f"hdfs://{HOST}:{place.ports.hdfs}/warehouse",
        "metastore.thrift.bind.host": HOST,
        "metastore.thrift.port": place.ports.metastore,
        "metastore.task.threads.always": "org.apache.hadoop.hive.metastore.events.EventCleanerTask",
        "metastore.txn.timeout": "900s",  # a lock in doubt is kept longer than the 300 s after which dead clients' ones go
        "metastore.expression.proxy": "org.apache.hadoop.hive.metastore.DefaultPartitionExpressionProxy",
        "metastore.async.log.enabled": "false",  # needs a library that its archive has not
        "javax.jdo.option.ConnectionURL": f"{JDBC}://{HOST}:{place.ports.postgres}/metastore",
        "javax.jdo.option.ConnectionDriverName": "org.postgresql.Driver",
        "javax.jdo.option.ConnectionUserName": USER,
        "javax.jdo.option.ConnectionPassword": password,
    }


def _trino(place: Place, programs: Path) -> dict[str, object]:
    query = f"{int(place.trino_mib * TRINO_QUERY)}MB"
    return {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": place.ports.trino,
        "http-server.log.enabled": "false",
        "discovery.uri": f"http://{HOST}:{place.ports.trino}",
        "node.environment": "procurement",
        "node.id": "procurement-1",
        "node.internal-address": HOST,
        "node.bind-ip": HOST,
        "plugin.dir": programs / "plugin",
        "catalog.config-dir": place.conf / "trino" / "catalog",
        "catalog.management": "static",
        "query.max-memory": query,
        "query.max-memory-per-node": query,
        "memory.heap-headroom-per-node": f"{int(place.trino_mib * TRINO_HEADROOM)}MB",
        # A day asks some hundred queries; what Trino keeps of finished ones for its web page filled a small heap.
        "query.min-expire-age": "1m",
        "query.max-history": "20",
        "query.max-length": "10000000",  # a relation of many files names each
    }


def _on_hdfs(place: Place) -> dict[str, object]:
    hadoop = place.conf / "hadoop"
    return {
        "hive.metastore.uri": f"thrift://{HOST}:{place.ports.metastore}",
        "fs.hadoop.enabled": "true",
        "hive.config.resources": f"{hadoop / 'core-site.xml'},{hadoop / 'hdfs-site.xml'}",
    }


def _hive(place: Place) -> dict[str, object]:
    return {
        "connector.name": "hive",
        **_on_hdfs(place),
        "hive.non-managed-table-writes-enabled": "true",  # CREATE TABLE … WITH (external_location = …) AS SELECT
        "hive.allow-register-partition-procedure": "true",
        "hive.iceberg-catalog-name": "iceberg",  # an Iceberg table is found under either name
    }


def _iceberg(place: Place) -> dict[str, object]:
    return {
        "connector.name": "iceberg",
        "iceberg.catalog.type": "hive_metastore",
        **_on_hdfs(place),
        "iceberg.hive-catalog-name": "hive",
    }


def _postgresql(place: Place, password: str) -> dict[str, object]:
    return {
        "connector.name": "postgresql",
        "connection-url": f"{JDBC}://{HOST}:{place.ports.postgres}/{USER}",
        "connection-user": USER,
        "connection-password": password,
    }


def _kafka(place: Place) -> dict[str, object]:
    broker, controller = f"{HOST}:{place.ports.kafka}", f"{HOST}:{place.ports.kafka_controller}"
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": place.data / "kafka",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 5,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 5,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": 2000,  # back after a kill in 6 s, not 12
        "broker.heartbeat.interval.ms": 500,
    }


def _xml(values: Mapping[str, object]) -> str:
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<configuration>"]
    lines += [f"  <property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>" for name, value in values.items()]
    return "\n".join([*lines, "</configuration>", ""])


def _properties(values: Mapping[str, object]) -> str:
    return "".join(f"{name}={_escape(str(value))}\n" for name, value in values.items())


def _escape(text: str) -> str:
    """As Java reads a value: ASCII, a backslash begins an escape."""
    escaped = text.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    units = (int.from_bytes(escaped[index : index + 2], "big") for index in range(0, len(escaped), 2))
    return "".join(chr(unit) if unit < 0x7F else f"\\u{unit:04x}" for unit in units)  # noqa: PLR2004 -- the end of ASCII


LOG4J1 = """\
log4j.rootLogger=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""
LOG4J2 = """\
status=error
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{2}: %m%n
"""
