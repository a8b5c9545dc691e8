"""One run of one day of one domain: it holds the day's lock, is known to the run log, and leaves a trace when it fails."""

import datetime as dt
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy, ProcurementError
from procurement_platform.platform import Platform
from procurement_platform.quality.crashes import RunLog
from procurement_platform.texts import shorten

INTERRUPTS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")  # by name: Dagster is not imported here


@dataclass
class DayRun:
    """A run of a day. Nothing is locked or connected before the first step, so that an outage fails a step and not the run's start.

    `found_killed` lists the ids of earlier runs of the day that this one found dead; `done` the steps that ended well,
    `committed` the files of each table this run has committed: under the day's lock they are what the table holds for the date.
    """

    platform: Platform
    domain: str
    run_date: dt.date
    run_id: str
    launched_by: str = "procurement"
    wait_seconds: float = 0
    found_killed: list[str] = field(default_factory=list)
    failed: bool = False
    done: list[str] = field(default_factory=list)
    committed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _lock: DayLock | None = None

    @property
    def log(self) -> RunLog:
        return RunLog(self.platform.database, self.domain)

    def begin(self) -> None:
        """Takes the day's lock and opens the run, once.

        Raises:
            DayBusy: another run holds the day.
        """
        if self._lock is None:
            holder = f"{self.launched_by}, process {os.getpid()} on {socket.gethostname()}"
            self._lock = DayLock.acquire(self.platform.database, self.domain, self.run_date, holder, self.wait_seconds)
            self.found_killed += self.log.begin(self.run_date, self.run_id, self.launched_by)

    def guard(self) -> None:
        """Raises LockLost where another run may have taken the day: called right before every commit."""
        if self._lock is not None:
            self._lock.check()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Runs a step under the day's lock; whatever stops it, an interrupt too, is recorded as the day's crash."""
        try:
            self.begin()
            self.log.at_step(self.run_date, self.run_id, name)
            if self.platform.on_step is not None:
                self.platform.on_step(name)
            yield
            self.done.append(name)
        except DayBusy:
            raise  # the day is another run's: it is not this run's to call crashed
        except BaseException as problem:
            self.fail(name, problem)
            raise

    def fail(self, step: str | None, problem: BaseException) -> None:
        """Records the crash; twice is the same as once. A database that is down must not hide the failure itself."""
        if self.failed or isinstance(problem, DayBusy):
            return
        self.failed = True
        try:
            self.log.fail(self.run_date, self.run_id, step, describe(problem, self.platform), self.launched_by)
        except ProcurementError:
            return

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Ends the run: as succeeded where nothing failed. Frees the day; `last` is called while it is still this run's."""
        if self._lock is None:
            return
        try:
            if not self.failed:
                self.log.succeed(self.run_date, self.run_id)
            if last is not None:
                last()
        finally:
            self._lock.release()
            self._lock = None


def describe(problem: BaseException, platform: Platform) -> str:
    """An error as one line without absolute paths: what a report may hold."""
    name, text = type(problem).__name__, " ".join(str(problem).split())
    if name in INTERRUPTS:
        return "the run was interrupted"
    if not isinstance(problem, ProcurementError):
        text = f"{name}: {text}" if text else name
    return without_paths(text, platform)


def without_paths(text: str, platform: Platform) -> str:
    """A text without what differs from run to run: paths below the lake are relative, others cut to their last part, run ids left out."""
    for known in (platform.settings.lake_url, platform.lake.root, str(platform.settings.home)):
        text = text.replace(f"{known}/", "").replace(known, ".")
    text = re.sub(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "…", text)
    return shorten(re.sub(r"(?<![\w.…])/(?:[\w.@+-]+/)+", "…/", text), 500).rstrip(".")
