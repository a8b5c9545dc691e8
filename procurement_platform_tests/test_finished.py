"""Following finished runs on a real Dagster instance: each is handled once, and none is lost."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest

from procurement_platform.finished import FIRST_LOOK, OVERLAP, RUNS_PER_TICK, Cursor, finished_runs, handle_runs

LONG_AGO = Cursor(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(instance: dg.DagsterInstance, *, fails: bool = False) -> str:
    @dg.op
    def work() -> None:
        if fails:
            raise ValueError

    @dg.job(logger_defs={"console": dg.LoggerDefinition(lambda _: __import__("logging").getLogger("quiet"))})
    def made() -> None:
        work()

    return made.execute_in_process(instance=instance, raise_on_error=False).run_id


def follow(instance: dg.DagsterInstance, cursor: Cursor, handled: list[str]) -> Cursor:
    for after in handle_runs(instance, cursor, lambda record: handled.append(record.dagster_run.run_id)):
        cursor = after
    return Cursor.parse(str(cursor), dt.datetime.now(dt.UTC))  # as it is kept between ticks


def test_each_run_is_handled_once_in_the_order_in_which_they_ended(instance: dg.DagsterInstance) -> None:
    handled: list[str] = []
    ids = [run(instance), run(instance, fails=True)]
    cursor = follow(instance, LONG_AGO, handled)
    cursor = follow(instance, cursor, handled)
    ids.append(run(instance))
    cursor = follow(instance, cursor, handled)
    assert follow(instance, cursor, handled) == cursor
    assert handled == ids


def test_a_run_whose_handling_failed_comes_again_and_those_before_it_do_not(instance: dg.DagsterInstance) -> None:
    ids, cursor = [run(instance) for _ in range(3)], LONG_AGO
    handled: list[str] = []

    def handle(record: dg.RunRecord) -> None:
        if record.dagster_run.run_id == ids[1] and handled == ids[:1]:
            handled.append("failed")
            raise RuntimeError
        handled.append(record.dagster_run.run_id)

    ticks = handle_runs(instance, cursor, handle)
    cursor = next(ticks)
    with pytest.raises(RuntimeError):
        next(ticks)
    for after in handle_runs(instance, cursor, handle):
        cursor = after
    assert handled == [ids[0], "failed", ids[1], ids[2]]


def test_only_the_statuses_asked_for(instance: dg.DagsterInstance) -> None:
    run(instance)
    failed = run(instance, fails=True)
    records = finished_runs(instance, LONG_AGO, [dg.DagsterRunStatus.FAILURE])
    assert [record.dagster_run.run_id for record in records] == [failed]


def test_a_run_that_still_runs_is_not_finished(instance: dg.DagsterInstance) -> None:
    instance.create_run_for_job(dg.GraphDefinition(name="empty").to_job(), status=dg.DagsterRunStatus.STARTED)
    assert finished_runs(instance, LONG_AGO) == []


def test_more_runs_than_a_tick_takes_are_all_handled(instance: dg.DagsterInstance) -> None:
    handled: list[str] = []
    job = dg.GraphDefinition(name="empty").to_job()
    ids = [instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS).run_id for _ in range(RUNS_PER_TICK * 2 + 3)]
    cursor = LONG_AGO
    for _ in range(3):
        cursor = follow(instance, cursor, handled)
    assert sorted(handled) == sorted(ids)


def test_one_whose_end_is_written_late_is_not_passed_over() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    cursor = Cursor(now - dt.timedelta(hours=1)).past("a", now)
    assert cursor == Cursor(now - OVERLAP, {"a": now})
    assert cursor.past("b", now + OVERLAP * 2) == Cursor(now + OVERLAP, {"b": now + OVERLAP * 2})
    assert cursor.past("late", now - OVERLAP / 2).after == cursor.after


@pytest.mark.parametrize("text", [None, "", "nonsense", "[]", '{"after": 5, "seen": {}}', '{"after": "2026-01-01"}'])
def test_a_cursor_that_is_not_there_or_damaged_begins_a_day_ago(text: str | None) -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert Cursor.parse(text, now) == Cursor(now - FIRST_LOOK)
