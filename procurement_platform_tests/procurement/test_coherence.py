"""A day that is put together from several runs' steps is published only where each step followed the one before it."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from procurement_platform.dayrun import DayRun
from procurement_platform.errors import ProcurementError
from procurement_platform.lake.retention import remove_old_runs
from procurement_platform.lake.runs import RunRegistry
from procurement_platform.platform import Platform
from procurement_platform.procurement import planning, publication
from procurement_platform.procurement.coherence import SOURCES, DayState
from procurement_platform.procurement.handing_in import withdraw
from procurement_platform.procurement.intake import take_in
from procurement_platform.procurement.reference.pins import pin
from procurement_platform.procurement.stale import stale_days
from procurement_platform.procurement.tables import NET_DEMAND, ORDER_LINES, TABLES
from procurement_platform.procurement.versions import history, roll_back
from procurement_platform_tests.procurement.shop import DAY, Shop, order

STEPS: dict[str, Callable[[DayRun], object]] = {
    "intake": take_in,
    "aggregated_orders": planning.make_aggregated_orders,
    "net_demand": planning.make_net_demand,
    "supplier_orders": planning.make_supplier_orders,
    "exceptions": publication.make_exceptions,
    "published_day": publication.publish_day,
}
ORDER = list(STEPS)
LATER = ("aggregated_orders", "net_demand", "supplier_orders")


@pytest.fixture
def ran(shop: Shop) -> Shop:
    """A shop whose day was run: one file of orders, each market's stock."""
    shop.put("orders", "DE", [order("1", "A", 20)])
    shop.all_counted()
    shop.run()
    return shop


def materialise(shop: Shop, *steps: str) -> None:
    """Runs steps as somebody in the UI does: each by a run of its own."""
    for name in steps:
        run = shop.day()
        try:
            with run.step(name):
                STEPS[name](run)
        finally:
            run.close()


def late_file(shop: Shop) -> None:
    shop.put("orders", "DE", [order("2", "A", 100)], suffix="__late")


def test_the_outcomes_of_a_whole_run_belong_together(ran: Shop) -> None:
    DayState.of(ran.day()).check(*SOURCES)
    assert {table.name for table in TABLES} < set(SOURCES)


@pytest.mark.parametrize("step", ["net_demand", "supplier_orders", "exceptions", "published_day"])
def test_a_late_file_taken_in_alone_is_not_published_with_the_orders_of_before(ran: Shop, step: str) -> None:
    before = (ran.csvs(), ran.platform.days.get("procurement", DAY))
    late_file(ran)
    materialise(ran, "intake")
    with pytest.raises(ProcurementError) as refused:
        materialise(ran, step)
    assert str(refused.value) == (
        f"aggregated_orders of {DAY} was made from order_lines as it was before: "
        "materialise aggregated_orders of that date first, then what follows it"
    )
    assert (ran.csvs(), ran.platform.days.get("procurement", DAY)) == before


def test_the_day_that_was_not_published_again_is_still_stale_and_the_next_run_heals_it(ran: Shop) -> None:
    late_file(ran)
    materialise(ran, "intake")
    day = ran.platform.days.get("procurement", DAY)
    assert day is not None
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert DAY in [stale.run_date for stale in stale_days(_near(ran), later)]
    ran.run()
    assert ran.demand()["DE", "A"]["gross_demand"] == 120
    assert DAY not in [stale.run_date for stale in stale_days(_near(ran), later)]


def _near(shop: Shop) -> Platform:
    """The platform with a late window that reaches back to the day."""
    window = (shop.platform.settings.today() - DAY).days + 1
    shop.platform.settings = shop.platform.settings.model_copy(update={"late_window_days": window})
    return shop.platform


@pytest.mark.parametrize("made", range(1, len(LATER) + 1))
def test_each_step_that_is_left_out_is_named(ran: Shop, made: int) -> None:
    late_file(ran)
    materialise(ran, *ORDER[:made])
    with pytest.raises(ProcurementError, match=f": materialise {ORDER[made]} of that date first"):
        materialise(ran, "published_day")


def test_steps_one_by_one_in_order_publish_what_a_whole_run_does(ran: Shop) -> None:
    late_file(ran)
    materialise(ran, *ORDER)
    made = (ran.csvs(), ran.report())
    assert ran.demand()["DE", "A"]["gross_demand"] == 120
    ran.run()
    assert (ran.csvs(), ran.report()) == made


def test_a_step_may_be_run_again_alone_where_nothing_changed(ran: Shop) -> None:
    before = (ran.csvs(), ran.report())
    for step in ORDER:
        materialise(ran, step, "published_day")
    assert (ran.csvs(), ran.report()) == before


def test_a_report_of_before_is_not_published_with_new_orders(ran: Shop) -> None:
    ran.put("orders", "DE", [order("2", "N", 3)], suffix="__late")  # which nobody sells
    materialise(ran, "intake", *LATER)
    with pytest.raises(ProcurementError, match=r"exceptions of .* was made from what supplier_orders found wrong as it was before"):
        materialise(ran, "published_day")


def test_a_file_withdrawn_since_the_intake_is_noticed(ran: Shop) -> None:
    withdraw(ran.platform, "DE.avro", "sent by mistake", DAY, "orders")
    with pytest.raises(
        ProcurementError, match=r"order_lines of .* was made from other files than the ledger has in use: materialise intake"
    ):
        materialise(ran, "aggregated_orders")
    with pytest.raises(ProcurementError, match="materialise intake"):
        materialise(ran, "published_day")


def test_an_empty_file_changes_no_line_and_yet_the_demand(ran: Shop) -> None:
    withdraw(ran.platform, "GB.avro", "sent by mistake", DAY, "stock")
    ran.run()
    ran.put_bytes("stock", "GB.csv", b"market,sku,available,reserved\n")
    materialise(ran, "intake")
    with pytest.raises(ProcurementError, match=r"net_demand of .* other files than the ledger has in use: materialise net_demand"):
        materialise(ran, "supplier_orders")


def test_a_refreshed_reference_asks_for_the_steps_that_read_it_and_no_others(ran: Shop) -> None:
    ran.load({"supplier_products": "supplier_id,sku,unit_price\nS2,A,1\n"})
    pin(ran.platform, DAY, refresh=True)
    with pytest.raises(
        ProcurementError, match=r"supplier_orders of .* another version of the reference's supplier_products: materialise supp"
    ):
        materialise(ran, "published_day")
    materialise(ran, "supplier_orders", "exceptions", "published_day")
    assert ran.orders()["A"][0] == "S2"


def test_what_the_days_orders_were_compared_with_is_what_was_there_at_the_intake(ran: Shop) -> None:
    day = DAY + dt.timedelta(days=1)
    ran.put("orders", "DE", [order("9", "A", 1, ordered_at="2025-12-21T12:00:00Z")], day=day)
    run = ran.day(day)
    with run.step("reference"):
        pin(ran.platform, day)
    for name in ORDER[:-1]:
        with run.step(name):
            STEPS[name](run)
    late_file(ran)
    ran.run()  # the day before, while this one is under way
    with run.step("published_day"):
        publication.publish_day(run)
    run.close()
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert day in [stale.run_date for stale in stale_days(_near(ran), later)]


NEXT = DAY + dt.timedelta(days=1)


def sent_twice(shop: Shop) -> None:
    """A line that the day after has sent and published comes in a late file of the day before, too."""
    line = order("77", "A", 500, ordered_at="2025-12-20T12:00:00Z")
    shop.put("orders", "DE", [line, order("9", "A", 10, ordered_at="2025-12-21T12:00:00Z")], day=NEXT)
    shop.all_counted(day=NEXT)
    shop.run(NEXT)
    assert shop.demand(NEXT)["DE", "A"]["gross_demand"] == 510
    shop.put("orders", "DE", [line], suffix="__late")


def test_a_line_that_an_earlier_day_took_in_and_never_published_is_not_lost_to_the_day_that_has_it(ran: Shop) -> None:
    sent_twice(ran)
    materialise(ran, "intake")  # and the run ends there
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert NEXT not in [stale.run_date for stale in stale_days(_near(ran), later)]
    ran.run(NEXT)
    assert ran.demand(NEXT)["DE", "A"]["gross_demand"] == 510
    assert "DUPLICATE_ORDER" not in ran.report(NEXT)
    ran.run()
    assert NEXT in [stale.run_date for stale in stale_days(_near(ran), later)]
    ran.run(NEXT)
    assert (ran.demand()["DE", "A"]["gross_demand"], ran.demand(NEXT)["DE", "A"]["gross_demand"]) == (520, 10)
    assert f"sent before in row 1 of DE__late.avro of {DAY}, which counts" in ran.report(NEXT)


def test_a_day_that_was_rolled_back_and_not_published_changes_no_other_day(ran: Shop) -> None:
    before = next(version.run_id for version in history(ran.platform, ORDER_LINES, DAY))
    sent_twice(ran)
    ran.run()
    ran.run(NEXT)
    roll_back(ran.platform, ORDER_LINES, DAY, before)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert stale_days(_near(ran), later) == []
    ran.run(NEXT)
    assert ran.demand(NEXT)["DE", "A"]["gross_demand"] == 10  # the other 500 are in the orders of the day before, as buyers see it
    assert ran.platform.days.get("procurement", DAY) is not None


class Killed(BaseException):
    """What a kill does: nothing is done after it."""


def kill_before_recording(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """From here on the commit of a table is made, and never recorded."""

    def killed(_: RunRegistry, name: str, *given: Any, **more: Any) -> None:
        if name == table:
            raise Killed
        record(_, name, *given, **more)

    record = RunRegistry.commit
    monkeypatch.setattr(RunRegistry, "commit", killed)


def in_table(shop: Shop) -> object:
    """What the table says that is ordered of A in DE, published or not."""
    return next(row["gross_demand"] for row in shop.rows(NET_DEMAND) if (row["market"], row["sku"]) == ("DE", "A"))


def test_rows_that_a_killed_run_never_recorded_are_not_planned_with(ran: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (ran.csvs(), ran.platform.days.get("procurement", DAY))
    late_file(ran)
    materialise(ran, "intake", "aggregated_orders")
    with monkeypatch.context() as patch:
        kill_before_recording(patch, "net_demand")
        with pytest.raises(Killed):
            materialise(ran, "net_demand")
    assert in_table(ran) == 120  # the table has them
    told = f"net_demand of {DAY} has rows of a run that was killed before it recorded them"
    for step in ("supplier_orders", "exceptions", "published_day"):
        with pytest.raises(ProcurementError, match=r"materialise net_demand of that date first, then what follows it$") as refused:
            materialise(ran, step)
        assert str(refused.value).startswith(told) or step != "supplier_orders"
    assert (ran.csvs(), ran.platform.days.get("procurement", DAY)) == before
    materialise(ran, "net_demand", "supplier_orders", "exceptions", "published_day")
    assert ran.csvs() != before[0]


def test_a_failed_run_that_committed_nothing_leaves_the_day_as_it_was(ran: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(ran.platform.catalog), "replace", killed)
        with pytest.raises(Killed):
            materialise(ran, "net_demand")
    assert "net_demand" in ran.platform.registry.doubtful(DAY, "")
    materialise(ran, "supplier_orders", "exceptions", "published_day")


def test_a_rollback_that_was_killed_before_it_was_recorded_loses_no_file(ran: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(version.run_id for version in history(ran.platform, NET_DEMAND, DAY))
    late_file(ran)
    ran.run()
    with monkeypatch.context() as patch:
        kill_before_recording(patch, "net_demand")
        with pytest.raises(Killed):
            roll_back(ran.platform, NET_DEMAND, DAY, first)
    assert in_table(ran) == 20
    with pytest.raises(ProcurementError, match=r"net_demand of .* has rows of a run that was killed before it recorded them"):
        materialise(ran, "supplier_orders")
    with ran.platform.database.transaction() as connection:
        connection.execute(
            "UPDATE control.table_runs SET staged_at = staged_at - interval '99 days', committed_at = committed_at - interval '99 days'"
        )
    removed = remove_old_runs(ran.platform.database, ran.platform.lake, DAY, days=30, runs=0)
    assert not any(first in folder for folder in removed if "processed/net_demand" in folder)
    assert in_table(ran) == 20
    assert {version.run_id: version.state for version in history(ran.platform, NET_DEMAND, DAY)}[first] == "current"
    ran.run()
    assert in_table(ran) == 120
    removed = remove_old_runs(ran.platform.database, ran.platform.lake, DAY, days=30, runs=0)
    assert any(first in folder for folder in removed if "processed/net_demand" in folder)
