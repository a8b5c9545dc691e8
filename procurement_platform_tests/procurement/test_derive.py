"""What a step reads of the steps before it, in the same process and in another."""

from procurement_platform.procurement.derive import current
from procurement_platform.procurement.intake import take_in
from procurement_platform.procurement.reference.pins import pin
from procurement_platform.procurement.tables import ORDER_LINES, STOCK_LINES
from procurement_platform_tests.procurement.shop import DAY, Shop, order


def test_a_step_reads_the_same_files_whether_this_process_committed_them_or_another(shop: Shop) -> None:
    shop.platform.settings = shop.platform.settings.model_copy(update={"small_day_rows": 0})  # two files
    for market in ("DE", "GB"):
        shop.put("orders", market, [order("1", "A", 1), order("2", "B", 2)])
    run = shop.day()
    with run.step("reference"):
        pin(shop.platform, DAY)
    with run.step("intake"):
        take_in(run)
    elsewhere = shop.day(run_id=run.run_id)  # as a step in a process of its own has it
    for table in (ORDER_LINES, STOCK_LINES):
        assert run.committed[table.name] == current(run, table).files == current(elsewhere, table).files
    assert len(current(run, ORDER_LINES).files) == 2
    assert current(run, STOCK_LINES).files == ()
    run.close()


def test_a_later_run_reads_what_it_committed_itself(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    before = shop.platform.catalog.files(ORDER_LINES, DAY)
    shop.put("orders", "DE", [order("1", "A", 5)])
    shop.run()
    after = shop.platform.catalog.files(ORDER_LINES, DAY)
    assert not set(before) & set(after)
    assert shop.demand()["DE", "A"]["gross_demand"] == 5
