"""Doing something again after an error that may pass: waiting longer each time, for a bounded time, and never after an error that stays."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def retried(
    action: Callable[[], Result],
    transient: Callable[[Exception], bool],
    *,
    seconds: float = 60.0,
    first: float = 0.1,
    longest: float = 5.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """What the action returns. Where it raises an error that `transient` calls one that may pass, it is done again.

    Waits `first` seconds, then twice as long each time up to `longest`, each shortened at random by up to half so that many who
    failed together do not come back together. No new attempt begins later than `seconds` after the first failure: an action that failed
    after an hour is done again, too. The last error is raised.
    """
    pause, failed = first, None
    while True:
        try:
            return action()
        except Exception as problem:
            failed = clock() if failed is None else failed
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
            if not transient(problem) or clock() + wait > failed + seconds:
                raise
        sleep(wait)
        pause = min(pause * 2, longest)
