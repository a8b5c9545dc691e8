"""`procurement backfill`: every day is tried, and the account says how each ended."""

import datetime as dt
from pathlib import Path

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement

FIRST, LAST = "2025-12-20", "2025-12-22"


def states(out: str) -> dict[str, str]:
    """State by date, from the account's table."""
    return {words[0]: words[1] for line in out.splitlines() if (words := line.split()) and words[0].startswith("2025-")}


def test_a_failed_day_does_not_stop_the_others(procurement: Procurement, quick: Settings, database: Database) -> None:
    assert procurement("simulate", FIRST, LAST, "--orders", 200).code == 0
    lock = DayLock.acquire(database, DOMAIN, dt.date(2025, 12, 21), "somebody's run")
    try:
        done = procurement("backfill", FIRST, LAST)
    finally:
        lock.release()
    assert done.code == 1
    assert states(done.out) == {"2025-12-20": "succeeded", "2025-12-21": "busy", "2025-12-22": "succeeded"}
    assert "somebody's run" in done.out
    assert done.err.splitlines()[-4:-1] == ["2025-12-20 succeeded", "2025-12-21 busy", "2025-12-22 succeeded"]
    assert done.err.splitlines()[-1].startswith("2 of 3 days succeeded in ")

    again = procurement("backfill", "2025-12-21", "2025-12-21")
    assert (again.code, states(again.out)) == (0, {"2025-12-21": "succeeded"})
    for day in (FIRST, "2025-12-21", LAST):
        assert procurement("orders", day, "--format", "json").json


def test_a_file_that_is_still_being_written_is_named_beside_its_day(procurement: Procurement, growing: Path) -> None:
    done = procurement("backfill", FIRST, FIRST)
    assert (done.code, states(done.out)) == (0, {FIRST: "succeeded"})
    assert "still being written: orders DE.csv" in " ".join(done.out.split())


def test_days_without_files_are_told_apart(procurement: Procurement, quick: Settings) -> None:
    assert procurement("simulate", FIRST, "--orders", 200).code == 0
    rejected = quick.home / "lake" / "inbox" / "orders" / LAST / "DE.csv"
    rejected.parent.mkdir(parents=True)
    rejected.write_bytes(b"")
    done = procurement("backfill", FIRST, LAST)
    assert done.code == 0
    said = {words[0]: line for line in done.out.splitlines() if (words := line.split()) and words[0].startswith("2025-")}
    missing = len([e for e in procurement("exceptions", "2025-12-21", "--format", "json").json if e["rule"] == "MISSING_FILE"])
    assert missing > 2
    assert said[FIRST].split()[1] == "succeeded"
    assert " no usable file " in said["2025-12-21"]
    assert f"no market sent a file, {missing} MISSING_FILE: procurement exceptions 2025-12-21" in said["2025-12-21"]
    assert " no usable file " in said[LAST]
    assert f"of 1 files sent none is in use, {missing} MISSING_FILE" in said[LAST]
    assert done.err.splitlines()[-4:-1] == [f"{FIRST} succeeded", "2025-12-21 no usable file", f"{LAST} no usable file"]
    assert "3 of 3 days succeeded in " in done.err.splitlines()[-1]
    assert done.err.splitlines()[-1].endswith(" s, 2 of them without any file in use")


def test_the_counts_are_those_of_the_day(procurement: Procurement, quick: Settings) -> None:
    procurement("simulate", FIRST, "--orders", 200)
    done = procurement("backfill", FIRST, FIRST)
    _, _, _, orders, exceptions = next(line.split() for line in done.out.splitlines() if line.startswith(FIRST))
    assert int(orders) == len(procurement("orders", FIRST, "--format", "json").json) > 0
    assert int(exceptions) == len(procurement("exceptions", FIRST, "--format", "json").json) > 0


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [(LAST, FIRST, "give the earlier date first"), ("2024-12-30", FIRST, "PROCUREMENT_START_DATE"), (FIRST, "2999-01-01", "future")],
)
def test_a_range_that_cannot_be_run_is_one_line_and_nothing_is_begun(
    procurement: Procurement, home: Settings, first: str, last: str, why: str
) -> None:
    assert why in procurement("backfill", first, last).error
    assert not home.home.exists()
