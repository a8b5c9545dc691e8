"""What Dagster loads: the graph as a committed text, and that it loads quickly, quietly and without any connection."""

import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._cli.asset import asset_materialize_command

from procurement_platform.definitions import build_definitions, defs
from procurement_platform.instance import MODULE, prepare_dagster_home
from procurement_platform.partitions import daily
from procurement_platform.procurement.assets import KEYS
from procurement_platform.procurement.assets.maintenance import GROUP as MAINTENANCE_GROUP
from procurement_platform.procurement.assets.maintenance import MAINTENANCE
from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings

SNAPSHOT = Path(__file__).with_name("definitions.txt")


def described(definitions: dg.Definitions) -> str:
    """The definitions as text: what is there, what it reads, how it is checked. Written again with UPDATE_SNAPSHOTS=1."""
    graph = definitions.resolve_asset_graph()
    lines = ["assets, and what each reads:"]
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        lines.append(f"  {key.to_user_string()} ({node.group_name}; {', '.join(sorted(node.kinds))}; {', '.join(node.owners)})")
        lines += [f"    < {parent.to_user_string()}" for parent in sorted(node.parent_keys)]
    lines.append("checks:")
    for check in sorted(graph.asset_check_keys):
        spec = graph.get_check_spec(check)
        lines.append(f"  {check.asset_key.to_user_string()}: {check.name}{' (blocking)' if spec.blocking else ''}")
    lines.append("sensors:")
    for sensor in sorted(definitions.sensors or (), key=lambda each: str(each.name)):
        assert isinstance(sensor, dg.SensorDefinition)
        lines.append(f"  {sensor.name}: every {sensor.minimum_interval_seconds} s, {sensor.default_status.value}")
    lines.append("schedules:")
    for schedule in definitions.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        lines.append(f"  {schedule.name}: {schedule.cron_schedule} {schedule.execution_timezone}, {schedule.default_status.value}")
    lines.append("jobs:")
    lines += [f"  {job.name}" for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")]
    return "\n".join(lines) + "\n"


def test_the_definitions_are_those_that_were_agreed_on() -> None:
    actual = described(defs)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(actual)
    assert actual == SNAPSHOT.read_text()


def test_every_asset_is_daily_described_owned_and_due() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.kinds, key
        if node.group_name != MAINTENANCE_GROUP:
            assert node.partitions_def is daily, key
            assert node.freshness_policy is not None, key
    assert graph.get_all_asset_keys() == KEYS | {asset.key for asset in MAINTENANCE}


def test_maintenance_has_no_run_dates_and_is_no_part_of_the_day() -> None:
    graph = defs.resolve_asset_graph()
    assert all(graph.get(asset.key).partitions_def is None for asset in MAINTENANCE)
    day = set(defs.resolve_job_def("procurement_day").asset_layer.executable_asset_keys)
    assert day.isdisjoint(asset.key for asset in MAINTENANCE)


def test_every_check_belongs_to_run_dates_and_says_what_it_checks() -> None:
    graph = defs.resolve_asset_graph()
    for check in graph.asset_check_keys:
        spec = graph.get_check_spec(check)
        assert spec.partitions_def is daily, check
        assert spec.description, check


def test_a_test_may_replace_the_day() -> None:
    replaced = build_definitions({"day": dg.ResourceDefinition.hardcoded_resource("mine")})
    assert replaced.resources is not None
    assert replaced.resources["day"] is not None
    assert set(replaced.resources) == {"day"}


LOADS = """
import socket, sys, time
def refuse(*arguments): raise SystemExit("a connection was tried")
start = time.process_time()
socket.socket.connect = refuse
import psycopg; psycopg.connect = refuse
from procurement_platform.definitions import defs
defs.resolve_all_job_defs()
print(time.process_time() - start)
"""


def test_they_load_without_a_database_a_word_or_much_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "PROCUREMENT_HOME": str(home), "PYTHONWARNINGS": "default"}
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOADS], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not home.exists()
    assert float(done.stdout) < 10, f"{time.monotonic() - start:.1f} s of wall time"


@pytest.mark.parametrize("name", ["procurement_day"])
def test_the_day_is_a_job_on_the_daily_partitions(name: str) -> None:
    assert defs.resolve_job_def(name).partitions_def == daily


@pytest.mark.filterwarnings("ignore")  # Dagster's own, of its own command
@pytest.mark.parametrize("date", ["2024-12-31", "2999-01-01"])
def test_dagsters_own_command_refuses_a_date_without_a_partition_as_the_readme_says(date: str, tmp_path: Path) -> None:
    given = ["-m", MODULE, "--select", "group:procurement", "--partition", date]
    done = CliRunner().invoke(asset_materialize_command, given, env={"DAGSTER_HOME": str(prepare_dagster_home(Settings(home=tmp_path)))})
    readme = " ".join((CHECKOUT / "README.md").read_text(encoding="utf-8").split())
    told = "All selected assets must have a PartitionsDefinition containing the passed partition key"
    assert told in readme
    assert f"{told} `{date}`" in str(done.exception)
