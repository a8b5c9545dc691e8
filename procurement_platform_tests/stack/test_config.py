"""What the servers are told: read as they would read it."""

from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.lake.metastore import ANSWER_SECONDS, OUTCOME_SECONDS
from procurement_platform.lake.metastore_doubts import IN_DOUBT_SECONDS
from procurement_platform.project import CHECKOUT
from procurement_platform.stack.config import _escape, _xml, render
from procurement_platform.stack.place import Place, Ports

TRINO = Path("/programs/trino")


def xml(text: str) -> dict[str, str]:
    root = ET.fromstring(text)  # noqa: S314 -- our own
    return {str(each.findtext("name")): str(each.findtext("value")) for each in root.iter("property")}


def properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line)


@pytest.fixture
def files(place: Place) -> dict[str, str]:
    return render(place, TRINO)


def test_hdfs_listens_on_loopback_and_answers_webhdfs(place: Place, files: dict[str, str]) -> None:
    hdfs = xml(files["hadoop/hdfs-site.xml"])
    assert hdfs["dfs.namenode.http-address"] == f"127.0.0.1:{place.ports.webhdfs}"
    addresses = [value for name, value in hdfs.items() if name.endswith("address")]
    assert len(addresses) == 5
    assert all(value.startswith("127.0.0.1:") for value in addresses)
    assert xml(files["hadoop/core-site.xml"])["fs.defaultFS"] == f"hdfs://127.0.0.1:{place.ports.hdfs}"


def test_hdfs_keeps_its_data_under_the_home(place: Place, files: dict[str, str]) -> None:
    hdfs = xml(files["hadoop/hdfs-site.xml"])
    assert hdfs["dfs.namenode.name.dir"] == str(place.data / "namenode")
    assert hdfs["dfs.datanode.data.dir"] == str(place.data / "datanode")


def test_trino_has_the_catalogs_and_finds_iceberg_tables_under_either_name(files: dict[str, str]) -> None:
    catalogs = {Path(name).stem: properties(text) for name, text in files.items() if name.startswith("trino/catalog/")}
    assert {name: each["connector.name"] for name, each in catalogs.items()} == {
        name: name for name in ("hive", "iceberg", "postgresql", "tpch")
    }
    assert catalogs["hive"]["hive.iceberg-catalog-name"] == "iceberg"
    assert catalogs["iceberg"]["iceberg.hive-catalog-name"] == "hive"
    assert catalogs["hive"]["hive.metastore.uri"] == catalogs["iceberg"]["hive.metastore.uri"]


def test_trino_listens_on_loopback(place: Place, files: dict[str, str]) -> None:
    trino = properties(files["trino/config.properties"])
    assert trino["node.bind-ip"] == "127.0.0.1"
    assert trino["http-server.http.port"] == str(place.ports.trino)
    assert trino["plugin.dir"] == str(TRINO / "plugin")


@pytest.mark.parametrize("memory", [768, 1024, 8192])
def test_a_query_and_what_trino_does_not_count_fit_its_memory(place: Place, memory: int) -> None:
    trino = properties(render(replace(place, trino_mib=memory), TRINO)["trino/config.properties"])
    query, headroom = (int(trino[name].removesuffix("MB")) for name in ("query.max-memory-per-node", "memory.heap-headroom-per-node"))
    assert 0 < query + headroom < memory
    assert trino["query.max-memory"] == trino["query.max-memory-per-node"]


def test_the_metastore_keeps_locks_for_longer_than_a_commit_may_be_in_doubt(files: dict[str, str]) -> None:
    compose = (CHECKOUT / "deploy" / "compose" / "metastore" / "hive-site.xml").read_text(encoding="utf-8").partition("\n")[2]
    for text in (files["metastore/metastore-site.xml"], compose):
        seconds = xml(text)["metastore.txn.timeout"]
        assert seconds.endswith("s")
        assert int(seconds[:-1]) > ANSWER_SECONDS + OUTCOME_SECONDS + IN_DOUBT_SECONDS


def test_kafka_listens_on_loopback_and_makes_no_topics_by_itself(place: Place, files: dict[str, str]) -> None:
    kafka = properties(files["kafka/server.properties"])
    assert kafka["listeners"] == f"PLAINTEXT://127.0.0.1:{place.ports.kafka},CONTROLLER://127.0.0.1:{place.ports.kafka_controller}"
    assert kafka["auto.create.topics.enable"] == "false"
    assert all(value == "1" for name, value in kafka.items() if name.endswith((".replication.factor", ".min.isr")))


def test_the_password_is_in_the_two_files_of_those_who_log_in(place: Place, files: dict[str, str]) -> None:
    holders = {name for name, text in files.items() if place.password() in text}
    assert holders == {"metastore/metastore-site.xml", "trino/catalog/postgresql.properties"}


def test_every_port_of_a_server_with_files_is_in_one(place: Place, files: dict[str, str]) -> None:
    text = "\n".join(files.values())
    unused = {field.name for field in fields(Ports) if str(getattr(place.ports, field.name)) not in text}
    assert unused == {"registry", "registry_health"}  # the registry is told by its environment


def test_the_same_settings_give_the_same_files(place: Place, files: dict[str, str]) -> None:
    assert render(place, TRINO) == files


def read_as_java(text: str) -> str:
    """`Properties.load`: ISO 8859-1, escapes begin with a backslash."""
    units = bytearray()
    index = 0
    while index < len(text):
        if text.startswith("\\u", index):
            units += int(text[index + 2 : index + 6], 16).to_bytes(2, "big")
            index += 6
            continue
        index += text[index] == "\\"
        units += ord(text[index]).to_bytes(2, "big")
        index += 1
    return units.decode("utf-16-be")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_java_reads_the_value_that_was_meant(value: str) -> None:
    escaped = _escape(value)
    assert escaped.isascii()
    assert read_as_java(escaped) == value


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")))
def test_hadoop_reads_the_value_that_was_meant(value: str) -> None:
    assert xml(_xml({"name": value}).partition("\n")[2]) == {"name": value or ""}
