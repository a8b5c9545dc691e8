import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.database.embedded import stop
from procurement_platform.database.locks import DayLock, is_free
from procurement_platform.database.postgres_folder import PostgresFolder
from procurement_platform.errors import DatabaseUnavailable, DayBusy, LockLost
from procurement_platform.settings import Settings

DAY = dt.date(2025, 12, 20)
HOLD = """
import datetime, sys
from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.settings import Settings
lock = DayLock.acquire(Database(Settings(_env_file=None)), "procurement", datetime.date(2025, 12, 20), "run 17 of process 4711")
print("held", flush=True)
sys.stdin.read()
"""


def holder() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def waiting(database: Database) -> bool:
    with database.transaction() as connection:
        return connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone() is not None


def test_a_day_is_held_by_one_and_the_other_is_told_by_whom(database: Database) -> None:
    with DayLock.acquire(database, "procurement", DAY, "run 1") as lock:
        lock.check()
        with pytest.raises(DayBusy, match="procurement 2025-12-20 is being worked on by run 1; wait") as caught:
            DayLock.acquire(database, "procurement", DAY, "run 2")
        assert caught.value.holder == "run 1"
        lock.check()
    DayLock.acquire(database, "procurement", DAY, "run 2").release()


def test_a_holders_name_that_is_cut_ends_without_a_blank(database: Database) -> None:
    with DayLock.acquire(database, "procurement", DAY, f"{'x' * 62} on a machine"), pytest.raises(DayBusy) as caught:
        DayLock.acquire(database, "procurement", DAY, "run 2")
    assert str(caught.value) == f"procurement 2025-12-20 is being worked on by {'x' * 62}; wait for it to end, then run again"


def test_other_days_and_domains_are_free(database: Database) -> None:
    with (
        DayLock.acquire(database, "procurement", DAY, "a") as first,
        DayLock.acquire(database, "procurement", DAY + dt.timedelta(1), "b") as second,
        DayLock.acquire(database, "sales", DAY, "c") as third,
    ):
        for lock in (first, second, third):
            lock.check()


def test_a_is_free_where_nobody_has_it_and_unknown_where_there_never_was_a_run(database: Database) -> None:
    other = DAY + dt.timedelta(1)
    assert not is_free(database, DAY)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO control.runs (run_id, domain, run_date, state, started_at, launched_by) VALUES"
            " ('1', 'sales', %(day)s, 'failed', now(), 'test'), ('2', 'procurement', %(day)s, 'failed', now(), 'test')",
            {"day": DAY},
        )
    with DayLock.acquire(database, "sales", DAY, "a"):
        assert not is_free(database, DAY)
        assert is_free(database, other)
    assert is_free(database, DAY)
    DayLock.acquire(database, "sales", DAY, "b").release()  # looking took nothing
    with DayLock.named(database, "maintenance", "c"):
        assert not is_free(database, "maintenance")
        assert is_free(database, DAY)
    assert is_free(database, "maintenance")


def test_releasing_twice_does_no_harm_to_the_next_holder(database: Database) -> None:
    first = DayLock.acquire(database, "procurement", DAY, "first")
    first.release()
    with DayLock.acquire(database, "procurement", DAY, "second") as second:
        first.release()
        second.check()
        with pytest.raises(LockLost):
            first.check()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_holder_holds_nothing(database: Database, how: signal.Signals) -> None:
    process = holder()
    with pytest.raises(DayBusy) as caught:
        DayLock.acquire(database, "procurement", DAY, "me")
    assert caught.value.holder == "run 17 of process 4711"
    os.kill(process.pid, how)
    process.communicate()
    DayLock.acquire(database, "procurement", DAY, "me", wait_seconds=20).release()


def test_a_holder_that_names_a_dead_process_is_waited_for_and_a_living_one_is_not(database: Database) -> None:
    """The server notices a little later that a process was killed; whoever runs the day again at once does not meet its ghost."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with DayLock.acquire(database, "procurement", DAY, f"run 1, process {os.getpid()} on {socket.gethostname()}"):
        begun = time.monotonic()
        with pytest.raises(DayBusy):
            DayLock.acquire(database, "procurement", DAY, "run 2")
        assert time.monotonic() - begun < 5
    ghost = DayLock.acquire(database, "procurement", DAY, f"run 1, process {ended.pid} on {socket.gethostname()}")
    noticed = threading.Timer(0.5, ghost.release)
    noticed.start()
    try:
        DayLock.acquire(database, "procurement", DAY, "run 2").release()
    finally:
        noticed.join()


def test_waiting_ends_as_soon_as_the_is_free(database: Database) -> None:
    process = holder()
    taken: list[DayLock] = []
    waiter = threading.Thread(target=lambda: taken.append(DayLock.acquire(database, "procurement", DAY, "patient", wait_seconds=60)))
    waiter.start()
    until(lambda: waiting(database))
    assert taken == []
    process.kill()
    process.communicate()
    waiter.join(20)
    with taken[0] as lock:
        lock.check()


def test_waiting_ends_when_the_time_is_over(database: Database) -> None:
    with DayLock.acquire(database, "procurement", DAY, "long run"):
        before = time.monotonic()
        with pytest.raises(DayBusy, match="long run"):
            DayLock.acquire(database, "procurement", DAY, "me", wait_seconds=0.3)
        assert time.monotonic() - before >= 0.3
    assert not waiting(database)


def test_a_lock_whose_connection_was_ended_is_lost(database: Database) -> None:
    lock = DayLock.acquire(database, "procurement", DAY, "doomed")
    with database.transaction() as connection:
        connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'doomed'")
    with pytest.raises(LockLost, match="lock of procurement 2025-12-20 was lost"):
        lock.check()
    DayLock.acquire(database, "procurement", DAY, "next").release()


def test_a_lock_that_is_given_up_on_its_own_connection_is_lost(database: Database) -> None:
    """As behind a pooler that exchanges the sessions."""
    with DayLock.acquire(database, "procurement", DAY, "swapped") as lock:
        lock._connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LockLost):
            lock.check()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_lock_does_not_outlive_the_server(own_home: Settings, how: str) -> None:
    database = Database(own_home)
    lock = DayLock.acquire(database, "procurement", DAY, "first")
    if how == "killed":
        pid = PostgresFolder(own_home.home).pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    else:
        stop(own_home)
    with DayLock.acquire(database, "procurement", DAY, "second") as second:
        with pytest.raises(LockLost):
            lock.check()
        second.check()
    database.close()


def test_a_server_that_stops_ends_the_waiting(own_home: Settings) -> None:
    database = Database(own_home)
    problems: list[DatabaseUnavailable] = []

    def wait() -> None:
        try:
            DayLock.acquire(database, "procurement", DAY, "me", wait_seconds=60)
        except DatabaseUnavailable as problem:
            problems.append(problem)

    with DayLock.acquire(database, "procurement", DAY, "first"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        until(lambda: waiting(database))
        stop(own_home)
        waiter.join(20)
    assert "went away while procurement 2025-12-20 was waited for" in str(problems[0])
    database.close()


def test_a_long_or_foreign_name_of_a_holder_is_cut(database: Database) -> None:
    with DayLock.acquire(database, "procurement", DAY, "Größe " * 30), pytest.raises(DayBusy) as caught:
        DayLock.acquire(database, "procurement", DAY, "me")
    assert caught.value.holder == ("Gr??e " * 30)[:63]
