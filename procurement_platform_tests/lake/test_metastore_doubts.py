"""What becomes of a commit whose answer does not come, and of the commits of other days meanwhile."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
from hive_metastore.ttypes import CheckLockRequest, LockResponse, LockState, MetaException, Table
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

from procurement_platform.errors import LakeUnavailable, UnknownOutcome
from procurement_platform.lake import metastore
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore import Metastore
from procurement_platform.lake.metastore_doubts import IN_DOUBT_SECONDS, Doubts
from procurement_platform.lake.metastore_locks import Holder, TableHeld, TableLock
from procurement_platform_tests.lake.answers import Answers, answering
from procurement_platform_tests.lake.parts import PARTS, staged

BEFORE, DAY, OTHER = dt.date(2024, 12, 31), dt.date(2025, 1, 1), dt.date(2025, 1, 2)
FOLDER = "processed/parts/metadata"
SOON = 1.0  # seconds after which a client gives up
Open = Callable[..., TableCatalog]


class Slow(Answers):
    """One whose database is slow: the next change is made when `make` is called, and never answered; all else is answered at once.

    Tells when it was told to make the change, when it was made, when a table was looked at, and when somebody waits for a lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told, self.going, self.made, self.ended, self.looked, self.waiting = (threading.Event() for _ in range(6))
        self.failing = 0  # looks at a table

    def hold(self) -> None:
        def slowly(change: Callable[[], None]) -> None:
            self.alter = lambda make: make()
            self.told.set()
            self.going.wait(60)
            change()
            self.made.set()
            self.ended.wait(60)

        self.alter = slowly

    def make(self) -> None:
        self.going.set()
        assert self.made.wait(60)

    def get_table(self, dbname: str, tbl_name: str) -> Table:
        if self.failing:
            self.failing -= 1
            raise MetaException("org.postgresql.util.PSQLException: This connection has been closed.")
        found = super().get_table(dbname, tbl_name)
        self.looked.set()
        return found

    def check_lock(self, request: CheckLockRequest) -> LockResponse:
        found = super().check_lock(request)
        if found.state == LockState.WAITING:
            self.waiting.set()
        return found

    def wait_for_who_waits(self) -> None:
        """Until somebody waits for the table, and it was looked at after that: by who gave up, or by who waits for him."""
        assert self.waiting.wait(60)
        self.looked.clear()
        assert self.looked.wait(60)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def opened(slow: Slow, lake: Lake) -> Iterator[Open]:
    """Opens a catalog of the lake that has the given patience."""
    lake.make_folder(FOLDER)  # HDFS makes a file's folders, a disk does not
    with answering(slow) as uri:
        yield lambda **seconds: TableCatalog(lake, partial(Metastore, uri=uri, **seconds))
        slow.going.set()
        slow.ended.set()


@pytest.fixture
def doubted(slow: Slow, opened: Open, lake: Lake) -> str:
    """The lock of a commit of the day that the metastore has not made when the client gives up: its mark."""
    catalog = opened(answer_seconds=SOON, outcome_seconds=0.0)
    catalog.replace(PARTS, BEFORE, staged(lake, BEFORE, "run-0"), {})
    slow.hold()
    said = (
        r"^whether parts 2025-01-01 was committed is not known \(the Hive Metastore at \S+ did not answer: .*;"
        r" the table stays locked until the change is there, or until \d\d:\d\d UTC\): its files stay"
    )
    with pytest.raises(UnknownOutcome, match=said):
        catalog.replace(PARTS, DAY, staged(lake, DAY, "run-1"), {})
    [mark] = marks(lake)
    assert list(slow.locks) == [int(mark.removeprefix(".in-doubt-").removesuffix(".json"))]
    return mark


def marks(lake: Lake) -> list[str]:
    return [name for name in lake.files(FOLDER) if name.startswith(".in-doubt")]


def rows(opened: Open) -> list[tuple[dt.date, str]]:
    return sorted((row["run_date"], row["part"]) for row in opened().load(PARTS).scan().to_arrow().to_pylist())


def commit_other(opened: Open, lake: Lake) -> None:
    assert opened().replace(PARTS, OTHER, staged(lake, OTHER, "run-2"), {}) is not None


def begun(slow: Slow, opened: Open, lake: Lake, pool: ThreadPoolExecutor) -> "Future[int | None]":
    """A commit of the day whose change the metastore has in hand."""
    catalog, files = opened(answer_seconds=SOON), staged(lake, DAY, "run-1")
    catalog.load(PARTS)
    slow.hold()
    committing = pool.submit(catalog.replace, PARTS, DAY, files, {})
    assert slow.told.wait(60)
    return committing


def test_a_change_that_is_made_after_the_client_gave_up_is_a_commit_and_others_wait_for_it(
    slow: Slow, opened: Open, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(2) as pool:
        committing = begun(slow, opened, lake, pool)
        other = pool.submit(commit_other, opened, lake)
        slow.wait_for_who_waits()
        slow.make()
        assert committing.result(60) is not None
        other.result(60)
    assert rows(opened) == [(DAY, "run-1"), (OTHER, "run-2")]
    assert slow.locks == {}
    assert marks(lake) == []
    assert "not given back" not in caplog.text  # over the connection on which nothing comes


def test_while_a_change_is_looked_for_its_lock_is_in_doubt_though_nobody_holds_its_day(slow: Slow, opened: Open, lake: Lake) -> None:
    """PostgreSQL may have gone with the metastore, and the day's lock with it."""
    with ThreadPoolExecutor(2) as pool:
        committing = begun(slow, opened, lake, pool)
        slow.looked.clear()
        assert slow.looked.wait(60)
        assert len(marks(lake)) == 1
        other = pool.submit(opened(free=lambda _: True).replace, PARTS, OTHER, staged(lake, OTHER, "run-2"), {})
        slow.wait_for_who_waits()
        slow.make()
        assert committing.result(60) is not None
        assert other.result(60) is not None
    assert rows(opened) == [(DAY, "run-1"), (OTHER, "run-2")]
    assert slow.locks == {}
    assert marks(lake) == []


def test_who_waits_for_a_change_in_doubt_commits_on_top_of_it(slow: Slow, opened: Open, lake: Lake, doubted: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(commit_other, opened, lake)
        slow.wait_for_who_waits()
        slow.make()
        other.result(60)
    assert rows(opened) == [(BEFORE, "run-0"), (DAY, "run-1"), (OTHER, "run-2")]
    assert slow.locks == {}
    assert marks(lake) == []


@pytest.mark.parametrize("day", [DAY, OTHER], ids=["the same day", "another day"])
def test_who_waits_in_vain_is_told_until_when(
    slow: Slow, opened: Open, lake: Lake, doubted: str, day: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = dict(slow.locks)
    said = (
        rf"^parts {day} was not committed: .* by procurement-platform {DAY} .*, in doubt since (\S+) UTC .*: wait until (\S+) UTC, then run"
    )
    monkeypatch.setattr(metastore, "LOCK_SECONDS", 0.0)
    with pytest.raises(TableHeld, match=said):
        opened().replace(PARTS, day, staged(lake, day, "run-2"), {})
    assert slow.locks == left
    assert marks(lake) == [doubted]
    slow.make()
    opened().replace(PARTS, day, staged(lake, day, "run-2"), {})
    assert (day, "run-2") in rows(opened)
    assert ((DAY, "run-1") in rows(opened)) == (day != DAY)
    assert slow.locks == {}
    assert marks(lake) == []


def test_a_doubt_ends_with_time(slow: Slow, opened: Open, lake: Lake, doubted: str) -> None:
    mark = json.loads(lake.read(f"{FOLDER}/{doubted}"))
    since = dt.datetime.fromisoformat(mark["since"]) - dt.timedelta(seconds=IN_DOUBT_SECONDS)
    lake.write(f"{FOLDER}/{doubted}", json.dumps({**mark, "since": since.isoformat()}).encode())
    commit_other(opened, lake)
    assert rows(opened) == [(BEFORE, "run-0"), (OTHER, "run-2")]
    assert slow.locks == {}
    assert marks(lake) == []


@pytest.mark.parametrize("mark", ["{", "[]", "of another"])
def test_what_is_no_mark_of_a_lock_protects_none(slow: Slow, opened: Open, lake: Lake, doubted: str, mark: str) -> None:
    path = f"{FOLDER}/{doubted}"
    another = json.dumps({**json.loads(lake.read(path)), "holder": "of a metastore that was made anew since, and counts from 1"})
    lake.write(path, (another if mark == "of another" else mark).encode())
    opened().replace(PARTS, DAY, staged(lake, DAY, "run-2"), {})
    assert rows(opened) == [(BEFORE, "run-0"), (DAY, "run-2")]
    assert slow.locks == {}
    assert marks(lake) == [doubted]


def test_a_lock_whose_mark_cannot_be_written_is_left_all_the_same(slow: Slow, opened: Open, lake: Lake) -> None:
    catalog = opened(answer_seconds=SOON, outcome_seconds=0.0)
    catalog.load(PARTS)
    for number in range(9):
        lake.make_folder(f"{FOLDER}/.in-doubt-{number}.json")
    slow.hold()
    with pytest.raises(UnknownOutcome, match="did not answer"):
        catalog.replace(PARTS, DAY, staged(lake, DAY, "run-1"), {})
    assert len(slow.locks) == 1


def test_a_table_that_cannot_be_looked_at_at_once_is_looked_at_again(slow: Slow, opened: Open, lake: Lake) -> None:
    catalog = opened()
    catalog.load(PARTS)

    def refused(change: Callable[[], None]) -> None:
        change()
        slow.failing = 2
        raise MetaException("Permission denied")

    slow.alter = refused
    assert catalog.replace(PARTS, DAY, staged(lake, DAY, "run-1"), {}) is not None
    assert slow.asked == 1
    assert slow.failing == 0


def test_an_answer_after_which_the_table_cannot_be_looked_at_is_not_taken_for_a_refusal(slow: Slow, opened: Open, lake: Lake) -> None:
    catalog, files = opened(outcome_seconds=0.0, doubt_seconds=0.0), staged(lake, DAY, "run-1")
    catalog.load(PARTS)
    table = slow.tables["parts"]

    def gone(_: Callable[[], None]) -> None:
        slow.tables.clear()
        raise MetaException("Permission denied")

    slow.alter = gone
    with pytest.raises(UnknownOutcome):
        catalog.replace(PARTS, DAY, files, {})
    assert len(slow.locks) == len(marks(lake)) == 1
    slow.tables["parts"] = table
    slow.alter = lambda make: make()
    catalog.replace(PARTS, DAY, files, {})
    assert catalog.files(PARTS, DAY) == files
    assert slow.locks == {}


@pytest.fixture
def lock() -> TableLock:
    return TableLock(None, 7, "shop.parts", Holder.here(DAY, "a run"))


@pytest.mark.parametrize("problem", [CommitStateUnknownException("no answer"), KeyboardInterrupt()], ids=["no answer", "interrupted"])
def test_a_lock_is_kept_where_it_is_not_known_how_it_ended(lake: Lake, lock: TableLock, problem: BaseException) -> None:
    doubts = Doubts(lake, FOLDER, dt.timedelta(minutes=10), lambda: "before")
    with pytest.raises(type(problem)), doubts.kept(lock, "staged"):
        raise problem
    assert lock.kept
    found = doubts.of(7, str(lock.holder))
    assert found is not None
    assert not found.over
    assert found.until - found.since == dt.timedelta(minutes=10)
    there = Doubts(lake, FOLDER, doubts.lasts, lambda: "staged").of(7, str(lock.holder))
    assert there is not None
    assert there.over


@pytest.mark.parametrize("problem", [None, CommitFailedException(), LakeUnavailable()], ids=["made", "overtaken", "refused"])
def test_a_lock_is_given_back_where_it_is_known(lake: Lake, lock: TableLock, problem: Exception | None) -> None:
    doubts = Doubts(lake, FOLDER, dt.timedelta(minutes=10), lambda: "before")
    for marked in (False, True):
        with suppress(CommitFailedException, LakeUnavailable), doubts.kept(lock, "staged") as mark:
            assert lock.kept
            if marked:
                mark()
                assert doubts.of(7, str(lock.holder)) is not None
            if problem:
                raise problem
        assert not lock.kept
        assert doubts.of(7, str(lock.holder)) is None
