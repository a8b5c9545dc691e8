import datetime as dt
from collections.abc import Iterator

import pytest

from procurement_platform.dayrun import DayRun, describe
from procurement_platform.errors import DayBusy, LockLost, ProcurementError
from procurement_platform.platform import Platform
from procurement_platform.settings import Settings

DAY = dt.date(2025, 12, 20)


@pytest.fixture
def platform(home: Settings) -> Iterator[Platform]:
    platform = Platform(home)
    yield platform
    platform.close()


def run(platform: Platform, run_id: str = "r1") -> DayRun:
    return DayRun(platform, "shop", DAY, run_id, launched_by=f"test {run_id}")


def test_nothing_is_locked_before_the_first_step(platform: Platform) -> None:
    first, second = run(platform, "r1"), run(platform, "r2")
    with second.step("one"):
        pass
    first.guard()
    first.close()
    second.close()


def test_a_day_has_one_run_at_a_time_and_the_holder_is_named(platform: Platform) -> None:
    first, second = run(platform, "r1"), run(platform, "r2")
    with first.step("one"), pytest.raises(DayBusy, match="test r1"), second.step("one"):
        pass
    first.close()
    with second.step("one"):
        pass
    second.close()
    assert second.log.history() == []


@pytest.mark.parametrize(
    ("problem", "told"),
    [(ValueError("odd"), "ValueError: odd"), (KeyboardInterrupt(), "the run was interrupted"), (SystemExit(3), "SystemExit: 3")],
)
def test_whatever_stops_a_step_is_the_days_crash(platform: Platform, problem: BaseException, told: str) -> None:
    stopped = run(platform)
    with pytest.raises(type(problem)), stopped.step("one"):
        raise problem
    stopped.close()
    crash = stopped.log.standing_crash(DAY)
    assert crash is not None
    assert crash.step == "one"
    assert crash.message == told


def test_a_run_that_is_closed_without_failure_succeeded(platform: Platform) -> None:
    done = run(platform)
    with done.step("one"), done.step("two"):
        done.guard()
    done.close()
    done.close()
    assert done.log.running() == []
    assert done.log.standing_crash(DAY) is None


def test_a_lost_lock_stops_the_next_commit(platform: Platform) -> None:
    losing = run(platform)
    losing.begin()
    assert losing._lock is not None
    losing._lock._connection.close()
    with pytest.raises(LockLost), losing.step("one"):
        losing.guard()
    losing.close()


def test_the_steps_are_told_to_who_listens(platform: Platform) -> None:
    told: list[str] = []
    platform.on_step = told.append
    listened = run(platform)
    for name in ("one", "two"):
        with listened.step(name):
            pass
    listened.close()
    assert told == ["one", "two"]


def test_an_error_is_told_in_one_line_without_absolute_paths(platform: Platform) -> None:
    root = platform.lake.root
    assert describe(ProcurementError(f"{root}/raw/orders/DE.avro\nis gone."), platform) == "raw/orders/DE.avro is gone"
    assert describe(OSError("cannot read /some/where/else.csv"), platform) == "OSError: cannot read …/else.csv"
    run_id = "3c942453-c3c1-45ab-8382-75fef7cd3645"
    told = describe(ProcurementError(f"order_lines names processed/order_lines/2025-05-01/{run_id}/DE.parquet"), platform)
    assert told == "order_lines names processed/order_lines/2025-05-01/…/DE.parquet"
    assert describe(ValueError(), platform) == "ValueError"
    assert len(describe(ValueError("x" * 10_000), platform)) <= 500
