"""A run that loses its day while it commits: it says so, and the rows are those of the run that came next."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.errors import LockLost
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import Publisher
from procurement_platform_tests.lake.parts import PARTS, Stage
from procurement_platform_tests.lake.test_publish import MONDAY, parts_of

SLOW = "slow run"
WAIT = 60.0


def hold(monkeypatch: pytest.MonkeyPatch, when: str, owner: type, name: str) -> tuple[threading.Event, threading.Event]:
    """Holds the next call of a method before or after its work: the first event says that it is there, the second lets it go on."""
    there, go_on, function = threading.Event(), threading.Event(), getattr(owner, name)

    def held(*given: Any, **named: Any) -> Any:
        first = not there.is_set()
        made = function(*given, **named) if not first or when == "after" else None
        if first:
            there.set()
            assert go_on.wait(WAIT)
        return function(*given, **named) if first and when == "before" else made

    monkeypatch.setattr(owner, name, held)
    return there, go_on


def end_connection(database: Database, name: str) -> None:
    """What a restart of PostgreSQL does to a lock's connection."""
    with database.transaction() as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            (name,),
        ).fetchall()
    assert ended == [(True,)]


Commit = Callable[[str, list[str], DayLock], object]


@pytest.fixture
def commit(lake: Lake, database: Database, publisher: Publisher) -> Commit:
    """Commits as a process of its own does, with a catalog of its own."""
    publisher.catalog.load(PARTS)

    def committed(run_id: str, files: list[str], lock: DayLock) -> object:
        catalog = TableCatalog(lake, database.sqlalchemy_url)
        try:
            return Publisher(lake, catalog, publisher.registry).commit(PARTS, MONDAY, run_id, files, guard=lock.check, inputs={})
        finally:
            catalog.close()

    return committed


@pytest.mark.parametrize("before", [[], ["old"]], ids=["first run of the date", "rows to be replaced"])
@pytest.mark.parametrize(
    "moment",
    [
        ("before", TableCatalog, "load"),
        ("before", SqlCatalog, "commit_table"),
        ("before", SqlCatalog, "_update_and_stage_table"),
        ("after", TableCatalog, "_replace"),
    ],
    ids=["before the table is looked at", "before the commit", "within the commit", "after the commit"],
)
def test_a_run_that_loses_its_day_while_it_commits_adds_nothing(
    publisher: Publisher,
    stage: Stage,
    database: Database,
    commit: Commit,
    monkeypatch: pytest.MonkeyPatch,
    moment: tuple[str, type, str],
    before: list[str],
) -> None:
    if before:
        publisher.catalog.replace(PARTS, MONDAY, stage(MONDAY, "run-0", before), {})
    slow, quick = stage(MONDAY, "run-a", ["bolt", "nut"]), stage(MONDAY, "run-b", ["bolt", "nut", "washer"])
    with DayLock.acquire(database, "shop", MONDAY, SLOW) as lock, ThreadPoolExecutor(1) as pool:
        there, go_on = hold(monkeypatch, *moment)
        late = pool.submit(commit, "run-a", slow, lock)
        try:
            assert there.wait(WAIT)
            end_connection(database, SLOW)
            with DayLock.acquire(database, "shop", MONDAY, "quick run") as other:
                commit("run-b", quick, other)
        finally:
            go_on.set()
        with pytest.raises(LockLost):
            late.result(WAIT)
    assert parts_of(publisher, MONDAY) == ["bolt", "nut", "washer"]
    known = publisher.registry.current("parts", MONDAY)
    assert known is not None
    assert known.run_id == "run-b"
