"""The real servers: cold start, what each can do, a kill of each kind, and data that outlives them."""

import contextlib
import os
import time
import uuid
from pathlib import Path

import pytest
from hdfs_native import Client, WriteOptions

from procurement_platform.database.connect import Database
from procurement_platform.settings import Settings, load_settings
from procurement_platform.stack import postgres, stack
from procurement_platform.stack.processes import holders
from procurement_platform.stack.servers import SERVERS
from procurement_platform_tests.stack.live import Cluster, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]  # the first time, 1.1 GB are fetched

COLD_SECONDS, BYTES = 60.0, 3 * 1024**3
LISTEN = "0A"


def silent(_: str) -> None:
    pass


def test_it_starts_quickly_and_small(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    memory = sum(each.memory for each in stack.status(cluster.place))
    with capsys.disabled():
        print(f"\nthe stack: {cluster.cold_seconds:.1f} s from nothing to ready, {memory / 1024**3:.2f} GiB")  # noqa: T201
    # On two cores that others may use, too: then half of them are its own. A limit that grew on with the load would hold nothing back.
    assert cluster.cold_seconds < COLD_SECONDS * min(2, 1 + cluster.load_before / 2)
    assert memory < BYTES
    assert set(cluster.states().values()) == {"running"}


def test_all_servers_listen_on_loopback_only(cluster: Cluster) -> None:
    sockets = set()
    for name in SERVERS:
        for pid in holders(cluster.place.run / name):
            for each in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    sockets.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTEN and columns[9] in sockets:
                listening.append(columns[1].partition(":")[0])
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "0" * 24 + "01000000"}
    assert len(listening) > 8
    assert set(listening) <= loopback


def test_what_is_written_by_rpc_is_read_by_webhdfs_and_the_other_way(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", cluster.variables["HADOOP_USER_NAME"])
    client, content = Client(cluster.hdfs), os.urandom(3_000_000)
    with client.create("/tests/rpc.bin", WriteOptions(overwrite=True)) as file:
        file.write(content)
    assert cluster.webhdfs("GET", "/tests/rpc.bin", "OPEN") == (200, content)
    assert cluster.webhdfs("PUT", "/tests/rpc.bin", "RENAME&destination=/tests/renamed.bin") == (200, b'{"boolean":true}')
    with client.read("/tests/renamed.bin") as file:
        assert file.read(-1) == content
    assert client.get_file_info("/tests/renamed.bin").length == len(content)
    assert client.delete("/tests/renamed.bin", False)
    assert cluster.webhdfs("GET", "/tests/renamed.bin", "OPEN")[0] == 404


def test_hdfs_keeps_what_is_written(cluster: Cluster) -> None:
    content = os.urandom(3_000_000)
    assert cluster.webhdfs("PUT", "/tests/bytes.bin", "CREATE&overwrite=true", content)[0] == 201
    assert cluster.webhdfs("GET", "/tests/bytes.bin", "OPEN") == (200, content)
    assert cluster.webhdfs("DELETE", "/tests/bytes.bin", "DELETE") == (200, b'{"boolean":true}')
    assert cluster.webhdfs("GET", "/tests/bytes.bin", "OPEN")[0] == 404


def test_trino_reads_and_writes_every_catalog(cluster: Cluster) -> None:
    with postgres.connect(cluster.place, "procurement") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS nations_seen (n bigint, amount numeric(18, 3))")
        connection.execute("TRUNCATE nations_seen")
        connection.execute("INSERT INTO nations_seen VALUES (7, 1.125)")
    cluster.query("CREATE SCHEMA iceberg.tests")
    cluster.query("CREATE TABLE iceberg.tests.nation AS SELECT * FROM tpch.tiny.nation")
    external = (
        "CREATE TABLE hive.tests.orders WITH (format = 'PARQUET', external_location = 'hdfs://127.0.0.1:PORT/x/orders')"
        " AS SELECT orderkey, totalprice FROM tpch.tiny.orders"
    )
    cluster.query(external.replace("PORT", str(cluster.place.ports.hdfs)))
    assert cluster.query(
        "SELECT (SELECT count(*) FROM iceberg.tests.nation), (SELECT count(*) FROM hive.tests.nation),"
        " (SELECT count(*) FROM hive.tests.orders), (SELECT amount FROM postgresql.public.nations_seen WHERE n = 7)"
    ) == [[25, 25, 15000, "1.125"]]
    for query in ("DROP TABLE iceberg.tests.nation", "DROP TABLE hive.tests.orders", "DROP SCHEMA iceberg.tests"):
        cluster.query(query)


def test_kafka_returns_what_it_was_sent(cluster: Cluster) -> None:
    # The environment of `make test`, which leaves these tests out, has no Kafka client.
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    servers, topic = cluster.variables["KAFKA_BOOTSTRAP_SERVERS"], f"t{uuid.uuid4().hex[:8]}"
    client = AdminClient({"bootstrap.servers": servers})
    client.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": servers})
    sent = {f"message {number}".encode() for number in range(1000)}
    for each in sent:
        producer.produce(topic, each)
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    got: set[bytes | None] = set()
    deadline = time.monotonic() + 30
    while len(got) < len(sent) and time.monotonic() < deadline:
        got.update(message.value() for message in consumer.consume(1000, 1.0) if message.error() is None)
    consumer.close()
    assert got == sent


@pytest.mark.parametrize("name", ["postgres", "namenode", "datanode", "metastore", "kafka", "trino"])
def test_a_killed_server_is_named_and_healed(cluster: Cluster, name: str) -> None:
    cluster.query("CREATE TABLE IF NOT EXISTS iceberg.stack.survives AS SELECT * FROM tpch.tiny.nation")
    cluster.kill(name)
    until(lambda: cluster.states()[name] == "killed")  # PostgreSQL's other processes end a moment after it
    others = {each.server: each.pid for each in stack.status(cluster.place) if each.server != name}
    stack.up(cluster.place, silent)
    assert set(cluster.states().values()) == {"running"}
    assert {each.server: each.pid for each in stack.status(cluster.place) if each.server != name} == others
    assert cluster.query("SELECT count(*) FROM iceberg.stack.survives") == [[25]]
    works(cluster)


def works(cluster: Cluster) -> None:
    """Writes to HDFS, by the metastore, too, and to a new topic, with no second try: what `up` returned from is ready."""
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    assert cluster.webhdfs("PUT", f"/tests/{uuid.uuid4().hex}", "CREATE", b"bytes") == (201, b"")
    schema = f"iceberg.works_{uuid.uuid4().hex[:8]}"
    for query in (f"CREATE SCHEMA {schema}", f"DROP SCHEMA {schema}"):
        cluster.query(query)
    topic = f"t{uuid.uuid4().hex[:8]}"
    client = AdminClient({"bootstrap.servers": cluster.variables["KAFKA_BOOTSTRAP_SERVERS"]})
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


def test_data_outlives_down_and_nothing_else_does(cluster: Cluster) -> None:
    place = cluster.place
    cluster.query("CREATE TABLE IF NOT EXISTS iceberg.stack.outlives AS SELECT * FROM tpch.tiny.nation")
    assert cluster.webhdfs("PUT", "/tests/outlives", "CREATE&overwrite=true", b"bytes")[0] == 201
    pids = [pid for name in SERVERS for pid in holders(place.run / name)]
    assert stack.down(place, silent) is True
    assert [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()] == []
    assert list(place.run.iterdir()) == list(place.temporary.iterdir()) == []

    stack.up(place, silent)
    assert cluster.query("SELECT count(*) FROM hive.stack.outlives") == [[25]]
    assert cluster.webhdfs("GET", "/tests/outlives", "OPEN") == (200, b"bytes")


def test_a_home_of_a_test_has_a_lake_and_a_database_of_its_own(cluster: Cluster, cluster_home: Settings) -> None:
    assert cluster_home.profile == "cluster"
    assert cluster_home.lake_url.startswith(f"{cluster.hdfs}/")
    assert cluster_home == load_settings()
    with Database(cluster_home).transaction() as connection:
        assert connection.execute("SELECT current_database(), (SELECT count(*) FROM control.files)").fetchone() == (
            cluster_home.lake_url.rpartition("/")[2],
            0,
        )
