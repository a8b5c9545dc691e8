"""`procurement run`: what a person sees of a day, and what happens when it cannot be run."""

import datetime as dt
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from procurement_platform.cli.run import stale_in_words
from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.inbox.late import StaleDay
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay


def test_a_first_run_simulates_says_so_and_ends_with_the_results(ran_day: RanDay) -> None:
    out, err = ran_day.done.out, ran_day.done.err
    assert err.startswith(f"No market has sent a file for {DAY}: simulating a day with typical faults\n")
    assert "What is wrong with them, on purpose:" in err
    assert f"Running {DAY}" in err
    assert "Warning" not in err
    (last_step,) = re.findall(r"at +([\d.]+) s  published_day\n", err)
    (took,) = re.findall(r"\nThe run was done in ([\d.]+) s\.", out)
    assert float(took) >= float(last_step)  # one clock
    assert out.startswith(f"Supplier orders of {DAY}, the 10 of most units of ")
    assert "\nTotals" in out
    assert f"\nExceptions of {DAY}" in out
    orders, report = (Path(line.partition(":  ")[2]) for line in out.splitlines()[-3:-1])
    assert list(orders.glob("*.csv"))
    assert report.read_text().startswith("run_date,rule,severity,")
    ui = shlex.split(out.splitlines()[-1].removeprefix("The UI:  ").partition("  (")[0])[0]
    assert ui == "procurement" or Path(ui).is_file()


def test_a_day_with_files_is_not_simulated(procurement: Procurement, quick: Settings) -> None:
    assert procurement("simulate", DAY, "--orders", 200, "--faults", "none").code == 0
    inbox = sorted(path.name for path in (quick.home / "lake" / "inbox").rglob("*.*"))
    for _ in range(2):  # nor once they are received
        done = procurement("run", DAY, "--simulate-if-empty")
        assert done.code == 0, done.err
        assert "simulating" not in done.err
        assert sorted(path.name for path in (quick.home / "lake" / "inbox").rglob("*.*")) == inbox


def test_a_day_without_files_can_be_run(procurement: Procurement, quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_DATE", DAY)
    lost = quick.home / "lake" / "inbox" / "order" / DAY / "DE.csv"
    lost.parent.mkdir(parents=True)
    lost.write_text("order_id\n")
    done = procurement("run")
    assert done.code == 0, done.err
    assert f"Exceptions of {DAY}" in done.out
    assert f"No market's file was used: no order of {DAY} rests on what markets sent" in done.err
    for told in (done.err, procurement("files", DAY).err, procurement("doctor").out):
        assert "no run looks at 'inbox/order': market files go into inbox/orders/DATE or inbox/stock/DATE" in " ".join(told.split())
    missing = [row for row in procurement("exceptions", DAY, "--format", "json").json if row["rule"] == "MISSING_FILE"]
    assert len(missing) == 16
    assert procurement("orders", DAY).code == 0  # it is published: markets that compute without a stock file may still need something


DAYS = [dt.date(2025, 12, 13), dt.date(2025, 12, 14), dt.date(2025, 12, 18)]


@pytest.mark.parametrize(
    ("days", "mend"),
    [
        pytest.param(DAYS[:2], "procurement backfill 2025-12-13 2025-12-14", id="one after the other"),
        pytest.param(DAYS, "each by procurement run, the earliest first: procurement run 2025-12-13", id="with days between"),
    ],
)
def test_days_to_be_run_again_are_named_with_a_command_that_runs_no_other(days: list[dt.date], mend: str) -> None:
    assert stale_in_words([StaleDay(day, "", "new: orders DE.csv") for day in days]).endswith(f" (new: orders DE.csv): {mend}")


@pytest.mark.parametrize(("date", "why"), [("2024-12-31", "PROCUREMENT_START_DATE"), ("2999-01-01", "in the future")])
def test_a_date_that_has_no_partition_is_one_line(procurement: Procurement, home: Settings, date: str, why: str) -> None:
    assert why in procurement("run", date).error
    assert not home.home.exists()


def test_a_day_that_another_run_holds_is_one_line_that_names_it(procurement: Procurement, quick: Settings, database: Database) -> None:
    lock = DayLock.acquire(database, DOMAIN, dt.date.fromisoformat(DAY), "somebody's run")
    try:
        done = procurement("run", DAY)
    finally:
        lock.release()
    assert done.code == 1
    assert done.out == ""
    assert "somebody's run" in done.err.splitlines()[-1]
    assert procurement("exceptions", "--history", "--format", "json").json == []


IN_BACKGROUND = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # as shells run what a script ends with &


@pytest.mark.parametrize(
    ("before", "number", "step"),
    [("", signal.SIGINT, "intake"), ("", signal.SIGTERM, "net_demand"), (IN_BACKGROUND, signal.SIGTERM, "supplier_orders")],
)
def test_an_interrupted_run_is_exit_code_130_and_recorded(
    procurement: Procurement, quick: Settings, before: str, number: signal.Signals, step: str
) -> None:
    procurement("simulate", DAY, "--orders", 200)
    script = f"{before}from procurement_platform.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", script, "run", DAY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert any(step in line for line in child.stderr)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "interrupted"
    (crash,) = procurement("exceptions", DAY, "--format", "json").json
    assert crash["rule"] == "PIPELINE_CRASH"
    assert "the run was interrupted" in crash["message"]
    assert procurement("run", DAY).code == 0


def test_a_file_that_is_still_being_written_is_left_out_and_that_is_said(procurement: Procurement, growing: Path) -> None:
    done = procurement("run", DAY)
    assert done.code == 0, done.err
    told = f"Left out, because they are still being written: orders DE.csv. Once they are whole: procurement run {DAY}"
    assert done.err.splitlines().count(told) == 1
    listed = procurement("files", DAY, "--format", "json").json
    (line,) = [each for each in listed if each["file"] == "DE.csv"]
    assert line["state"] == "waiting"
    assert "s ago; the next run takes it once it does not change any more" in line["note"]


def test_a_failed_day_says_why_and_that_nothing_of_it_shows(procurement: Procurement, quick: Settings, database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("ALTER TABLE control.published_days RENAME TO away")
    done = procurement("run", DAY)
    with database.transaction() as connection:
        connection.execute("ALTER TABLE control.away RENAME TO published_days")
    assert done.code == 1
    assert done.out == ""
    *_, why, what_now = done.err.splitlines()
    assert why.startswith(f"error: {DAY} failed: ")
    assert what_now == f"Nothing of it shows: what was published before stays. The report: procurement exceptions {DAY}"
    (crash,) = procurement("exceptions", DAY, "--format", "json").json
    assert (crash["rule"], crash["severity"]) == ("PIPELINE_CRASH", "CRITICAL")
    assert procurement("run", DAY).code == 0
    assert "PIPELINE_CRASH" not in procurement("exceptions", DAY, "--format", "csv").out
    assert len(procurement("exceptions", "--history", "--format", "json").json) == 1
