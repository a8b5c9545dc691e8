"""The sensors' ticks, on a real instance and database: what they ask for, tell and remember, and what a tick that fails leaves."""

import datetime as dt
import json
import os
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest

from procurement_platform.definitions import defs
from procurement_platform.inbox.late import StaleDay
from procurement_platform.instance import prepare_dagster_home
from procurement_platform.platform import Platform, platform_for
from procurement_platform.procurement import sensors, service, stale
from procurement_platform.procurement.endings import JOB
from procurement_platform.procurement.handing_in import withdraw
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.stale import stale_days
from procurement_platform.quality.crashes import RunLog
from procurement_platform.settings import Settings, settings
from procurement_platform_tests.procurement.shop import Shop, count, order

TODAY = dt.datetime.now(dt.UTC).date()
DAY = TODAY - dt.timedelta(days=2)
Sensor = dg.SensorDefinition


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What an alert address was told; its port is the first entry's."""
    messages: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(500 if messages[0].get("refuse") else 200)
            self.end_headers()
            if not messages[0].get("refuse"):
                messages.append(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        messages.append({"port": server.server_port})
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield messages
        server.shutdown()
        thread.join()


@pytest.fixture
def desk(home: Settings, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0")
    monkeypatch.setenv("PROCUREMENT_ALERT_URLS", f"json://127.0.0.1:{told[0]['port']}/")
    monkeypatch.setenv("DAGSTER_HOME", str(prepare_dagster_home(home)))
    settings.cache_clear()
    shop = Shop(platform_for(settings()))
    shop.load()
    yield shop
    shop.platform.close()


@pytest.fixture
def instance(desk: Shop) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as found:
        yield found


def tick(sensor: Sensor, instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[list[dg.RunRequest], str, str | None]:
    """What a tick asks for, why it asks for nothing, and the cursor it leaves."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, sensor_name=sensor.name, definitions=defs) as context:
        result = sensor.evaluate_tick(context)
    return list(result.run_requests or ()), result.skip_message or "", result.cursor


def send(desk: Shop, day: dt.date = DAY, sku: str = "A") -> None:
    desk.put("orders", "DE", [order(f"{day}-1", sku, 5, ordered_at=f"{day}T12:00:00Z")], day=day)
    desk.put("stock", "DE", [count("A", 1)], day=day)


def ask(instance: dg.DagsterInstance) -> list[str | None]:
    return [request.partition_key for request in tick(sensors.late_files, instance)[0]]


def test_a_new_day_is_asked_for_once(desk: Shop, instance: dg.DagsterInstance) -> None:
    assert tick(sensors.late_files, instance)[1] == "every day is published from the files it has"
    send(desk)
    (request,), _, _ = tick(sensors.late_files, instance)
    assert request.partition_key == DAY.isoformat()
    assert request.run_key is not None
    assert request.run_key.startswith(f"{DAY}:")
    assert request.run_key.endswith(":1")
    assert request.tags["procurement/why"] == "never published"
    again, why, _ = tick(sensors.late_files, instance)
    assert again == []
    assert why.startswith(f"{DAY} failed and is tried again at ")


def test_any_day_up_to_today_is_asked_for_the_oldest_first(desk: Shop, instance: dg.DagsterInstance) -> None:
    for days in (-1, 0, 1, 35, 36):
        send(desk, TODAY - dt.timedelta(days=days))
    assert ask(instance) == [(TODAY - dt.timedelta(days=days)).isoformat() for days in (36, 35, 1, 0)]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_day_that_is_queued_or_running_is_not_asked_for(desk: Shop, instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    send(desk)
    job = defs.resolve_job_def(JOB)
    run = instance.create_run_for_job(job, tags={"dagster/partition": str(DAY)}, status=status)
    assert tick(sensors.late_files, instance)[:2] == ([], f"{DAY} is queued or running")
    instance.report_run_failed(run)
    assert ask(instance) == [DAY.isoformat()]


def test_a_run_that_ends_while_its_day_is_looked_at_is_not_asked_for_again(
    desk: Shop, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(desk)
    run = instance.create_run_for_job(defs.resolve_job_def(JOB), tags={"dagster/partition": str(DAY)}, status=dg.DagsterRunStatus.STARTED)

    def slow_look(platform: Platform, now: dt.datetime, old: Sequence[dt.date]) -> list[StaleDay]:
        found = stale_days(platform, now, old)
        service.run_day(settings(), DAY)  # what the run under way does
        instance.report_run_canceled(run)
        return found

    monkeypatch.setattr(sensors, "stale_days", slow_look)
    assert tick(sensors.late_files, instance)[:2] == ([], f"{DAY} is queued or running")
    monkeypatch.setattr(sensors, "stale_days", stale_days)
    assert ask(instance) == []


def test_a_published_day_is_asked_for_again_for_a_late_and_for_a_withdrawn_file(desk: Shop, instance: dg.DagsterInstance) -> None:
    send(desk)
    service.run_day(settings(), DAY)
    assert ask(instance) == []
    desk.put("stock", "GB", [count("A", 1)], day=DAY)
    assert ask(instance) == [DAY.isoformat()]
    service.run_day(settings(), DAY)
    withdraw(desk.platform, "GB.avro", "a test", DAY)
    assert ask(instance) == [DAY.isoformat()]


def test_a_file_of_long_ago_that_is_rewritten_in_place_is_found_within_a_known_number_of_looks(
    desk: Shop, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder says nothing of it. Each look takes the next dates from where the last one ended, as its cursor says."""
    old = [DAY - dt.timedelta(days=n) for n in (60, 50, 40)]
    path = desk.put("orders", "DE", [order("1", "A", 10, ordered_at=f"{old[0]}T09:00:00Z")], form="csv", day=old[0])
    service.run_day(settings(), old[0])
    for date in old[1:]:
        (desk.inbox / "orders" / date.isoformat()).mkdir(parents=True)
    folder = path.parent.stat()
    with path.open("r+") as file:  # not renamed into place: the folder stays as it is
        text = file.read().replace(",10,", ",20,")
        file.seek(0)
        file.write(text)
    os.utime(path.parent, (folder.st_atime, folder.st_mtime))
    monkeypatch.setattr(stale, "OLD_DATES_PER_LOOK", 1)
    cursor: str | None = old[0].isoformat()
    looked, asked = [], []
    for _ in old:
        found, _, cursor = tick(sensors.late_files, instance, cursor)
        looked.append(cursor)
        asked.append(found)
    assert looked == [date.isoformat() for date in (old[1], old[2], old[0])]
    assert [len(each) for each in asked] == [0, 0, 1]
    assert asked[2][0].partition_key == old[0].isoformat()


def test_failed_checks_are_told_once_and_again_when_they_are_over(desk: Shop, instance: dg.DagsterInstance, told: list[Any]) -> None:
    send(desk, sku="UNHEARD-OF")
    service.run_day(settings(), DAY)
    _, said, cursor = tick(sensors.alerts, instance)
    (_, message) = told
    assert message["title"] == said
    assert message["title"].startswith(f"Checks of {DAY}: ")
    assert "order_lines unknown_product: 1 row, 0 allowed. Row " in message["message"]
    assert message["message"].endswith(f"The report: procurement exceptions {DAY}")
    service.run_day(settings(), DAY)
    cursor = tick(sensors.alerts, instance, cursor)[2]
    assert len(told) == 2
    send(desk)
    service.run_day(settings(), DAY)
    tick(sensors.alerts, instance, cursor)
    assert "order_lines unknown_product: no longer" in told[-1]["message"]


def test_an_alert_that_nobody_takes_waits_for_the_next_tick(desk: Shop, instance: dg.DagsterInstance, told: list[Any]) -> None:
    send(desk)
    service.run_day(settings(), DAY)
    told[0]["refuse"] = True
    _, why, cursor = tick(sensors.alerts, instance)
    assert why.startswith("nobody took the alert")
    told[0]["refuse"] = False
    tick(sensors.alerts, instance, cursor)
    assert len(told) == 2


def test_a_crash_that_left_no_trace_is_recorded_and_told(desk: Shop, instance: dg.DagsterInstance, told: list[Any]) -> None:
    run = instance.create_run_for_job(defs.resolve_job_def(JOB), tags={"dagster/partition": str(DAY)}, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "out of memory")
    _, said, cursor = tick(sensors.crashes, instance)
    assert said == f"{DAY}: failed without a trace"
    assert tick(sensors.crashes, instance, cursor)[1] == "no new crash"
    tick(sensors.alerts, instance)
    assert "exceptions pipeline_crash: CRITICAL, the day's last run crashed: out of memory" in told[-1]["message"]


def test_a_killed_run_is_found_without_a_daemon_knowing(desk: Shop, instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(defs.resolve_job_def(JOB), tags={"dagster/partition": str(DAY)}, status=dg.DagsterRunStatus.STARTED)
    RunLog(desk.platform.database, DOMAIN).begin(DAY, run.run_id, "killed")
    assert tick(sensors.crashes, instance)[1] == f"{DAY}: killed"
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE


def test_missing_files_are_told_once(desk: Shop, instance: dg.DagsterInstance, told: list[Any]) -> None:
    send(desk, TODAY - dt.timedelta(days=1))
    tick(sensors.cut_off, instance)
    first = len(told)
    assert first > 1
    assert all(message["title"].startswith("Files of ") and message["title"].endswith(" missing") for message in told[1:])
    assert tick(sensors.cut_off, instance)[1] == "no file is newly missing" or len(told) > first  # a cut-off may pass meanwhile


@pytest.mark.parametrize("sensor", sensors.SENSORS, ids=lambda sensor: str(sensor.name))
def test_a_tick_without_a_database_is_one_line_and_loses_nothing(home: Settings, monkeypatch: pytest.MonkeyPatch, sensor: Sensor) -> None:
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/none")
    settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def(JOB)
        run = instance.create_run_for_job(job, tags={"dagster/partition": str(DAY)}, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
        requests, why, cursor = tick(sensor, instance)
    assert requests == []
    assert "out of reach" in why
    assert "hunter2" not in why
    assert "\n" not in why
    assert cursor is None
