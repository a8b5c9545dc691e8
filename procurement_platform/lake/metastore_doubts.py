"""Locks in doubt: the metastore was told to make a change, did not say whether it did, and may make it yet.

A metastore of version 3.1 makes a late change over whatever was committed since. So nobody may commit before it is there: the lock is not
given back, and a small file among the table's metadata names the change, its time and its author. Others take the lock away once the
change is there, or once so much time has passed that it will not come. A lock without such a file is one whose holder was killed.
"""

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyiceberg.exceptions import CommitFailedException

from procurement_platform.errors import LakeUnavailable
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore_locks import Doubt, TableLock

IN_DOUBT_SECONDS = 600.0  # for a change that the metastore still has in hand
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Doubts:
    """Those of one table, in its metadata's `folder`, each for as long as `lasts`; `location` asks which metadata the table has now."""

    lake: Lake
    folder: str
    lasts: dt.timedelta
    location: Callable[[], str]

    @contextmanager
    def kept(self, lock: TableLock, staged: str) -> Iterator[Callable[[], None]]:
        """Keeps a lock, and marks it, unless it is known at the end whether the table was given the `staged` metadata.

        Without an error it was; CommitFailedException and LakeUnavailable say that it was not, and will not be. What is given marks it at
        once: while the outcome is looked for, too, nobody may take the lock away.
        """
        lock.kept = True
        marked = False

        def mark() -> None:
            nonlocal marked
            if not marked:
                self._mark(lock, staged)
            marked = True

        try:
            yield mark
        except (CommitFailedException, LakeUnavailable):
            lock.kept = False
            raise
        except BaseException:  # also who is interrupted
            mark()
            raise
        else:
            lock.kept = False
        finally:
            if marked and not lock.kept:
                self._forget(self._path(lock.lock_id))

    def of(self, lock_id: int, holder: str) -> Doubt | None:
        """The doubt in which a holder left a lock; None where it is in none that is known."""
        path = self._path(lock_id)
        try:
            mark = json.loads(self.lake.read(path))
            staged, since = mark["metadata"], dt.datetime.fromisoformat(mark["since"]).astimezone(dt.UTC)
            if mark["holder"] != holder:  # of a lock that had its number in another metastore
                return None
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # somebody's hand
            return None
        over = abs(dt.datetime.now(dt.UTC) - since) >= self.lasts or self.location() == staged
        return Doubt(since, since + self.lasts, over, lambda: self._forget(path))

    def _mark(self, lock: TableLock, staged: str) -> None:
        mark = {"metadata": staged, "since": dt.datetime.now(dt.UTC).isoformat(), "holder": str(lock.holder)}
        try:
            self.lake.write(self._path(lock.lock_id), json.dumps(mark).encode())
        except Exception as problem:  # noqa: BLE001 -- whatever it is, it must not hide what is told of the commit
            _log.warning("that lock %s of %s is in doubt could not be noted: %s", lock.lock_id, lock.table, problem)

    def _forget(self, path: str) -> None:
        with suppress(OSError, LakeUnavailable):  # another was first; what stays goes by `maintain orphans`
            self.lake.remove(path)

    def _path(self, lock_id: int) -> str:
        return f"{self.folder}/.in-doubt-{lock_id}.json"
