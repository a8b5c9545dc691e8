"""The metastore's lock of a table, held while one commit is made: it names its holder, and one whose holder is gone is taken away.

A process that is killed between lock and unlock leaves its lock, which the metastore keeps for minutes or for ever. One that does not know
whether the metastore makes its change yet leaves its lock on purpose (`metastore_doubts`).
"""

import datetime as dt
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hive_metastore.ThriftHiveMetastore import Client
from hive_metastore.ttypes import (
    CheckLockRequest,
    LockComponent,
    LockLevel,
    LockRequest,
    LockState,
    LockType,
    NoSuchLockException,
    ShowLocksRequest,
    UnlockRequest,
)
from pyiceberg.exceptions import CommitFailedException
from thrift.Thrift import TException

from procurement_platform.errors import LakeUnavailable
from procurement_platform.lake.committing import MAINTENANCE, Work, unguarded, unknown
from procurement_platform.lake.metastore_client import Connections
from procurement_platform.processes import is_here, process_space

_MARK, _NO_WORK = "procurement-platform", "-"
_LENGTH = 128  # of the metastore's column
_FIRST, _LONGEST = 0.05, 1.0  # seconds between looks at a lock that others hold
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who commits: as part of which work (None: not known), and a process, which `space` and `host` make unique. `name` is for people."""

    work: Work | None
    process: int
    space: str
    host: str
    name: str = ""

    @classmethod
    def here(cls, work: Work | None, name: str) -> Self:
        """This process."""
        return cls(work, os.getpid(), process_space(), socket.gethostname(), name)

    def __str__(self) -> str:
        text = f"{_MARK} {self.work or _NO_WORK} {self.process} {self.space} {self.host} {self.name}"
        return text.encode("ascii", "replace").decode()[:_LENGTH].strip()

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The holder that a lock names; None where it is none of the platform's."""
        words = text.split(" ", 5)
        try:
            mark, work, process, space, host = words[:5]
            return cls(_work(work), int(process), space, host, " ".join(words[5:])) if mark == _MARK else None
        except ValueError:
            return None

    @property
    def is_gone(self) -> bool:
        """Whether it is known to be gone: a process of this machine that is no more."""
        return is_here(self.host, self.space) and not Path(f"/proc/{self.process}").exists()


@dataclass(frozen=True)
class Doubt:
    """What is known of a lock that was left because the metastore may yet make the change that it was held for.

    `over`: the change is there, or does not come any more. `forget` removes what tells of the doubt.
    """

    since: dt.datetime
    until: dt.datetime
    over: bool
    forget: Callable[[], None]


def undoubted(_: int, __: str) -> Doubt | None:
    """Whether a lock is in doubt, by its number and holder, where there is no way to know: none is."""
    return None


@dataclass
class TableLock:
    """A lock that is held. `check` makes sure, just before the commit, that nobody has taken it away.

    `kept`: it is not given back at the end. `silent`: nothing more is asked over its connection.
    """

    client: Client
    lock_id: int
    table: str
    holder: Holder
    kept: bool = False
    silent: bool = False

    def check(self) -> None:
        if _state(self.client, self.lock_id) != LockState.ACQUIRED:
            raise CommitFailedException(f"the metastore's lock of {self.table} was lost")


class TableHeld(LakeUnavailable):
    """Others held a table's lock all the time. Nothing was committed."""


@dataclass(frozen=True)
class TableLocks:
    """The locks of one table, and what can be known of who has them.

    Locks of the same work are taken away: who commits a day has its day lock, so whoever left them is gone; `guard` raises where it was
    lost. So are those whose process is known to be gone, and those of work that nobody is at, by `free`. One that was left in doubt is
    taken away once that is over, by `doubt`, and not before.
    """

    connections: Connections
    client: Client
    database: str
    table: str
    guard: Callable[[], None] = unguarded
    free: Callable[[Work], bool] = unknown
    doubt: Callable[[int, str], Doubt | None] = undoubted

    @contextmanager
    def held(self, holder: Holder, seconds: float) -> Iterator[TableLock]:
        """Holds the table's lock, waiting up to `seconds` for those who commit to it meanwhile.

        Raises:
            TableHeld: others held it all the time.
            LockLost: from `guard`.
            CommitFailedException: it was taken away while it was waited for.
        """
        component = LockComponent(
            level=LockLevel.TABLE, type=LockType.EXCLUSIVE, dbname=self.database, tablename=self.table, isTransactional=True
        )
        request = LockRequest(component=[component], user=_MARK, hostname=holder.host, agentInfo=str(holder))
        answer = self.client.lock(request)
        lock = TableLock(self.client, answer.lockid, str(self), holder)
        clean = False
        try:
            if answer.state != LockState.ACQUIRED:
                self._wait(lock, seconds)
            yield lock
            clean = not lock.silent
        finally:
            if not lock.kept:
                _unlock(self.connections, self.client if clean else None, lock.lock_id)

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"

    def _wait(self, lock: TableLock, seconds: float) -> None:
        deadline, pause = time.monotonic() + seconds, _FIRST
        while True:
            others, until = self._release(lock)
            state = _state(self.client, lock.lock_id)
            if state == LockState.ACQUIRED:
                return
            if state != LockState.WAITING:
                raise CommitFailedException(f"the metastore's lock of {self} was lost while it was waited for")
            if time.monotonic() > deadline:
                work = lock.holder.work
                what = f"{self.table} {work} was not committed" if isinstance(work, dt.date) else f"{self.table} was not changed"
                held = "; ".join(others) or "others"
                remedy = f"wait until {by_the_minute(until)}" if until else "wait for them"
                raise TableHeld(f"{what}: the metastore's lock of {self} is held by {held}: {remedy}, then run again")
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            pause = min(pause * 2, _LONGEST)

    def _release(self, lock: TableLock) -> tuple[list[str], dt.datetime | None]:
        """Takes away the locks that were left; returns whose they are that stay, and when a doubt among them ends."""
        stay, until = [], None
        for each in self.client.show_locks(ShowLocksRequest(dbname=self.database, tablename=self.table)).locks or []:
            if each.lockid == lock.lock_id:
                continue
            holder = each.agentInfo or ""
            doubt = self.doubt(each.lockid, holder) if each.state != LockState.WAITING else None  # who waits has asked for no change
            if doubt.over if doubt else self._is_left(lock.holder, Holder.read(holder)):
                _log.warning("the lock %s of %s, left by %s, is taken away", each.lockid, self, each.agentInfo)
                with suppress(NoSuchLockException):  # another was first
                    self.client.unlock(UnlockRequest(lockid=each.lockid))
                if doubt:
                    doubt.forget()
                continue
            who = holder or f"{each.user} on {each.hostname}"
            if doubt:
                who += (
                    f", in doubt since {doubt.since:%H:%M} UTC (the metastore did not say whether it made that change, and may make it yet)"
                )
                until = doubt.until
            stay.append(who)
        return stay, until

    def _is_left(self, holder: Holder, other: Holder | None) -> bool:
        """Whether the holder of a lock that is not in doubt is gone."""
        if other is None:
            return False
        if holder.work is not None and other.work == holder.work:
            self.guard()
            return True
        return other.is_gone or (other.work is not None and self.free(other.work))


def by_the_minute(at: dt.datetime) -> str:
    """A time by which something is over, in UTC, in whole minutes."""
    return f"{at + dt.timedelta(minutes=1):%H:%M} UTC"


def _state(client: Client, lock_id: int) -> int | None:
    """What became of a lock; None: it is not there any more."""
    try:
        return int(client.check_lock(CheckLockRequest(lockid=lock_id)).state)
    except NoSuchLockException:
        return None


def _unlock(connections: Connections, client: Client | None, lock_id: int) -> None:
    """Gives a lock back; over a new connection where the old one may be broken. One that cannot be is left to the next holder."""
    request = UnlockRequest(lockid=lock_id)
    try:
        if client is not None:
            client.unlock(request)
            return
    except NoSuchLockException:
        return
    except TException as problem:
        _log.warning("lock %s was not given back at once: %s", lock_id, problem)
    try:
        with connections.impatient() as anew:
            anew.unlock(request)
    except (TException, LakeUnavailable) as problem:
        _log.warning("lock %s stays until the day is run again: %s", lock_id, problem)


def _work(word: str) -> Work | None:
    return None if word == _NO_WORK else word if word == MAINTENANCE else dt.date.fromisoformat(word)
