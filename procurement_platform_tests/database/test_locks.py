import datetime as dt

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock

DAY = dt.date(2025, 12, 20)


def test_x(database: Database) -> None:
    with DayLock.acquire(database, "procurement", DAY, "me") as lock:
        lock.check()
