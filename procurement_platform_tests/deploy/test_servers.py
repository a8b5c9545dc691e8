"""The servers of compose.yaml and of the Helm values are told what those of `procurement stack` are told, where tests run on them."""

from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from procurement_platform.project import CHECKOUT
from procurement_platform.stack.config import render
from procurement_platform.stack.place import Place, Ports

COMPOSE = CHECKOUT / "deploy" / "compose"
HELM = CHECKOUT / "deploy" / "helm"
# By file: what only processes on loopback need, and what only containers do.
ONLY_LOOPBACK = {
    "hadoop/hdfs-site.xml": set[str](),
    "metastore/metastore-site.xml": {"metastore.thrift.bind.host"},
    "trino/config.properties": {"node.internal-address", "node.bind-ip", "catalog.config-dir"},
    "kafka/server.properties": {"broker.session.timeout.ms", "broker.heartbeat.interval.ms"},
}
ONLY_CONTAINERS = {
    "hadoop/hdfs-site.xml": {"dfs.namenode.rpc-bind-host", "dfs.namenode.datanode.registration.ip-hostname-check"},
    "metastore/metastore-site.xml": {"hive.metastore.warehouse.dir"},
}
IN_COMPOSE = {"metastore/metastore-site.xml": "metastore/hive-site.xml"}  # full Hive, which the image is, reads this one
FILES = (
    "hadoop/core-site.xml",
    "hadoop/hdfs-site.xml",
    "metastore/metastore-site.xml",
    "trino/config.properties",
    "kafka/server.properties",
)
CATALOGS = ("hive", "iceberg", "postgresql", "tpch")
# Where something lies, or how much there is of it; all else is equal.
PLACES = (
    "address",
    ".dir",
    "uri",
    "url",
    "URL",
    "resources",
    "password",
    "Password",
    "user",
    "UserName",
    "defaultFS",
    "listeners",
    "voters",
    "log.dirs",
    "host",
    "hostname",
)
SIZES = ("memory",)


@cache
def stack() -> dict[str, str]:
    folder = Path("/var/lib/x")

    class Known(Place):
        def password(self) -> str:
            return "x"

    return render(Known(folder, Ports(), "root", 1024), Path("/programs/trino"))


def read(name: str, text: str) -> dict[str, str]:
    if name.endswith(".xml"):
        root = ET.fromstring(text)  # noqa: S314 -- our own
        return {str(each.findtext("name")): str(each.findtext("value")) for each in root.iter("property")}
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def of_compose(name: str) -> dict[str, str]:
    """A file of compose's; Trino's node properties, which its image wants in a file of their own, count as configuration."""
    path = COMPOSE / IN_COMPOSE.get(name, name)
    values = read(name, path.read_text(encoding="utf-8"))
    if name == "trino/config.properties":
        values |= read(name, (COMPOSE / "trino" / "node.properties").read_text(encoding="utf-8"))
    return values


def depends_on_the_place(name: str) -> bool:
    return name.endswith(PLACES) or any(size in name for size in SIZES)


@pytest.mark.parametrize("name", FILES)
def test_the_same_properties_are_set(name: str) -> None:
    tested, deployed = read(name, stack()[name]), of_compose(name)
    assert set(tested) - set(deployed) - {"node.id"} == ONLY_LOOPBACK.get(name, set())  # Trino's image makes an id of its own
    assert set(deployed) - set(tested) - {"node.data-dir"} == ONLY_CONTAINERS.get(name, set())


@pytest.mark.parametrize("name", FILES[1:])  # the first one says where HDFS is, and nothing else
def test_what_does_not_depend_on_the_place_is_equal(name: str) -> None:
    tested, deployed = read(name, stack()[name]), of_compose(name)
    both = {each for each in tested.keys() & deployed.keys() if not depends_on_the_place(each)}
    assert {each: deployed[each] for each in both} == {each: tested[each] for each in both}
    assert both


@pytest.mark.parametrize("catalog", CATALOGS)
def test_trinos_catalogs_are_the_tested_ones(catalog: str) -> None:
    name = f"trino/catalog/{catalog}.properties"
    tested, deployed = read(name, stack()[name]), of_compose(name)
    helm = read(name, yaml.safe_load((HELM / "trino-values.yaml").read_text(encoding="utf-8"))["catalogs"][catalog])
    assert set(deployed) == set(tested) == set(helm)
    fixed = {each for each in tested if not depends_on_the_place(each)}
    assert {each: deployed[each] for each in fixed} == {each: helm[each] for each in fixed} == {each: tested[each] for each in fixed}


def test_helm_tells_trino_what_the_tested_one_is_told_of_queries() -> None:
    tested = read("trino/config.properties", stack()["trino/config.properties"])
    values = yaml.safe_load((HELM / "trino-values.yaml").read_text(encoding="utf-8"))
    queries = {name: value for name, value in tested.items() if name.startswith("query.") and not depends_on_the_place(name)}
    assert read("config.properties", "\n".join(values["additionalConfigProperties"])) == queries
    assert {"query.max-length", "query.min-expire-age", "query.max-history"} <= queries.keys()


def test_there_are_no_other_catalogs() -> None:
    assert {path.stem for path in (COMPOSE / "trino" / "catalog").iterdir()} == set(CATALOGS)
    assert set(yaml.safe_load((HELM / "trino-values.yaml").read_text(encoding="utf-8"))["catalogs"]) == set(CATALOGS)


def test_no_password_is_in_a_file() -> None:
    assert of_compose("trino/catalog/postgresql.properties")["connection-password"] == "${ENV:PROCUREMENT_DATABASE_PASSWORD}"
    assert of_compose("metastore/metastore-site.xml")["javax.jdo.option.ConnectionPassword"] == "${env.METASTORE_PASSWORD}"


def test_the_containers_find_each_other_by_the_services_names() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert of_compose("hadoop/core-site.xml")["fs.defaultFS"] == "hdfs://namenode:9000"
    assert of_compose("hadoop/hdfs-site.xml")["dfs.datanode.hostname"] == "datanode"
    assert (
        of_compose("trino/catalog/iceberg.properties")["hive.metastore.uri"] == services["code"]["environment"]["PROCUREMENT_METASTORE_URI"]
    )
    assert of_compose("kafka/server.properties")["advertised.listeners"] == "PLAINTEXT://kafka:9092"
    workspace = yaml.safe_load((CHECKOUT / "deploy" / "workspace.yaml").read_text(encoding="utf-8"))
    (server,) = workspace["load_from"]
    assert server["grpc_server"]["host"] in services


def test_the_versions_are_those_of_the_stack() -> None:
    images = [each["image"] for each in yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"].values()]
    for server, image in (
        ("trino", "trinodb/trino"),
        ("hadoop", "apache/hadoop"),
        ("kafka", "apache/kafka"),
        ("metastore", "procurement-metastore"),
    ):
        pom = (CHECKOUT / "deploy" / "stack" / f"{server}.xml").read_text(encoding="utf-8")
        (version,) = {each.rpartition(":")[2] for each in images if each.startswith(f"{image}:")}
        assert f"<version>{version}</version>" in pom


def test_helms_values_say_that_they_were_not_run_and_name_no_secret() -> None:
    for path in sorted(HELM.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# EXAMPLE, not run")
        assert yaml.safe_load(text)


def test_a_pod_per_run_with_limits_and_only_known_settings() -> None:
    from procurement_platform.settings import Settings, file_variable, secret_fields, variable

    values = yaml.safe_load((HELM / "dagster-values.yaml").read_text(encoding="utf-8"))
    assert values["runLauncher"]["type"] == "K8sRunLauncher"
    run = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    assert set(run["containerConfig"]["resources"]) == {"requests", "limits"}
    (code,) = values["dagster-user-deployments"]["deployments"]
    known = {*map(variable, Settings.model_fields), *map(file_variable, secret_fields())}
    assert {each["name"] for each in code["env"]} <= known
    queue = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    here = yaml.safe_load((CHECKOUT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
    assert queue["tagConcurrencyLimits"] == here["concurrency"]["runs"]["tag_concurrency_limits"]
