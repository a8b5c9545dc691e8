"""A run on the cluster that is killed, loses its day, or meets another of that day: readers see whole tables, the next run heals."""

import os
import random

import pytest
from hive_metastore.ttypes import ShowLocksRequest

from procurement_platform.lake.metastore_client import Connections
from procurement_platform.procurement import service
from procurement_platform.procurement.tables import NET_DEMAND
from procurement_platform_tests.procurement.faults import Far
from procurement_platform_tests.procurement.shop import DAY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("PROCUREMENT_TEST_KILLS", "2"))
STEPS = ("reference", "intake", "aggregated_orders", "net_demand", "supplier_orders", "exceptions", "published_day")
AT_STEP = "procurement_platform.quality.crashes:RunLog.at_step"
COMMIT = "procurement_platform.lake.publish:Publisher.commit"
FILES = "procurement_platform.lake.hdfs:Hdfs._patiently"
LOCKED = "procurement_platform.lake.metastore_locks:TableLock.check"
FILE_OPERATIONS = 300  # a run has some more


def locks(far: Far) -> list[str]:
    """Who holds locks of the metastore, of any table of the lake."""
    with Connections(far.settings.metastore_uri, 60.0, 60.0) as client:
        held = client.show_locks(ShowLocksRequest(dbname=far.settings.table_schema)).locks or []
    return [f"{lock.tablename} {lock.agentInfo}" for lock in held]


# A run of 100,000 lines takes 71 s (docs/cluster.md), these less; a killed one about half. After each all tables are read, by both readers.
@pytest.mark.timeout(900 + 90 * (len(STEPS) + KILLS))
def test_a_run_killed_at_every_step_at_any_moment_or_with_a_table_locked_heals(far: Far) -> None:
    known, state = len(far.crashes()), far.send()
    chosen = random.Random(97002)  # noqa: S311 -- the same moments every time
    steps = [(AT_STEP, 1, step) for step in STEPS]
    moments = [(FILES, chosen.randrange(1, FILE_OPERATIONS), "") for _ in range(KILLS)]
    for place, number, word in (*steps, *moments, (LOCKED, 4, "")):
        run = far.start(place, number=number, word=word)
        run.wait_held()
        run.kill()
        far.check_whole()
    [left] = locks(far)
    assert f" {DAY} {run.process.pid} " in left
    far.heal(state)
    assert locks(far) == []
    found = far.crashes()[known:]
    assert len(found) == len(steps) + len(moments) + 1
    assert all(crash.endswith("the run was killed before it ended") for crash in found)


def test_of_two_runs_of_a_day_the_second_is_told_who_has_it(far: Far) -> None:
    state = far.send()
    first = far.start(AT_STEP, word="net_demand")
    first.wait_held()
    second = far.start()
    words = (f"procurement {DAY} is being worked on by command run ", f", process {first.process.pid} on ")
    far.fail(second, *words, recorded=False)
    far.check_whole()
    first.go_on()
    far.finish(first, state)


@pytest.mark.parametrize("first_rows", [True, False], ids=["the date's first rows", "rows to be replaced"])
def test_a_run_that_loses_its_day_within_a_commit_adds_nothing_to_the_next_run_s_rows(far: Far, first_rows: bool) -> None:
    state = far.send()
    if first_rows:
        far.platform.catalog.replace(NET_DEMAND, DAY, [], {})
    first = far.start(LOCKED, word=".net_demand'")
    first.wait_held()
    far.cluster.kill("postgres")
    far.cluster.up()
    far.heal(state)  # it has taken the lock that the first held
    before = far.platform.catalog.load(NET_DEMAND).current_snapshot(), service.published_day(far.platform, DAY)
    first.go_on()
    far.fail(first, f"the lock of procurement {DAY} was lost", recorded=False)
    assert (far.platform.catalog.load(NET_DEMAND).current_snapshot(), service.published_day(far.platform, DAY)) == before
    assert far.in_pyiceberg(NET_DEMAND) == far.in_trino(NET_DEMAND) == far.rows[state][NET_DEMAND.name]
    assert locks(far) == []


def test_a_run_that_lost_its_day_with_postgresql_commits_nothing_afterwards(far: Far) -> None:
    state = far.send()
    first = far.start(COMMIT, word="name='net_demand'")
    first.wait_held()
    far.cluster.kill("postgres")
    far.cluster.up()
    far.heal(state)  # another run has had the day meanwhile
    before = far.platform.catalog.load(NET_DEMAND).current_snapshot(), service.published_day(far.platform, DAY)
    first.go_on()
    far.fail(first, f"the lock of procurement {DAY} was lost", recorded=False)
    assert (far.platform.catalog.load(NET_DEMAND).current_snapshot(), service.published_day(far.platform, DAY)) == before
    far.check_whole()
