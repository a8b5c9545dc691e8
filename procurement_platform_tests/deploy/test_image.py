"""The Dockerfiles, the image's start, and its Dagster instance. No image is built: what of it can run without an engine does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from psycopg import conninfo

from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings

DEPLOY = CHECKOUT / "deploy"
DOCKERFILES = (DEPLOY / "Dockerfile", DEPLOY / "compose" / "metastore" / "Dockerfile")
ENTRYPOINT = DEPLOY / "entrypoint.sh"
PASSWORD = "DAGSTER_POSTGRES_PASSWORD"  # noqa: S105 -- the variable's name


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest), with continued lines joined and comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(each.partition(" ")[0], each.partition(" ")[2]) for each in joined.splitlines() if each.strip()]


def stages(path: Path) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for each in instructions(path):
        if each[0] == "FROM":
            found.append([])
        found[-1].append(each)
    return found


@pytest.mark.parametrize("path", DOCKERFILES)
def test_bases_have_fixed_tags_and_the_user_is_not_root(path: Path) -> None:
    for (_, base), *_ in stages(path):
        assert re.fullmatch(r"[a-z/-]+:\d+\.?\d*(\.\d+)?(-[a-z]+)*( AS \w+)?", base), "no host, and a tag that is a version"
    users = [rest for name, rest in stages(path)[-1] if name == "USER"]
    assert users
    assert users[-1].partition(":")[0] not in ("0", "root")


def test_what_is_installed_is_held_to_its_hashes() -> None:
    build, final = stages(DEPLOY / "Dockerfile")
    commands = " && ".join(rest for name, rest in build if name == "RUN").split(" && ")
    installs = [each for each in commands if re.search(r"pip (install|sync)", each)]
    assert len(installs) == 3
    for each in installs:
        assert "--require-hashes" in each or ("--no-deps" in each and each.endswith("dist/*.whl"))
    assert any("requirements-deploy.lock" in each for each in installs)
    assert not any(re.search(r"pip install|uv |apt|gcc|curl|wget", rest) for name, rest in final if name == "RUN")
    assert [rest for name, rest in final if name == "COPY" and "--from=build" in rest] == ["--from=build /opt/venv /opt/venv"]


def test_the_builds_arguments_that_the_page_names_are_declared() -> None:
    page = (CHECKOUT / "docs" / "deploying.md").read_text(encoding="utf-8")
    [told] = re.findall(r"\((.*) as build arguments", page)
    declared = [rest for name, rest in stages(DEPLOY / "Dockerfile")[0] if name == "ARG"]
    assert re.findall(r"`(\w+)`", told) == declared


def test_the_image_says_whether_it_works_and_what_it_starts() -> None:
    final = dict(stages(DEPLOY / "Dockerfile")[-1])
    assert "grpc-health-check" in final["HEALTHCHECK"]
    assert "procurement_platform.definitions" in final["CMD"]
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["code"]["user"] == final["USER"]


def test_dagsters_home_may_be_read_only() -> None:
    """It makes these two where they are missing, and cannot in a file system that is read-only."""
    final = " ".join(rest for name, rest in stages(DEPLOY / "Dockerfile")[-1] if name in ("RUN", "ENV"))
    assert "DAGSTER_HOME=/opt/dagster " in final
    assert "install -d /opt/dagster/logs /opt/dagster/.logs_queue" in final


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    allowed = [line[1:] for line in (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    copied = [
        source
        for stage in stages(DEPLOY / "Dockerfile")
        for name, rest in stage
        if name == "COPY" and "--from" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]
    assert sorted(allowed) == sorted(copied)
    assert [each for each in copied if not (CHECKOUT / each).exists()] == []
    assert "\n*\n" in (CHECKOUT / ".dockerignore").read_text(encoding="utf-8")


def test_what_the_wheel_needs_is_copied(tmp_path: Path) -> None:
    """The build stage's own command, on what the build stage would have."""
    for name in ("LICENSE", "README.md", "dagster.yaml", "hatch_build.py", "pyproject.toml", "procurement_platform", "sql"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "stack").symlink_to(DEPLOY / "stack")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"], cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "dist").glob("*.whl"))) == 1


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    show = ["sh", "-c", 'echo "${DAGSTER_POSTGRES_PASSWORD:-none}"']
    given = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run([str(ENTRYPOINT), *show], env=given, check=False, capture_output=True, text=True)


def test_the_start_takes_dagsters_password_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    assert start(DAGSTER_POSTGRES_PASSWORD_FILE=str(tmp_path / "password")).stdout == "hunter2\n"
    assert start(**{PASSWORD: "hunter2"}).stdout == "hunter2\n"
    assert start().stdout == "none\n"


def test_the_start_says_which_file_it_cannot_read(tmp_path: Path) -> None:
    done = start(DAGSTER_POSTGRES_PASSWORD_FILE=str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"DAGSTER_POSTGRES_PASSWORD_FILE={tmp_path / 'nowhere'} cannot be read\n")
    both = start(**{PASSWORD: "hunter2", f"{PASSWORD}_FILE": "/x"})
    assert both.returncode == 1
    assert "hunter2" not in both.stderr


@pytest.fixture
def dagster_folder(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the deployment's dagster.yaml, whose PostgreSQL is the tests'."""
    assert home.database_url is not None
    parts = conninfo.conninfo_to_dict(home.database_url.get_secret_value())
    for name, value in (("HOST", ""), ("USER", parts["user"]), ("PASSWORD", ""), ("DB", parts["dbname"])):
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", str(value))
    monkeypatch.setenv("DAGSTER_STORAGE", str(tmp_path / "storage"))
    folder = tmp_path / "dagster"
    folder.mkdir()
    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    # The tests' server listens on a socket, which libpq finds by parameters; the port there has another number.
    there = f"      port: {parts['port']}\n      params: {{host: '{parts['host']}'}}\n"
    assert text.count("      port: 5432\n") == 1
    (folder / "dagster.yaml").write_text(text.replace("      port: 5432\n", there))
    return folder


def test_dagsters_own_schema_takes_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._config import process_config, resolve_to_config_type
    from dagster._core.instance.config import dagster_instance_config_schema, validate_concurrency_config

    for name in ("HOST", "USER", "PASSWORD", "DB"):
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", "x")
    given = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    schema = resolve_to_config_type(dagster_instance_config_schema())
    assert process_config(schema, given).success
    assert not process_config(schema, {**given, "run_monitorin": {}}).success
    validate_concurrency_config(given)


def test_an_instance_works_with_it_on_postgresql(dagster_folder: Path, tmp_path: Path) -> None:
    """A run of a real asset is in PostgreSQL, seen by a second instance; nothing but what steps print lies in files."""
    import dagster as dg
    from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage

    @dg.asset
    def seven() -> int:
        return 7

    with dg.DagsterInstance.from_config(str(dagster_folder)) as instance:
        assert isinstance(instance.run_storage, PostgresRunStorage)
        assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
        done = dg.materialize([seven], instance=instance, resources={"io_manager": dg.mem_io_manager})
        assert done.success
    with dg.DagsterInstance.from_config(str(dagster_folder)) as other:
        run = other.get_run_by_id(done.run_id)
        assert run is not None
        assert run.is_success
        assert other.get_latest_materialization_event(dg.AssetKey("seven")) is not None
    assert [path.name for path in dagster_folder.iterdir()] == ["dagster.yaml"]
    assert (tmp_path / "storage").is_dir()


def test_its_limits_are_those_that_are_meant(dagster_folder: Path) -> None:
    import dagster as dg
    from dagster._core.definitions.run_request import InstigatorType

    here = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
    with dg.DagsterInstance.from_config(str(dagster_folder)) as instance:
        limits = instance.get_concurrency_config()
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.max_concurrent_runs == 2
        assert limits.run_queue_config.tag_concurrency_limits == here["concurrency"]["runs"]["tag_concurrency_limits"]
        assert limits.pool_config.pool_granularity is not None
        assert limits.pool_config.pool_granularity.value == "op"
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["max_runtime_seconds"] == here["run_monitoring"]["max_runtime_seconds"]
        assert instance.telemetry_enabled is False
        sensors = {status.value: days for status, days in instance.get_tick_retention_settings(InstigatorType.SENSOR).items()}
        assert sensors == {"SKIPPED": 2, "STARTED": 30, "SUCCESS": 30, "FAILURE": 90}
