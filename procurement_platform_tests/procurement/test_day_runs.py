"""A day's runs: those that crash, die, meet another or lose their lock."""

import csv
import datetime as dt
from decimal import Decimal

import pytest

from procurement_platform.errors import DayBusy, LockLost
from procurement_platform.procurement import publication, service
from procurement_platform_tests.procurement.shop import DAY, Shop, order

NEXT = DAY + dt.timedelta(days=1)


def test_a_crash_adds_one_line_to_the_report_and_success_takes_it_away(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted(except_for=["GB"])
    shop.run()
    before = shop.report()

    def broken(_: object) -> None:
        raise OSError(f"{shop.platform.lake.root}/output is full")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("procurement_platform.procurement.publication.publish_day", broken)
            with pytest.raises(OSError, match="is full"):
                shop.run()
        lines = [line for line in csv.DictReader(shop.report().splitlines()) if line["rule"] == "PIPELINE_CRASH"]
        assert len(lines) == 1
        assert lines[0]["dataset"] == "published_day"
        assert "output is full" in lines[0]["message"]
        assert shop.platform.lake.root not in lines[0]["message"]
        assert ("PIPELINE_CRASH", "", "", "", 1) in shop.exceptions()
    shop.run()
    assert shop.report() == before
    assert [c.step for c in service.crashes(shop.platform, DAY)] == ["published_day", "published_day"]


def test_a_run_that_died_without_a_word_is_found_by_the_next_one(shop: Shop) -> None:
    dead = shop.day(run_id="dead")
    dead.begin()
    dead.log.at_step(DAY, "dead", "net_demand")
    assert dead._lock is not None
    dead._lock.release()  # what the server does when the process is gone
    shop.run()
    assert [(c.run_id, c.step) for c in service.crashes(shop.platform, DAY)] == [("dead", "net_demand")]
    assert "PIPELINE_CRASH" not in {e[0] for e in shop.exceptions()}


def test_exceptions_notice_a_dead_run_by_themselves(shop: Shop) -> None:
    shop.run()
    dead = shop.day(run_id="dead")
    dead.begin()
    assert "PIPELINE_CRASH" not in {e[0] for e in shop.exceptions()}, "it lives and holds the day"
    assert dead._lock is not None
    dead._lock.release()
    assert "PIPELINE_CRASH" in {e[0] for e in shop.exceptions()}


def test_a_day_that_is_being_run_cannot_be_run_twice_and_is_not_called_crashed(shop: Shop) -> None:
    first = shop.day(run_id="first")
    first.begin()
    try:
        with pytest.raises(DayBusy) as busy:
            shop.run()
    finally:
        first.close()
    assert busy.value.holder.startswith("test")
    assert service.crashes(shop.platform, DAY) == []


def test_another_day_can_run_meanwhile(shop: Shop) -> None:
    first = shop.day(run_id="first")
    first.begin()
    try:
        shop.run(NEXT)
    finally:
        first.close()
    assert shop.platform.days.get("procurement", NEXT) is not None


def test_a_run_that_lost_its_lock_commits_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.run()
    before = (shop.csvs(), shop.report())
    shop.put("orders", "DE", [order("1", "B", 9)])
    original = publication.make_exceptions

    def losing(run: object) -> object:
        run._lock._connection.close()  # type: ignore[attr-defined]
        return original(run)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("procurement_platform.procurement.publication.make_exceptions", losing)
        with pytest.raises(LockLost):
            shop.run()
    assert shop.csvs() == before[0]
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(7), "what buyers see is the published day"
