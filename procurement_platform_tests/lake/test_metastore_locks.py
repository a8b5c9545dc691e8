"""What a lock says of its holder, and whose are taken away. More is tested on a real metastore, in test_metastore.py."""

import datetime as dt
import os
import subprocess
import sys
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock, is_free
from procurement_platform.errors import LockLost
from procurement_platform.lake.committing import COMMITTING, MAINTENANCE, Work
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.snapshots import expire_snapshots
from procurement_platform.lake.metastore_client import Connections
from procurement_platform.lake.metastore_locks import Holder, TableHeld, TableLocks
from procurement_platform.lake.publish import Publisher
from procurement_platform_tests.lake.answers import Answers, answering
from procurement_platform_tests.lake.parts import PARTS, Stage

DAY = dt.date(2025, 12, 20)


@given(
    st.none() | st.dates() | st.just(MAINTENANCE),
    st.integers(1, 2**22),
    st.text("abc-.0123456789", min_size=1, max_size=30),
    st.text(max_size=300),
)
def test_a_lock_names_its_holder_in_128_characters(work: Work | None, process: int, host: str, name: str) -> None:
    text = str(Holder(work, process, "4026531836", host, name))
    assert len(text) <= 128
    assert text.isascii()
    found = Holder.read(text)
    assert found is not None
    assert (found.work, found.process, found.space, found.host) == (work, process, "4026531836", host)


@given(st.text(max_size=60))
def test_a_lock_of_another_program_has_no_holder_that_is_known(text: str) -> None:
    assert Holder.read(text) is None
    assert Holder.read(f"procurement-platform {text}".partition(" 2")[0]) is None


def test_a_holder_is_gone_when_its_process_is() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = Holder.here(DAY, "")
    child = Holder(DAY, process.pid, here.space, here.host)
    assert here.process == os.getpid()
    assert not here.is_gone
    assert not child.is_gone
    process.communicate(b"\n")
    assert child.is_gone


def test_nothing_is_known_of_processes_elsewhere() -> None:
    here = Holder.here(DAY, "")
    assert not Holder(DAY, 2**22 + 1, here.space, f"not-{here.host}").is_gone
    assert not Holder(DAY, 2**22 + 1, "1", here.host).is_gone


ELSEWHERE = Holder(MAINTENANCE, 7, "1", "a-pod-that-was-killed", "procurement maintain expire")


def taken(answers: Answers, uri: str, database: Database, work: Work | None) -> bool:
    """Whether a commit of some work gets the table's lock; where it does, no other is left."""
    connections = Connections(uri, 10.0, 10.0)
    try:
        with connections as client:
            locks = TableLocks(connections, client, "shop", "parts", free=partial(is_free, database))
            with locks.held(Holder.here(work, ""), 0.1):
                assert len(answers.locks) == 1
                return True
    except TableHeld as held:
        return str(ELSEWHERE) not in str(held)


def run_of(database: Database, day: dt.date) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO control.runs (run_id, domain, run_date, state, started_at, launched_by)"
            " VALUES ('1', 'shop', %s, 'running', now(), 'test')",
            (day,),
        )


def test_a_lock_that_maintenance_left_elsewhere_is_taken_away_once_nobody_has_its_lock(database: Database) -> None:
    run_of(database, DAY)
    answers = Answers()
    answers.lock_of(ELSEWHERE)
    with answering(answers) as uri:
        with DayLock.named(database, MAINTENANCE, "maintain expire, elsewhere"):
            assert not taken(answers, uri, database, DAY)
            assert list(answers.locks.values()) == [str(ELSEWHERE)]
        assert taken(answers, uri, database, DAY)
    assert answers.locks == {}


def test_the_next_maintenance_takes_away_what_the_last_one_left(database: Database) -> None:
    answers = Answers()
    answers.lock_of(ELSEWHERE)
    with answering(answers) as uri, DayLock.named(database, MAINTENANCE, "maintain expire, here"):
        assert taken(answers, uri, database, MAINTENANCE)


def test_maintenance_is_not_taken_for_gone_by_a_database_that_had_no_run(database: Database) -> None:
    answers = Answers()
    answers.lock_of(ELSEWHERE)
    with answering(answers) as uri:
        assert not taken(answers, uri, database, DAY)


def test_an_expiry_is_named_as_maintenance_and_asks_for_its_lock(
    publisher: Publisher, stage: Stage, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2):
        publisher.catalog.replace(PARTS, DAY, stage(DAY, f"run-{n}", ["bolt"]), {})
    named: list[Work | None] = []

    def guard() -> None:
        named.append(COMMITTING.get().work)
        raise LockLost("gone")

    before = len(publisher.catalog.load(PARTS).snapshots())
    with pytest.raises(LockLost):
        list(expire_snapshots(lake, publisher.catalog, [PARTS], keep=1, guard=guard))
    assert named == [MAINTENANCE]
    assert len(publisher.catalog.load(PARTS).snapshots()) == before
