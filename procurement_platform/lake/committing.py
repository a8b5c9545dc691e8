"""Which commit this thread is at, for a catalog whose locks name their holder."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Committing:
    """A commit of a run date (None: of no day), and who makes it, in words for people."""

    run_date: dt.date | None = None
    holder: str = ""


COMMITTING: ContextVar[Committing] = ContextVar("committing", default=Committing())  # noqa: B039 -- it cannot change


@contextmanager
def committing(run_date: dt.date, holder: str) -> Iterator[None]:
    """Names the commits made meanwhile."""
    token = COMMITTING.set(Committing(run_date, holder))
    try:
        yield
    finally:
        COMMITTING.reset(token)
