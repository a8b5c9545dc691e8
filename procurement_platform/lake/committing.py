"""Which commit this thread is at, for a catalog whose locks name their holder, and whether it may still be made."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MAINTENANCE = "maintenance"  # the name of the work on tables that is no day's; who does it has the lock of that name
Work = dt.date | str  # a run date, or such a name


def unguarded() -> None:
    """The guard of who has no lock that could be lost."""


def unknown(_: Work) -> bool:
    """Whether nobody is at some work, where there is no way to know: it may be that somebody does."""
    return False


@dataclass(frozen=True)
class Committing:
    """What a commit is part of (None: not known), and who makes it, for people. `guard` raises where it may not be made any more."""

    work: Work | None = None
    holder: str = ""
    guard: Callable[[], None] = unguarded


COMMITTING: ContextVar[Committing] = ContextVar("committing", default=Committing())  # noqa: B039 -- it cannot change


@contextmanager
def committing(work: Work, holder: str, guard: Callable[[], None]) -> Iterator[None]:
    """Names the commits made meanwhile."""
    token = COMMITTING.set(Committing(work, holder, guard))
    try:
        yield
    finally:
        COMMITTING.reset(token)
