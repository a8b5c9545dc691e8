"""The metastore's lock of a table, held while one commit is made: it names its holder, and one whose holder is gone is taken away.

A process that is killed between lock and unlock leaves its lock, which the metastore keeps for minutes or for ever.
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
        return cls(work, os.getpid(), _process_space(), socket.gethostname(), name)

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
        return (self.host, self.space) == (socket.gethostname(), _process_space()) and not Path(f"/proc/{self.process}").exists()


@dataclass(frozen=True)
class TableLock:
    """A lock that is held. `check` makes sure, just before the commit, that nobody has taken it away."""

    client: Client
    lock_id: int
    table: str

    def check(self) -> None:
        if _state(self.client, self.lock_id) != LockState.ACQUIRED:
            raise CommitFailedException(f"the metastore's lock of {self.table} was lost")


class TableHeld(LakeUnavailable):
    """Others held a table's lock all the time. Nothing was committed."""


@contextmanager
def locked(
    connections: Connections,
    client: Client,
    database: str,
    table: str,
    holder: Holder,
    seconds: float,
    *,
    guard: Callable[[], None] = unguarded,
    free: Callable[[Work], bool] = unknown,
) -> Iterator[TableLock]:
    """Holds a table's lock, waiting up to `seconds` for those who commit to it meanwhile.

    Locks of the same work are taken away: who commits a day has its day lock, so whoever left them is gone; `guard` raises where it was
    lost. So are those whose process is known to be gone, and those of work that nobody is at, by `free`.

    Raises:
        TableHeld: others held it all the time.
        LockLost: from `guard`.
        CommitFailedException: it was taken away while it was waited for.
    """
    component = LockComponent(level=LockLevel.TABLE, type=LockType.EXCLUSIVE, dbname=database, tablename=table, isTransactional=True)
    request = LockRequest(component=[component], user=_MARK, hostname=holder.host, agentInfo=str(holder))
    answer = client.lock(request)
    clean = False
    try:
        if answer.state != LockState.ACQUIRED:
            _wait(client, answer.lockid, database, table, holder, seconds, guard, free)
        yield TableLock(client, answer.lockid, f"{database}.{table}")
        clean = True
    finally:
        _unlock(connections, client if clean else None, answer.lockid)


def _wait(
    client: Client,
    lock_id: int,
    database: str,
    table: str,
    holder: Holder,
    seconds: float,
    guard: Callable[[], None],
    free: Callable[[Work], bool],
) -> None:
    def left(other: Holder | None) -> bool:
        """Whether a lock's holder is gone."""
        if other is None:
            return False
        if holder.work is not None and other.work == holder.work:
            guard()
            return True
        return other.is_gone or (other.work is not None and free(other.work))

    deadline, pause = time.monotonic() + seconds, _FIRST
    while True:
        others = _release(client, lock_id, database, table, left)
        state = _state(client, lock_id)
        if state == LockState.ACQUIRED:
            return
        if state != LockState.WAITING:
            raise CommitFailedException(f"the metastore's lock of {database}.{table} was lost while it was waited for")
        if time.monotonic() > deadline:
            what = f"{table} {holder.work} was not committed" if isinstance(holder.work, dt.date) else f"{table} was not changed"
            held = "; ".join(others) or "others"
            raise TableHeld(f"{what}: the metastore's lock of {database}.{table} is held by {held}: wait for them, then run again")
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
        pause = min(pause * 2, _LONGEST)


def _state(client: Client, lock_id: int) -> int | None:
    """What became of a lock; None: it is not there any more."""
    try:
        return int(client.check_lock(CheckLockRequest(lockid=lock_id)).state)
    except NoSuchLockException:
        return None


def _release(client: Client, lock_id: int, database: str, table: str, left: Callable[[Holder | None], bool]) -> list[str]:
    """Takes away the locks that were left; returns whose they are that stay."""
    stay = []
    for each in client.show_locks(ShowLocksRequest(dbname=database, tablename=table)).locks or []:
        if each.lockid == lock_id:
            continue
        if left(Holder.read(each.agentInfo or "")):
            _log.warning("the lock %s of %s.%s, left by %s, is taken away", each.lockid, database, table, each.agentInfo)
            with suppress(NoSuchLockException):  # another was first
                client.unlock(UnlockRequest(lockid=each.lockid))
        else:
            stay.append(str(each.agentInfo or f"{each.user} on {each.hostname}"))
    return stay


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


def _process_space() -> str:
    """What tells this machine's process numbers from those of a container of the same name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return "?"
