"""The Dagster home of a platform home, and its copy of dagster.yaml."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from procurement_platform.errors import ConfigurationError
from procurement_platform.instance import dagster_environment, prepare_dagster_home
from procurement_platform.project import project_file
from procurement_platform.settings import Settings


def test_the_folder_is_made_with_the_projects_settings(tmp_path: Path) -> None:
    folder = prepare_dagster_home(Settings(home=tmp_path / "a" / "home"))

    assert folder == tmp_path / "a" / "home" / "dagster"
    assert (folder / "dagster.yaml").read_bytes() == project_file("dagster.yaml").read_bytes()
    assert [path.name for path in folder.iterdir()] == ["dagster.yaml"]


def test_an_edited_copy_is_refreshed_and_an_equal_one_left_alone(tmp_path: Path) -> None:
    copy = prepare_dagster_home(Settings(home=tmp_path)) / "dagster.yaml"
    before = copy.stat()
    prepare_dagster_home(Settings(home=tmp_path))
    assert copy.stat() == before

    copy.write_text("telemetry: {enabled: true}\n")
    prepare_dagster_home(Settings(home=tmp_path))
    assert copy.read_bytes() == project_file("dagster.yaml").read_bytes()


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match="set PROCUREMENT_HOME"):
        prepare_dagster_home(Settings(home=tmp_path / "home"))


@pytest.mark.parametrize("name", ["really?", "all*", "a[b]"])
def test_a_home_that_dagster_misreads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="which Dagster does not take as it is"):
        prepare_dagster_home(Settings(home=tmp_path / name))
    assert not (tmp_path / name).exists()


def test_two_homes_have_two_instances(tmp_path: Path) -> None:
    one, two = (dagster_environment(Settings(home=tmp_path / name)) for name in ("one", "two"))
    assert one["DAGSTER_HOME"] != two["DAGSTER_HOME"]
    assert one["DAGSTER_MODULE_NAME"] == two["DAGSTER_MODULE_NAME"] == "procurement_platform.definitions"


@pytest.mark.parametrize(("home", "code"), [("home", 0), ("file/home", 1)])
def test_the_activate_script_gets_the_folder_or_one_line(tmp_path: Path, home: str, code: int) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "procurement_platform.instance"],
        cwd=tmp_path,
        env={"PROCUREMENT_HOME": home, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    if code:
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
    else:
        assert done.stdout == f"{tmp_path / 'home' / 'dagster'}\n"
        assert done.stderr == ""


def test_dagster_accepts_every_setting(tmp_path: Path) -> None:
    """Dagster validates the file when it opens an instance; the limits are then those that were meant."""
    from dagster import DagsterInstance

    home = prepare_dagster_home(Settings(home=tmp_path))
    with DagsterInstance.from_config(str(home)) as instance:
        limits = instance.get_concurrency_config()
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.tag_concurrency_limits == [
            {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        ]
        assert limits.pool_config.pool_granularity is not None
        assert limits.pool_config.pool_granularity.value == "op"
        assert instance.run_monitoring_enabled
        assert instance.telemetry_enabled is False
        assert Path(instance.root_directory) == home


def test_the_workspace_names_the_module_that_pyproject_names() -> None:
    import tomllib

    pyproject = tomllib.loads(project_file("pyproject.toml").read_text(encoding="utf-8"))
    workspace = yaml.safe_load(project_file("workspace.yaml").read_text(encoding="utf-8"))
    module = dagster_environment(Settings())["DAGSTER_MODULE_NAME"]
    assert workspace == {"load_from": [{"python_module": module}]}
    assert pyproject["tool"]["dagster"]["module_name"] == module
    assert pyproject["tool"]["dg"]["project"]["code_location_target_module"] == module
