"""`procurement maintain`: what it says, and that it does what it says."""

import os

from procurement_platform.cli.maintain import COLUMNS
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement


def test_it_says_what_it_would_do_and_then_does_it(procurement: Procurement, quick: Settings) -> None:
    assert procurement("simulate", DAY, "--orders", 50, "--faults", "none").code == 0
    assert procurement("run", DAY).code == 0
    orders = procurement("orders", DAY, "--format", "json").json
    stray = quick.home / "lake" / "processed" / "net_demand" / DAY / "forgotten" / "part-0.parquet"
    stray.parent.mkdir()
    stray.write_bytes(b"12345")
    for path in (stray, stray.parent):
        os.utime(path, (0, 0))

    told = procurement("maintain", "--dry-run", "--format", "json")
    assert "Nothing was done" in told.err
    assert stray.exists()
    done = procurement("maintain", "--format", "json")
    assert done.json == told.json
    assert all(tuple(line) == COLUMNS for line in done.json)
    assert {line["task"] for line in done.json} == {"expire", "orphans"}
    (line,) = [line for line in done.json if line["task"] == "orphans"]
    assert line == {
        "task": "orphans",
        "what": f"processed/net_demand/{DAY}",
        "did": "files removed",
        "count": 1,
        "bytes": 5,
        "note": "",
    }
    assert not stray.parent.exists()
    assert procurement("orders", DAY, "--format", "json").json == orders
    assert [x for x in procurement("maintain", "orphans", "--format", "json").json if x["count"]] == []


def test_a_task_that_does_not_exist_is_wrong_usage(procurement: Procurement) -> None:
    done = procurement("maintain", "vacuum")
    assert done.code == 2
    assert "vacuum" in done.err
