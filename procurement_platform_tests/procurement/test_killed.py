"""A run killed between any two lines, and at every step: what buyers see stays whole, and the next run gives the same bytes as ever.

The killed run is the real command in a process of its own, which counts the lines it executes in the package and kills itself with
SIGKILL at a given one.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from procurement_platform.finished import PARTITION_TAG
from procurement_platform.instance import prepare_dagster_home
from procurement_platform.procurement import service
from procurement_platform.procurement.endings import mark_killed
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.quality.crashes import RunLog
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

KILLS = int(os.environ.get("PROCUREMENT_TEST_KILLS", "8"))
SWITCH_KILLS = 4
STEPS = ("reference", "intake", "aggregated_orders", "net_demand", "supplier_orders", "exceptions", "published_day")
CHILD = """
import os, signal, sys
from procurement_platform.project import PACKAGE

limit, step, package = int(sys.argv[1]), sys.argv[2], str(PACKAGE / sys.argv[4])
lines = 0

def count(frame, event, argument):
    global lines
    if event == "line":
        lines += 1
        if lines == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    return count

def enter(frame, event, argument):
    code = frame.f_code
    if step and code.co_name == "at_step" and frame.f_locals.get("step") == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return count if limit and code.co_filename.startswith(package) else None

from procurement_platform.cli import main
from procurement_platform.procurement import running  # imported here, so that the lines counted are the run's own
sys.argv[1:] = ["run", sys.argv[3]]
sys.settrace(enter)
try:
    main()
finally:
    sys.settrace(None)
    sys.stderr.write(f"lines: {lines}\\n")
"""


def kill_at(shop: Shop, *, line: int = 0, step: str = "", within: str = "") -> int:
    """Runs the day in a process that is killed at a step, or at a line, counted in modules of the package whose paths begin with `within`.

    Returns how many lines it ran where it was not killed.
    """
    command = [sys.executable, "-c", CHILD, str(line), step, DAY.isoformat(), within]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == -signal.SIGKILL:
        return 0
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rsplit("lines: ", 1)[1])


def survivors(home: Path) -> list[str]:
    """Processes of a home that still run, other than the embedded PostgreSQL, this one and its children."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes().decode(errors="replace")
                parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            ours = f"PROCUREMENT_HOME={home}".encode() in environment.split(b"\0")
            ours = ours or ("procurement_platform.inbox.worker" in command and parent == 1)  # a decoding process knows no home
            if ours and parent != os.getpid() and "postgres" not in command:
                found.append(command)
    return found


class Day:
    """A day with two states of its inbox, and what each of them is published as."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.published: dict[str, object] = {}
        self.stable: dict[str, tuple[dict[str, str], str]] = {}
        for state in ("after", "before"):
            self.send(state)
            shop.run()
            self.published[state] = self.seen()
            self.stable[state] = self.settled()
        assert self.published["after"] != self.published["before"]
        (after, after_report), (before, before_report) = self.stable["after"], self.stable["before"]
        assert set(after) != set(before)
        assert after["S1.csv"] != before["S1.csv"]
        assert after_report != before_report

    def send(self, state: str) -> None:
        """Puts the files of a state into the inbox: a corrected file, a second one that repeats and contradicts, stock that changed."""
        self.shop.put("orders", "DE", [order("1", "A", 20), order("2", "B", 5 if state == "before" else 6), order("3", "GONE", 1)])
        late = [order("1", "A", 20)] if state == "before" else [order("1", "A", 21), order("4", "C", 9)]
        self.shop.put("orders", "DE", late, suffix="__late")
        self.shop.put("orders", "GB", [order("7", "B", 3)])
        self.shop.put("stock", "DE", [count("A", 4), count("B", 0 if state == "before" else 9, 1)])
        self.shop.put("stock", "GB", [count("B", 1)])

    def seen(self) -> tuple[object, ...]:
        """All that a buyer can see: the results of the commands, and the published files."""
        shop = self.shop
        day = service.published_day(shop.platform, DAY)
        files = [(f.stable, f.sha256, shop.platform.days.read(f)) for f in day.manifest]
        return list(service.orders(shop.platform, DAY)), list(service.demand(shop.platform, DAY)), files

    def settled(self) -> tuple[dict[str, str], str]:
        """The files at their stable paths, as one who opens them finds them: the suppliers', and the report."""
        return self.shop.csvs(), self.shop.report()


@pytest.fixture
def day(shop: Shop) -> Day:
    return Day(shop)


def check(day: Day, state: str, before: str, told: str = "") -> None:
    """After a kill: buyers see the old day or the new one, whole; the next run publishes the new one, and the crash is known.

    They do so also in the stable folder, before any command has looked.
    """
    assert day.settled() in (day.stable[before], day.stable[state]), told
    seen = day.seen()
    assert seen in (day.published[before], day.published[state]), told
    deadline = time.monotonic() + 10
    while (left := survivors(day.shop.platform.settings.home)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert left == [], told
    day.shop.run()
    assert (day.seen(), day.settled()) == (day.published[state], day.stable[state]), told
    assert "PIPELINE_CRASH" not in day.shop.report(), told
    assert forgotten(day.shop) == [], told


def forgotten(shop: Shop) -> list[str]:
    """Killed runs that the event log still shows as running, or of which no crash is known, once the next run has looked."""
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(shop.platform.settings))) as instance:
        mark_killed(shop.platform, instance, DAY)  # as a run by Dagster does at its end
        runs = instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: DAY.isoformat()}))
    known = {crash.run_id for crash in service.crashes(shop.platform, DAY)}
    left = [run for run in runs if run.status != dg.DagsterRunStatus.SUCCESS]
    return [run.run_id for run in left if run.status != dg.DagsterRunStatus.FAILURE or run.run_id not in known]


@pytest.mark.timeout(400)
def test_a_run_killed_at_any_step_heals(day: Day) -> None:
    states = ("after", "before")
    for number, step in enumerate(STEPS):
        state, before = states[number % 2], states[(number + 1) % 2]
        day.send(state)
        assert kill_at(day.shop, step=step) == 0
        check(day, state, before)
    assert len(service.crashes(day.shop.platform, DAY)) == len(STEPS)


@pytest.mark.timeout(max(1200, 30 * KILLS))
def test_a_run_killed_between_any_two_lines_heals(day: Day) -> None:
    day.send("after")
    lines = min(kill_at(day.shop, line=10**9) for _ in range(2))  # the home's first such run compiles more SQL
    assert day.seen() == day.published["after"]
    seed = time.time_ns()
    chosen = random.Random(seed)  # noqa: S311 -- other lines every time; a failure names them
    states = ("before", "after")
    for number in range(KILLS):
        state, before = states[number % 2], states[(number + 1) % 2]
        day.send(state)
        line = chosen.randrange(1, lines)
        # How many lines a run takes differs a little from run to run: one of the very last may never come.
        ended = kill_at(day.shop, line=line)
        assert ended == 0 or line > lines * 9 // 10
        check(day, state, before, f"seed {seed}, kill {number}: line {line} of {lines}")


@pytest.mark.timeout(600)
def test_a_run_killed_while_the_stable_files_are_switched_shows_one_day_and_what_looks_next_brings_the_other(day: Day) -> None:
    day.send("after")
    lines = kill_at(day.shop, line=10**9, within="lake/stable.py")
    states = ("before", "after")
    found = set()
    for number in range(SWITCH_KILLS):
        state, before = states[number % 2], states[(number + 1) % 2]
        day.send(state)
        assert kill_at(day.shop, line=1 + number * (lines - 3) // (SWITCH_KILLS - 1), within="lake/stable.py") == 0
        found.add(day.settled() == day.stable[state])
        assert day.settled() in (day.stable[before], day.stable[state])
        assert day.seen() == day.published[state], "it was published before"
        [crash] = [row for row in service.exceptions(day.shop.platform, DAY) if row["rule"] == "PIPELINE_CRASH"]
        assert "It had published the day by then: all of it shows." in str(crash["message"])
        assert str(crash["message"]) in day.shop.report()
        assert day.shop.csvs() == day.stable[state][0]
    assert found == {True, False}


KILLED_IN = """
import os, signal, sys
from procurement_platform.procurement import planning, publication

def kill(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)

def break_it(*given, **named):
    raise OSError("no room")

setattr(publication, sys.argv.pop(1), kill)
planning.make_net_demand = break_it
from procurement_platform.cli import main
main()
"""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("command", ["exceptions", "run"])
def test_what_whoever_recorded_a_crash_left_of_the_report_when_it_was_killed_is_finished_by_who_reads(day: Day, command: str) -> None:
    shop = day.shop
    for within in ("show_crash", "_switch", "with_crash"):
        if command == "exceptions":
            dead = shop.day()
            dead.begin()
            assert dead._lock is not None
            dead._lock.release()
        child = [sys.executable, "-c", KILLED_IN, within, command, str(DAY)]
        assert subprocess.run(child, capture_output=True, check=False).returncode == -signal.SIGKILL
        assert RunLog(shop.platform.database, DOMAIN).standing_crash(DAY) is not None, "it was recorded"
        assert "PIPELINE_CRASH" not in shop.report()
        [crash] = [row for row in service.exceptions(shop.platform, DAY) if row["rule"] == "PIPELINE_CRASH"]
        assert shop.report().count(str(crash["message"])) == 1
        shop.run()
        assert day.settled() == day.stable["before"]


def test_a_crash_that_is_over_leaves_the_report_also_where_the_run_that_ended_it_was_killed_right_then(day: Day) -> None:
    shop, log = day.shop, RunLog(day.shop.platform.database, DOMAIN)
    log.fail(DAY, "failed", "net_demand", "no room")
    service.exceptions(shop.platform, DAY)
    assert list(service.exceptions(shop.platform, DAY))
    assert "PIPELINE_CRASH" in shop.report()
    log.begin(DAY, "of some assets", "test")
    log.succeed(DAY, "of some assets")
    assert list(service.exceptions(shop.platform, DAY))
    assert day.settled() == day.stable["before"]


def test_settled_files_are_mended_by_the_next_run_after_a_kill_while_they_are_written(day: Day) -> None:
    day.send("after")
    day.shop.run()
    expected = day.settled()
    folder = f"output/supplier_orders/{DAY}"
    day.shop.platform.lake.write(f"{folder}/S1.csv", b"half")
    day.shop.platform.lake.write(f"{folder}/S9.csv", b"stale")
    day.shop.run()
    assert day.settled() == expected
