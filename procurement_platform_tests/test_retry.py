"""Trying again: what may pass, no longer than allowed, and nothing else. Time here is a number, so that no test waits."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.retry import retried


class Time:
    """A clock that sleeping moves on, and that remembers the pauses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)

    def clock(self) -> float:
        return self.now


def passes(problem: Exception) -> bool:
    return isinstance(problem, TimeoutError)


def run(times: int, time: Time, *, takes: float = 0.0, seconds: float = 60.0, first: float = 0.1, longest: float = 5.0) -> int:
    """How often an action was done that fails so many times, each time after `takes` seconds."""
    attempts = itertools.count(1)

    def action() -> int:
        time.now += takes
        attempt = next(attempts)
        if attempt <= times:
            raise TimeoutError(attempt)
        return attempt

    return retried(action, passes, seconds=seconds, first=first, longest=longest, sleep=time.sleep, clock=time.clock)


def test_what_works_is_done_once_without_a_pause() -> None:
    time = Time()
    assert run(0, time) == 1
    assert time.pauses == []


def test_an_error_that_may_pass_is_waited_out() -> None:
    time = Time()
    assert run(5, time) == 6
    assert len(time.pauses) == 5


def test_an_error_that_stays_is_raised_at_once() -> None:
    time, done = Time(), []

    def action() -> None:
        done.append(1)
        raise ValueError("stays")

    with pytest.raises(ValueError, match="stays"):
        retried(action, passes, sleep=time.sleep, clock=time.clock)
    assert done == [1]
    assert time.pauses == []


def test_an_error_that_stays_after_one_that_passes_is_raised() -> None:
    time, errors = Time(), [TimeoutError(), ValueError("then this")]

    def action() -> None:
        raise errors.pop(0)

    with pytest.raises(ValueError, match="then this"):
        retried(action, passes, sleep=time.sleep, clock=time.clock)
    assert len(time.pauses) == 1


def test_what_does_not_pass_in_time_is_raised() -> None:
    time = Time()
    with pytest.raises(TimeoutError):
        run(10_000, time, seconds=30)
    assert 25 <= time.now - 1000.0 <= 30


def test_no_patience_is_one_attempt() -> None:
    time = Time()
    with pytest.raises(TimeoutError):
        run(1, time, seconds=0)
    assert time.pauses == []


def test_what_failed_after_an_hour_is_done_again() -> None:
    time = Time()
    assert run(1, time, takes=3600.0) == 2


def test_an_interrupted_action_is_not_done_again() -> None:
    time, done = Time(), []

    def action() -> None:
        done.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retried(action, lambda _: True, sleep=time.sleep, clock=time.clock)
    assert done == [1]


@given(times=st.integers(1, 12), first=st.floats(0.01, 2), longest=st.floats(0.01, 20))
def test_pauses_grow_up_to_the_longest_and_are_shortened_by_half_at_most(times: int, first: float, longest: float) -> None:
    time = Time()
    assert run(times, time, seconds=10_000, first=first, longest=longest) == times + 1
    whole = [first]
    while len(whole) < times:
        whole.append(min(whole[-1] * 2, longest))
    assert all(half / 2 <= pause <= half for half, pause in zip(whole, time.pauses, strict=True))
