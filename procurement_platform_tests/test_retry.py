import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.retry import retried


class Clock:
    """A clock that moves when it is slept on."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def read(self) -> float:
        return self.now


class Fails:
    """Fails so many times, then gives its count."""

    def __init__(self, times: int, problem: type[Exception] = ConnectionError) -> None:
        self.times, self.problem, self.calls = times, problem, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.problem(self.calls)
        return self.calls


def passes(problem: Exception) -> bool:
    return isinstance(problem, ConnectionError)


def test_what_works_is_done_once_and_waits_for_nothing() -> None:
    clock = Clock()
    assert retried(Fails(0), passes, sleep=clock.sleep, clock=clock.read) == 1
    assert clock.slept == []


def test_an_error_that_may_pass_is_waited_out_longer_each_time() -> None:
    clock = Clock()
    assert retried(Fails(8), passes, first=0.1, longest=2.0, sleep=clock.sleep, clock=clock.read) == 9
    for slept, most in zip(clock.slept, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0], strict=True):
        assert most / 2 <= slept <= most


def test_an_error_that_stays_is_raised_at_once() -> None:
    clock, action = Clock(), Fails(1, ValueError)
    with pytest.raises(ValueError, match="1"):
        retried(action, passes, sleep=clock.sleep, clock=clock.read)
    assert (action.calls, clock.slept) == (1, [])


def test_an_error_that_becomes_one_that_stays_ends_it() -> None:
    clock, problems = Clock(), iter([ConnectionError("away"), FileNotFoundError("gone")])

    def action() -> None:
        raise next(problems)

    with pytest.raises(FileNotFoundError):
        retried(action, passes, sleep=clock.sleep, clock=clock.read)
    assert len(clock.slept) == 1


@given(st.floats(0, 100), st.floats(0.01, 5), st.floats(0.01, 10))
def test_no_attempt_begins_after_the_time_is_up_and_the_last_error_is_raised(seconds: float, first: float, longest: float) -> None:
    clock, action = Clock(), Fails(10**9)
    with pytest.raises(ConnectionError, match=r"\d+") as raised:
        retried(action, passes, seconds=seconds, first=first, longest=longest, sleep=clock.sleep, clock=clock.read)
    assert clock.now <= seconds
    assert clock.now + max(first, longest) >= seconds
    assert raised.value.args == (action.calls,)
