"""A published day that its files have left behind says so, on standard error alone."""

import datetime as dt
from collections.abc import Iterator

import pytest

from procurement_platform.platform import Platform
from procurement_platform.procurement.publication import report_crash
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement
from procurement_platform_tests.procurement.shop import Shop, count, order

COMMANDS = ("orders", "demand", "exceptions", "quarantine")


@pytest.fixture
def shop(home: Settings) -> Iterator[Shop]:
    opened = Shop(Platform(home.model_copy(update={"settle_seconds": 0.0})))
    opened.load()
    yield opened
    opened.platform.close()


@pytest.fixture
def published(shop: Shop) -> Shop:
    shop.all_counted()
    shop.put("orders", "DE", [order("1", "A", 4), order("2", "A", 0)], form="csv")
    shop.run()
    return shop


def notes(procurement: Procurement) -> set[str]:
    """What each command says besides its output, which is the same as ever."""
    told = set()
    for command in COMMANDS:
        done = procurement(command, DAY, "--format", "json")
        assert done.code == 0
        assert done.json
        told.add(done.err)
    return told


def test_a_day_that_is_up_to_date_says_nothing(published: Shop, procurement: Procurement) -> None:
    assert notes(procurement) == {""}


def test_a_file_that_was_put_or_withdrawn_since_is_named(published: Shop, procurement: Procurement) -> None:
    published.put("orders", "GB", [order("3", "A", 1)], form="csv")
    why = f"{DAY} was published before what it is made of changed"
    assert notes(procurement) == {f"{why} (new: orders GB.csv): procurement run {DAY}\n"}
    published.run()
    assert notes(procurement) == {""}
    procurement("files", "withdraw", "GB.csv", "--why", "not theirs")
    assert notes(procurement) == {f"{why} (no longer in use: orders GB.csv): procurement run {DAY}\n"}


def test_a_run_that_failed_is_told_by_the_commands_that_have_no_line_of_it(published: Shop, procurement: Procurement) -> None:
    run = published.day(dt.date.fromisoformat(DAY))
    with pytest.raises(ZeroDivisionError), run.step("net_demand"):
        raise ZeroDivisionError
    report_crash(run)
    run.close()
    told = f"the last run of {DAY} did not succeed, this is the day as it was before: procurement exceptions {DAY}\n"
    assert procurement("orders", DAY).err.endswith(told)
    assert procurement("demand", DAY, "--format", "csv").err == told
    assert told not in procurement("exceptions", DAY).err


def test_a_run_that_failed_after_it_published_is_told_otherwise(shop: Shop, procurement: Procurement) -> None:
    shop.put("orders", "DE", [order("1", "A", 4)], form="csv")
    run_id = shop.run()
    late = shop.day(dt.date.fromisoformat(DAY), run_id)
    with pytest.raises(ZeroDivisionError), late.step("published_day"):
        raise ZeroDivisionError
    late.close()
    told = f"the last run of {DAY} did not succeed, what it published shows: procurement exceptions {DAY}\n"
    assert procurement("demand", DAY, "--format", "csv").err == told


def test_of_a_day_that_was_never_published_nothing_more_is_said(shop: Shop, procurement: Procurement) -> None:
    shop.put("orders", "DE", [order("1", "A", 4)], form="csv")
    shop.put("stock", "DE", [count("A", 1)], form="csv")
    assert procurement("orders", DAY).error.startswith(f"{DAY} is not published: it was never run.")
