"""The day by Dagster's own means: `procurement ui` (webserver and daemon) driven over GraphQL, and Dagster's own commands.

One home and one UI for the whole module; each test has run dates of its own.
"""

import contextlib
import datetime as dt
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from procurement_platform.database.embedded import stop
from procurement_platform.database.locks import DayLock
from procurement_platform.instance import MODULE, prepare_dagster_home
from procurement_platform.platform import Platform
from procurement_platform.procurement import service
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.project import CHECKOUT
from procurement_platform.quality.crashes import RunLog
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import Shop, count, order

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

PATIENCE = 180  # seconds until what should happen counts as not happening, on a busy machine
STILL = 20  # looks, a tenth of a second apart, at a sensor that stands
SETTLE = 3  # how long a run watches a fresh file: the time in which one is killed
BIN = Path(sys.executable).parent
SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": MODULE}
MATERIALISE = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
BACKFILL_STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
RUN_STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
RUNS_OF = """
query($date: String!) { runsOrError(filter: {tags: [{key: "dagster/partition", value: $date}]}) {
    ... on Runs { results { runId status tags { key value } } } } }
"""
GROUP = 'query { assetNodes(group: {groupName: "procurement", %s}) { assetKey { path } } }'
SENSOR = """
query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { id status ticks(limit: 1) { id status } } } } }
"""
STOP = "mutation($id: String!) { stopSensor(id: $id) { __typename ... on PythonError { message } } }"
START = "mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } } }"
SECRET = "hunter2"  # noqa: S105 -- what the UI must not show, though the platform uses it
# What there is to see of a run and of the platform.
SHOWN_OF_RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { runId runConfigYaml runConfig tags { key value } eventConnection { events {
    __typename ... on MessageEvent { message level } ... on ErrorEvent { error { message stack causes { message stack } } }
    ... on MaterializationEvent { metadataEntries { label ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr }
        ... on PathMetadataEntry { path } ... on JsonMetadataEntry { jsonString } } }
    ... on LogsCapturedEvent { fileKey externalStdoutUrl externalStderrUrl } } } } } }
"""
SHOWN_OF_SENSOR = """
query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor { name metadata { __typename } sensorState {
    ticks(limit: 50) { status skipReason cursor error { message stack } logEvents { events { message } } } } } } }
"""
SHOWN_OF_PLATFORM = (
    "query { instance { info daemonHealth { allDaemonStatuses { daemonType lastHeartbeatErrors { message stack } } } } }",
    """query { repositoriesOrError { ... on RepositoryConnection { nodes { name displayMetadata { key value } allTopLevelResourceDetails {
        name resourceType configuredValues { key value type } configFields { name defaultValueAsJson description } } } } } }""",
    """query { workspaceOrError { ... on Workspace { locationEntries { name displayMetadata { key value } locationOrLoadError {
        ... on RepositoryLocation { name } ... on PythonError { message stack } } } } } }""",
    "query { version }",
)
Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str) -> Found:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Live:
    """A home in which markets put files, and the UI that works on it."""

    shop: Shop
    port: int
    environment: Mapping[str, str]
    log: Path

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The first field of a GraphQL answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"query": query, "variables": variables}).encode()
        with contextlib.closing(connection):
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status == http.HTTPStatus.OK, text
        data = json.loads(text)["data"]
        found: dict[str, Any] = next(iter(data.values()))
        return found

    def is_up(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return bool(self.assets())
        return False

    def assets(self) -> list[dict[str, Any]]:
        """The group's assets as GraphQL selects them."""
        selector = ", ".join(
            f"{name}: {json.dumps(value)}" for name, value in (("repositoryName", "__repository__"), ("repositoryLocationName", MODULE))
        )
        nodes: Any = self.ask(GROUP % selector)
        return [node["assetKey"] for node in nodes]

    def materialise(self, day: dt.date) -> str:
        """Materialises the group for a run date, as the UI's button does; the run's id."""
        target = {**SELECTOR, "jobName": "__ASSET_JOB", "assetSelection": self.assets()}
        tags = [{"key": "dagster/partition", "value": day.isoformat()}]
        answer = self.ask(MATERIALISE, params={"selector": target, "mode": "default", "executionMetadata": {"tags": tags}})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def ended(self, run_id: str) -> str:
        """A run's status once it has ended."""
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        return eventually(lambda: s if (s := self.ask(RUN_STATUS, id=run_id)["status"]) in ended else None, f"run {run_id}") or ""

    def runs(self, day: dt.date) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(RUNS_OF, date=day.isoformat())["results"]
        return found

    def own_runs(self, day: dt.date) -> list[dict[str, Any]]:
        """Those that no sensor asked for."""
        return [run for run in self.runs(day) if "dagster/sensor_name" not in {tag["key"] for tag in run["tags"]}]

    @contextlib.contextmanager
    def watching_for_late_files(self) -> Iterator[None]:
        """The sensor works as long as the block: the other tests run their days themselves."""
        answer = self.ask(START, selector={**SELECTOR, "sensorName": "late_files"})
        assert answer["__typename"] == "Sensor", answer
        try:
            yield
        finally:
            self.leave_late_files()

    def leave_late_files(self) -> None:
        state = eventually(self.ticked, "the sensor's first tick")
        assert state["status"] == "RUNNING"  # from the start, without anybody's doing
        looks = 0

        def stands_still() -> bool:
            """A tick that ends as the sensor is stopped may write that it runs: it is told again, until it stands for a while."""
            nonlocal looks
            state = self.ticked()
            looks = looks + 1 if state and state["status"] == "STOPPED" and state["ticks"][0]["status"] != "STARTED" else 0
            if state and state["status"] == "RUNNING":
                answer = self.ask(STOP, id=state["id"])
                assert answer["__typename"] == "StopSensorMutationResult", answer
            return looks == STILL

        eventually(stands_still, "the sensor to stop")

    def ticked(self) -> dict[str, Any] | None:
        """The sensor's state, once the daemon has recorded it: told to stop before, webserver and daemon both record one, and one fails."""
        state: dict[str, Any] = self.ask(SENSOR, selector={**SELECTOR, "sensorName": "late_files"})["sensorState"]
        return state if state["ticks"] else None

    def send(self, day: dt.date, units: int = 5, *, fresh: bool = False, suffix: str = "") -> None:
        """Puts a day's files into the inbox, a minute old unless they are to be fresh."""
        noon = f"{day}T12:00:00Z"
        lines = [order(f"{day}{suffix}-1", "A", units, ordered_at=noon), order(f"{day}{suffix}-2", "N", 1, ordered_at=noon)]
        sent = [self.shop.put("orders", "DE", lines, day=day, suffix=suffix), self.shop.put("stock", "DE", [count("A", 1)], day=day)]
        for path in sent if not fresh else ():
            os.utime(path, (time.time() - 60, time.time() - 60))

    def run(self, *command: object, home: Path | None = None, path: Path = CHECKOUT, ok: bool = True) -> str:
        """Runs a command as a user would; what it wrote, standard error included."""
        environment = {**self.environment, **({"PROCUREMENT_HOME": str(home)} if home else {})}
        done = subprocess.run(
            [str(BIN / str(command[0])), *map(str, command[1:])],
            cwd=path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is ok, done.stdout
        return done.stdout

    def outputs(self, day: dt.date) -> dict[str, bytes]:
        """What buyers read of a day."""
        return outputs(self.shop.platform.settings.home, day)


def outputs(home: Path, day: dt.date) -> dict[str, bytes]:
    folders = (home / "lake/output/supplier_orders" / day.isoformat(), home / f"lake/logs/exceptions/date={day}")
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.glob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("live")
    settings = Settings(_env_file=None, home=home)
    prepare_dagster_home(settings)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROCUREMENT_", "DAGSTER_"))}
    environment = {
        **kept,
        "PROCUREMENT_HOME": str(home),
        "PROCUREMENT_SETTLE_SECONDS": str(SETTLE),
        "PROCUREMENT_SENSOR_SECONDS": "1",
        "PROCUREMENT_ALERT_URLS": f"json://ann:{SECRET}@127.0.0.1:1/",  # where nobody listens: what fails is told with its reason
        "PROCUREMENT_TRINO_PASSWORD": SECRET,
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_MODULE_NAME": MODULE,
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shop = Shop(Platform(settings))
    shop.load()
    log = home / "ui.log"
    with log.open("wb") as output:
        ui = subprocess.Popen([BIN / "procurement", "ui", "--port", str(port)], cwd=CHECKOUT, env=environment, stdout=output, stderr=output)
    made = Live(shop, port, environment, log)
    try:
        eventually(made.is_up, f"the UI, which says {log.read_text()}")
        made.leave_late_files()
        yield made
    finally:
        ui.send_signal(signal.SIGINT)
        ui.wait(60)
        shop.platform.close()
        stop(settings)


def by_command(live: Live, days: Sequence[dt.date], home: Path) -> dict[dt.date, dict[str, bytes]]:
    """The same files run by `procurement backfill` in another home."""
    shop = Shop(Platform(Settings(_env_file=None, home=home)))
    shop.load()
    try:
        for feed in ("orders", "stock"):
            for day in days:
                source = live.shop.inbox / feed / day.isoformat()
                target = shop.inbox / feed / day.isoformat()
                target.mkdir(parents=True)
                for path in source.iterdir():
                    (target / path.name).write_bytes(path.read_bytes())
                    os.utime(target / path.name, (time.time() - 60, time.time() - 60))
        live.run("procurement", "backfill", days[0], days[-1], home=home)
        return {day: outputs(home, day) for day in days}
    finally:
        shop.platform.close()
        stop(shop.platform.settings)


def test_a_day_and_a_backfill_by_the_ui_equal_the_commands_byte_for_byte(live: Live, tmp_path: Path) -> None:
    days = [dt.date(2025, 6, 2) + dt.timedelta(days=n) for n in range(4)]
    for number, day in enumerate(days):
        live.send(day, 5 + 7 * number)
    run_id = live.materialise(days[0])
    answer = live.ask(BACKFILL, params={"assetSelection": live.assets(), "partitionNames": [day.isoformat() for day in days[1:]]})
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    expected = by_command(live, days, tmp_path / "other")
    assert live.ended(run_id) == "SUCCESS"
    over = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED", "COMPLETED")
    status = eventually(lambda: s if (s := live.ask(BACKFILL_STATUS, id=answer["backfillId"])["status"]) in over else None, "the backfill")
    assert status == "COMPLETED_SUCCESS"
    assert {day: live.outputs(day) for day in days} == expected
    assert all(set(files) == {"S1.csv", "exceptions.csv"} for files in expected.values())


def test_the_ui_shows_no_secret(live: Live) -> None:
    day = dt.date(2025, 6, 20)
    live.send(day)
    run_id = live.materialise(day)
    assert live.ended(run_id) == "SUCCESS"
    alerts = {"selector": {**SELECTOR, "sensorName": "alerts"}}

    def told() -> str | None:
        ticks = json.dumps(live.ask(SHOWN_OF_SENSOR, **alerts))
        return ticks if "nobody took the alert" in ticks else None

    shown = [eventually(told, "an alert that nobody takes"), json.dumps(live.ask(SHOWN_OF_RUN, id=run_id))]
    shown += [json.dumps(live.ask(query)) for query in SHOWN_OF_PLATFORM]
    assert "order_lines" in shown[1]
    for text in shown:
        assert SECRET not in text
    written = [path for path in live.shop.platform.settings.home.rglob("*") if path.is_file() and "postgres" not in path.parts]
    assert [path for path in written if SECRET.encode() in still_there(path)] == []


def still_there(path: Path) -> bytes:
    """What a file holds: Dagster's databases have files that come and go."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def test_a_late_file_runs_its_day_again(live: Live) -> None:
    yesterday = live.shop.platform.settings.today() - dt.timedelta(days=1)
    live.send(yesterday)
    with live.watching_for_late_files():
        first = eventually(lambda: live.shop.platform.days.get(DOMAIN, yesterday), "the first run of the day")
        live.send(yesterday, 500, suffix="__late")

        def again() -> bool:
            day = live.shop.platform.days.get(DOMAIN, yesterday)
            return day is not None and day.run_id != first.run_id

        eventually(again, "the run for the late file")
    demand = {(r["market"], r["sku"]): r["gross_demand"] for r in service.demand(live.shop.platform, yesterday)}
    assert demand["DE", "A"] == 5 + 500
    tags = {t["key"]: t["value"] for run in live.runs(yesterday) for t in run["tags"] if t["key"].startswith("procurement/")}
    assert tags["procurement/attempt"] == "1"


def test_a_killed_run_is_noticed_told_and_gone_after_the_next(live: Live) -> None:
    day = dt.date(2025, 7, 7)
    live.send(day, fresh=True)
    run_id = live.materialise(day)
    os.kill(eventually(lambda: process_of(live, run_id), "the run to hold its day"), signal.SIGKILL)
    assert live.ended(run_id) == "FAILURE"  # by the sensor: Dagster itself would say for hours that it runs
    assert "PIPELINE_CRASH" in live.run("procurement", "exceptions", day, "--format", "csv")
    eventually(lambda: b"PIPELINE_CRASH" in live.outputs(day).get("exceptions.csv", b""), "the crash in the report")
    assert live.ended(live.materialise(day)) == "SUCCESS"
    assert b"PIPELINE_CRASH" not in live.outputs(day)["exceptions.csv"]
    assert [crash.run_id for crash in RunLog(live.shop.platform.database, DOMAIN).history(day)] == [run_id]


def process_of(live: Live, run_id: str) -> int | None:
    """The process that holds a run's day: the lock's connection says so."""
    with live.shop.platform.database.transaction() as connection:
        names = connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()
    found = [m for (name,) in names if (m := re.match(rf"Dagster run {run_id[:8]} *, process (\d+)", name or ""))]
    return int(found[0][1]) if found else None


def test_runs_of_one_day_queue_and_another_day_runs_beside(live: Live) -> None:
    day, other = dt.date(2025, 8, 4), dt.date(2025, 8, 11)
    for each in (day, other):
        live.send(each)
    with DayLock.acquire(live.shop.platform.database, DOMAIN, day, "ann's run"):
        first, second, beside = live.materialise(day), live.materialise(day), live.materialise(other)
        assert live.ended(beside) == "SUCCESS"
        eventually(lambda: live.ask(RUN_STATUS, id=first)["status"] == "STARTED", "the first run to wait for its day")
        assert live.ask(RUN_STATUS, id=second)["status"] == "QUEUED"
        assert "is being worked on by ann's run" in live.run("procurement", "run", day, ok=False)  # a command does not wait
    assert [live.ended(run_id) for run_id in (first, second)] == ["SUCCESS"] * 2
    assert RunLog(live.shop.platform.database, DOMAIN).history(day) == []


DG = ("dg", "launch", "--assets", "group:procurement")
MATERIALIZE = ("dagster", "asset", "materialize", "--select", "group:procurement")


@pytest.mark.parametrize(
    ("day", "command"),
    [
        pytest.param(dt.date(2025, 9, 1), DG, id="dg launch"),
        pytest.param(dt.date(2025, 9, 8), (*MATERIALIZE, "-m", MODULE), id="dagster -m"),
        pytest.param(dt.date(2025, 9, 15), MATERIALIZE, id="dagster in an activated shell"),
    ],
)
def test_dagsters_own_commands_run_a_day(live: Live, day: dt.date, command: Sequence[str]) -> None:
    live.send(day)
    said = live.run(*command, "--partition", day)
    assert "vanishes" not in said
    assert set(live.outputs(day)) == {"S1.csv", "exceptions.csv"}
    assert [run["status"] for run in live.own_runs(day)] == ["SUCCESS"]  # in the UI like any other


def test_a_run_on_an_instance_that_vanishes_says_so(live: Live, tmp_path: Path) -> None:
    day = dt.date(2025, 9, 22)
    live.send(day)
    bare = replace(live, environment={k: v for k, v in live.environment.items() if not k.startswith("DAGSTER_")})
    said = bare.run(*MATERIALIZE, "-m", MODULE, "--partition", day, path=tmp_path)
    assert "This run's Dagster instance vanishes with it" in said
    assert set(live.outputs(day)) == {"S1.csv", "exceptions.csv"}
    assert live.own_runs(day) == []


def test_the_ui_writes_no_error_and_no_warning(live: Live) -> None:
    said = live.log.read_text() + (live.shop.platform.settings.dagster_home / "ui.log").read_text()
    assert [line for line in said.splitlines() if re.search("Traceback|Error|Warning:", line)] == []
