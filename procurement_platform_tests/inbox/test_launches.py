"""How often a day is asked for."""

import datetime as dt

from procurement_platform.database.connect import Database
from procurement_platform.inbox.launches import BACK_OFF, Asked, Launches

DAY = dt.date(2025, 12, 20)
NOW = dt.datetime(2025, 12, 21, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def test_the_first_attempt_is_due_at_once_and_the_second_after_five_minutes(database: Database) -> None:
    launches = Launches(database, "procurement")
    assert launches.claim(DAY, "one", NOW) == 1
    assert launches.claim(DAY, "one", NOW) is None
    assert launches.claim(DAY, "one", NOW + 5 * MINUTE - dt.timedelta(seconds=1)) is None
    assert launches.claim(DAY, "one", NOW + 5 * MINUTE) == 2


def test_attempts_end(database: Database) -> None:
    launches, now, made = Launches(database, "procurement"), NOW, []
    for _ in range(10):
        made.append(launches.claim(DAY, "one", now))
        now += dt.timedelta(days=1)
    assert made == [1, 2, 3, 4, *[None] * 6]
    assert launches.asked(DAY, "one").next_at is None


def test_another_signature_date_or_domain_begins_anew(database: Database) -> None:
    launches = Launches(database, "procurement")
    assert launches.claim(DAY, "one", NOW) == 1
    assert launches.claim(DAY, "two", NOW) == 1
    assert launches.claim(DAY + dt.timedelta(days=1), "one", NOW) == 1
    assert Launches(database, "other").claim(DAY, "one", NOW) == 1


def test_the_back_off_counts_from_the_last_attempt(database: Database) -> None:
    launches = Launches(database, "procurement")
    launches.claim(DAY, "one", NOW)
    launches.claim(DAY, "one", NOW + 60 * MINUTE)
    assert launches.asked(DAY, "one") == Asked(2, NOW + 60 * MINUTE)
    assert launches.asked(DAY, "one").next_at == NOW + 60 * MINUTE + BACK_OFF[2]
