import datetime as dt

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.quality.crashes import KILLED, RunLog

DAY, OTHER = dt.date(2025, 12, 20), dt.date(2025, 12, 21)


@pytest.fixture
def log(database: Database) -> RunLog:
    return RunLog(database, "shop")


def test_a_run_that_succeeds_leaves_no_crash(log: RunLog) -> None:
    assert log.begin(DAY, "r1", "test") == []
    log.succeed(DAY, "r1")
    assert log.standing_crash(DAY) is None
    assert log.history() == []


def test_a_failure_stands_until_a_run_succeeds_and_is_remembered_for_ever(log: RunLog) -> None:
    log.begin(DAY, "r1", "test")
    log.fail(DAY, "r1", "net_demand", "no disk")
    crash = log.standing_crash(DAY)
    assert crash is not None
    assert (crash.run_id, crash.step, crash.message) == ("r1", "net_demand", "no disk")
    log.begin(DAY, "r2", "test")
    assert log.standing_crash(DAY) is None, "it runs: how it ends is not known yet"
    log.succeed(DAY, "r2")
    assert log.standing_crash(DAY) is None
    assert [c.run_id for c in log.history()] == ["r1"]


def test_recording_twice_is_recording_once(log: RunLog) -> None:
    log.begin(DAY, "r1", "test")
    for _ in range(2):
        log.fail(DAY, "r1", "intake", "why")
    assert len(log.history(DAY)) == 1


def test_a_failed_run_does_not_become_a_success_when_it_ends(log: RunLog) -> None:
    log.begin(DAY, "r1", "test")
    log.fail(DAY, "r1", "intake", "why")
    log.succeed(DAY, "r1")
    assert log.standing_crash(DAY) is not None


def test_a_run_that_never_began_can_fail(log: RunLog) -> None:
    log.fail(DAY, "r1", None, "no lock to be had")
    crash = log.standing_crash(DAY)
    assert crash is not None
    assert crash.step is None


def test_the_next_run_of_the_day_finds_the_killed_one(log: RunLog) -> None:
    log.begin(DAY, "r1", "test")
    log.at_step(DAY, "r1", "supplier_orders")
    log.begin(OTHER, "r9", "test")
    assert log.begin(DAY, "r2", "test") == ["r1"]
    [crash] = log.history(DAY)
    assert (crash.run_id, crash.step, crash.message) == ("r1", "supplier_orders", KILLED)
    assert log.running() == [(DAY, "r2"), (OTHER, "r9")] or log.running() == [(OTHER, "r9"), (DAY, "r2")]


def test_a_run_called_killed_stands_as_a_crash_and_a_finished_one_cannot_be(log: RunLog) -> None:
    log.begin(DAY, "r1", "test")
    log.killed(DAY, "r1")
    crash = log.standing_crash(DAY)
    assert crash is not None
    assert crash.message == KILLED
    log.begin(DAY, "r2", "test")
    log.succeed(DAY, "r2")
    log.killed(DAY, "r2")
    assert log.standing_crash(DAY) is None


def test_domains_do_not_share_their_runs(log: RunLog, database: Database) -> None:
    RunLog(database, "farm").fail(DAY, "r1", None, "why")
    assert log.history() == []
    assert log.standing_crash(DAY) is None
