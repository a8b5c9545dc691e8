"""Which commit this thread is at, for a catalog whose locks name their holder, and whether it may still be made."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


def unguarded() -> None:
    """The guard of who has no lock that could be lost."""


def unknown(_: dt.date) -> bool:
    """Whether nobody works on a day, where there is no way to know: it may be that somebody does."""
    return False


@dataclass(frozen=True)
class Committing:
    """A commit of a run date (None: of no day), and who makes it, in words for people. `guard` raises where it may not be made any more."""

    run_date: dt.date | None = None
    holder: str = ""
    guard: Callable[[], None] = unguarded


COMMITTING: ContextVar[Committing] = ContextVar("committing", default=Committing())  # noqa: B039 -- it cannot change


@contextmanager
def committing(run_date: dt.date, holder: str, guard: Callable[[], None]) -> Iterator[None]:
    """Names the commits made meanwhile."""
    token = COMMITTING.set(Committing(run_date, holder, guard))
    try:
        yield
    finally:
        COMMITTING.reset(token)
