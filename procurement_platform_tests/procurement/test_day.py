"""The day end to end, as a buyer and a market see it: files in, supplier orders and exceptions out. On both profiles."""

import datetime as dt
import os
from decimal import Decimal

import pytest

from procurement_platform.errors import InputGone, ProcurementError
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.procurement import planning, publication, service
from procurement_platform.procurement.handing_in import withdraw
from procurement_platform.procurement.market_files import market_files
from procurement_platform.procurement.reference.pins import pin
from procurement_platform.procurement.tables import AGGREGATED_ORDERS, ORDER_LINES, SUPPLIER_ORDER_ALLOCATIONS
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

NEXT = DAY + dt.timedelta(days=1)
SENT = f"inbox/orders/{DAY}/DE.avro"


@pytest.fixture
def shop(either_shop: Shop) -> Shop:
    return either_shop


def test_orders_minus_stock_become_whole_packs_from_the_first_supplier(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 20), order("1", "B", 3), order("2", "A", 5)])
    shop.put("orders", "GB", [order("9", "A", "1.5")])
    shop.put("stock", "DE", [count("A", 10, 4, warehouse="north"), count("A", 1, 0, warehouse="south"), count("B", 1)])
    shop.put("stock", "GB", [count("B", 1)])
    shop.put("orders", "JP", [order("5", "C", 1, unit_price="700")])
    shop.put("stock", "JP", [count("A", 100)])
    shop.run()
    # DE: 25 + 2 safety − (10 − 4 + 1) = 20; GB: 1.5 + 2 − 0 = 3.5 (zero stock: its file leaves A out); JP: 0 + 5 − 100 → 0.
    demand = shop.demand()
    assert [(k, r["net_demand"], r["stock_basis"]) for k, r in demand.items()] == [
        (("DE", "A"), Decimal("20.000"), "counted"),
        (("DE", "B"), Decimal("2.000"), "counted"),
        (("GB", "A"), Decimal("3.500"), "zero"),
        (("GB", "B"), Decimal("0.000"), "counted"),
        (("JP", "A"), Decimal("0.000"), "counted"),
        (("JP", "C"), Decimal("1.000"), "zero"),
    ]
    # 23.5 of A: at least the MOQ of 10, in packs of 6: 24. C: MOQ and pack 5.
    assert shop.orders() == {"A": ("S1", Decimal(24)), "B": ("S1", Decimal(2)), "C": ("S2", Decimal(5))}
    assert shop.exceptions() == []
    orders = {r["sku"]: r for r in service.orders(shop.platform, DAY)}
    assert (orders["A"]["amount"], orders["A"]["currency"], orders["A"]["expected_date"]) == (
        Decimal("60.0000"),
        "EUR",
        dt.date(2025, 12, 23),
    )


def test_each_supplier_has_one_csv_that_a_buyer_can_open(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 20), order("1", "C", 1)])
    shop.all_counted()
    shop.run()
    assert list(shop.csvs()) == ["S1.csv", "S2.csv"]
    assert shop.csvs()["S1.csv"] == (
        "run_date,supplier_id,sku,need,quantity,pack_size,moq,unit_price,currency,amount,expected_date\n"
        "2025-12-20,S1,A,29.000,30.000,6.000,10.000,2.5000,EUR,75.0000,2025-12-23\n"
    )


def test_the_surplus_of_moq_and_pack_is_its_own_allocation(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "C", 3)])
    shop.put("orders", "GB", [order("1", "C", 3)])
    shop.all_counted()
    shop.run()
    rows = [(r["sku"], r["kind"], r["market"], r["quantity"]) for r in shop.rows(SUPPLIER_ORDER_ALLOCATIONS) if r["sku"] == "C"]
    assert sorted(rows, key=str) == sorted(
        [("C", "net_demand", "DE", Decimal(3)), ("C", "net_demand", "GB", Decimal(3)), ("C", "surplus", None, Decimal(4))], key=str
    )


def test_revenue_is_kept_per_currency(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 2, unit_price="1.25"), order("2", "A", 1, unit_price="3.3333", currency="USD")])
    shop.all_counted()
    shop.run()
    rows = [(r["market"], r["currency"], r["quantity"], r["revenue"], r["order_lines"]) for r in shop.rows(AGGREGATED_ORDERS)]
    assert rows == [("DE", "EUR", Decimal(2), Decimal("2.5"), 1), ("DE", "USD", Decimal(1), Decimal("3.3333"), 1)]


def test_a_sku_nobody_sells_is_told_and_never_silently_left_out(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "N", 7)])
    shop.all_counted()
    shop.run()
    [missing] = [r for r in service.exceptions(shop.platform, DAY) if r["rule"] == "NO_SUPPLIER"]
    assert (missing["sku"], missing["units"]) == ("N", Decimal(7))


def test_bad_rows_go_to_quarantine_and_the_good_ones_of_the_file_go_on(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("2", "B", -1), order("3", "GONE", 2), order("4", "B", 1, market="GB")])
    shop.all_counted()
    shop.run()
    assert [(r["row_number"], r["rule"]) for r in shop.rows(QUARANTINE)] == [(2, "INVALID_ROW"), (3, "UNKNOWN_PRODUCT"), (4, "INVALID_ROW")]
    file = shop.ledger()["orders", "DE.avro", "accepted"]
    assert (file.rows, file.accepted, file.quarantined, file.duplicates) == (4, 1, 3, 0)
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(7)


def test_a_line_sent_twice_counts_once_and_the_first_file_keeps_it(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("1", "B", 7), order("2", "B", 1)])
    shop.put("orders", "DE", [order("2", "B", 1)], suffix="__again")
    shop.all_counted()
    shop.run()
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(8)
    assert [(r["order_id"], r["row_number"]) for r in shop.rows(ORDER_LINES)] == [("1", 1), ("2", 3)]
    assert [e for e in shop.exceptions() if e[0] == "DUPLICATE_ORDER"] == [
        ("DUPLICATE_ORDER", "DE", "B", "DE.avro", 1),
        ("DUPLICATE_ORDER", "DE", "B", "DE__again.avro", 1),
    ]
    end = "which counts; left out. Nothing is lost; DE is to send each order line once."
    assert [r["message"] for r in service.exceptions(shop.platform, DAY) if r["rule"] == "DUPLICATE_ORDER"] == [
        f"Row 2 of DE.avro: sent before in row 1 of DE.avro, {end}",
        f"Row 1 of DE__again.avro: sent before in row 3 of DE.avro, {end}",
    ]
    assert shop.ledger()["orders", "DE__again.avro", "accepted"].duplicates == 1


def test_the_same_key_with_other_content_is_quarantined_on_both_sides(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7, line_number=1), order("2", "B", 1)])
    shop.put("orders", "DE", [order("1", "B", 8, line_number=1)], suffix="__b")
    shop.all_counted()
    shop.run()
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(1)
    kept = [(r["file"], r["rule"], r["quantity"]) for r in shop.rows(QUARANTINE)]
    assert kept == [("DE.avro", "CONFLICTING_ORDER", Decimal(7)), ("DE__b.avro", "CONFLICTING_ORDER", Decimal(8))]
    told = [str(r["message"]) for r in service.exceptions(shop.platform, DAY) if r["rule"] == "CONFLICTING_ORDER"]
    assert [message.partition(" Why: ")[2] for message in told] == [
        "order 1 line 1 was sent with different content in row 1 of DE__b.avro: send the right one alone",
        "order 1 line 1 was sent with different content in row 1 of DE.avro: send the right one alone",
    ]


def test_an_orders_row_in_quarantine_puts_its_sku_into_no_plan(shop: Shop) -> None:
    shop.load({"planning_parameters": "sku,market,safety_stock\nA,,2\nB,,5\n"})
    shop.put("orders", "DE", [order("1", "A", -1), order("2", "B", -1), order("3", "C", 1)])
    shop.put("stock", "DE", [count("B", 1)])
    shop.run()
    assert {pair: (row["gross_demand"], row["net_demand"]) for pair, row in shop.demand().items()} == {
        ("DE", "B"): (0, Decimal(4)),  # its stock names it
        ("DE", "C"): (1, Decimal(1)),
    }


def test_an_order_accepted_on_an_earlier_day_does_not_count_again(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("2", "B", 5)])
    shop.all_counted()
    shop.run()
    shop.put("orders", "DE", [order("1", "B", 7), order("2", "B", 6), order("3", "B", 1)], day=NEXT)
    shop.all_counted(day=NEXT)
    shop.run(NEXT)
    assert shop.demand(NEXT)["DE", "B"]["gross_demand"] == Decimal(1)
    assert [e for e in shop.exceptions(NEXT) if e[2] == "B"] == [
        ("CONFLICTING_ORDER", "DE", "B", "DE.avro", 1),
        ("DUPLICATE_ORDER", "DE", "B", "DE.avro", 1),
    ]
    conflict, duplicate = (str(r["message"]) for r in service.exceptions(shop.platform, NEXT) if r["sku"] == "B")
    assert f"different content in row 2 of DE.avro of {DAY}: if this one is right, correct that file and run {DAY} again, then" in conflict
    assert f"Row 1 of DE.avro: sent before in row 1 of DE.avro of {DAY}, which counts; left out." in duplicate
    report = shop.report(NEXT)
    shop.run(NEXT)
    assert shop.report(NEXT) == report


def test_an_order_accepted_before_the_window_counts_as_a_new_one(shop: Shop) -> None:
    long_after = DAY + dt.timedelta(days=shop.platform.settings.duplicate_window_days + 1)
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    shop.put("orders", "DE", [order("1", "B", 7, ordered_at="2025-12-28T09:00:00Z")], day=long_after)
    shop.run(long_after)
    assert shop.demand(long_after)["DE", "B"]["gross_demand"] == Decimal(7)


def test_running_again_changes_no_byte_of_what_is_published(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 20), order("1", "A", 20), order("3", "X", 1)])
    shop.all_counted(except_for=["GB"])
    shop.run()
    before = (shop.csvs(), shop.report())
    shop.run()
    assert (shop.csvs(), shop.report()) == before


def test_a_corrected_file_replaces_and_another_suffix_adds(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.run()
    shop.put("orders", "DE", [order("1", "B", 4)])
    shop.put("orders", "DE", [order("2", "B", 2)], suffix="__2")
    shop.run()
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(6)
    assert {k[2] for k in shop.ledger() if k[1] == "DE.avro" and k[0] == "orders"} == {"accepted", "superseded"}


def test_raw_holds_the_bytes_of_the_files_in_use_and_keeps_the_others_aside(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    first = shop.platform.lake.read(SENT)
    shop.run()
    shop.put("orders", "DE", [order("1", "B", 4)])
    second = shop.platform.lake.read(SENT)
    shop.run()
    lake, folder = shop.platform.lake, f"raw/orders/{DAY}"
    assert [lake.read(f"{folder}/{n}") for n in lake.files(folder)] == [second]
    assert [lake.read(f"{folder}/_superseded/{n}") for n in lake.files(f"{folder}/_superseded")] == [first]


def test_a_file_that_vanishes_from_the_inbox_stays_in_use(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    shop.platform.lake.remove(SENT)
    shop.run()
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(7)


def test_a_withdrawn_file_counts_no_more_even_while_it_lies_in_the_inbox(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.run()
    assert withdraw(shop.platform, "DE.avro", "wrong month", DAY, "orders") == "DE.avro (orders, 2025-12-20)"
    shop.run()
    assert ("DE", "B") not in shop.demand()
    assert ("MISSING_FILE", "DE", "", "", 1) in shop.exceptions()
    [line] = [f for f in market_files(shop.platform, DAY) if f.state == "withdrawn"]
    assert line.note.endswith(": wrong month")


def test_an_unreadable_correction_leaves_the_file_before_in_use(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.run()
    shop.put_bytes("orders", "DE.avro", b"Obj\x01 and then nothing")
    shop.run()
    assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(7)
    assert [e[0] for e in shop.exceptions()] == ["INVALID_FILE", "MISSING_FILE", "MISSING_FILE"]
    assert ("MISSING_FILE", "DE", "", "", 1) not in shop.exceptions()
    [refused] = [f for f in shop.ledger().values() if f.state == "rejected"]
    assert refused.reason is not None
    assert "stays in use" in refused.reason
    before = shop.report()
    shop.run()
    assert shop.report() == before


@pytest.mark.parametrize("tail", [b"", b"1", b"22", b"333", b"4444", b"55555"])
def test_an_unreadable_correction_is_told_whatever_its_hash(shop: Shop, tail: bytes) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    shop.put_bytes("orders", "DE.avro", b"Obj\x01 and then nothing" + tail)
    for _ in range(2):
        shop.run()
        assert ("INVALID_FILE", "DE", "", "DE.avro", 1) in shop.exceptions()
        assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(7)


def test_a_correction_in_another_format_replaces_the_file_without_a_violation(shop: Shop) -> None:
    old = shop.put("orders", "DE", [order("1", "B", 7)], form="csv")
    if shop.platform.lake.local:  # HDFS tells the two apart by itself
        os.utime(old, (1_700_000_000, 1_700_000_000))
    shop.run()
    shop.put("orders", "DE", [order("1", "B", 4)], form="avro")
    for _ in range(2):
        shop.run()
        assert shop.demand()["DE", "B"]["gross_demand"] == Decimal(4)
        assert "INVALID_FILE" not in {e[0] for e in shop.exceptions()}
    assert shop.ledger()["orders", "DE.csv", "superseded"].raw_path.startswith("raw/orders/2025-12-20/")


def test_the_ledger_knows_where_a_replaced_files_bytes_are(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    first = shop.platform.lake.read(SENT)
    shop.run()
    shop.put("orders", "DE", [order("1", "B", 4)])
    shop.run()
    assert shop.platform.lake.read(shop.ledger()["orders", "DE.avro", "superseded"].raw_path) == first


def test_a_market_that_is_no_longer_active_is_not_planned_and_its_file_is_refused(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.run()
    gone = "market,name,currency,timezone,active_to\nDE,Germany,EUR,Europe/Berlin,2025-12-19\n"
    shop.load({"markets": gone, "planning_parameters": "sku\n"})
    shop.run(refresh=True)
    assert ("DE", "B") not in shop.demand()
    assert ("INVALID_FILE", "DE", "", "DE.avro", 1) in shop.exceptions()
    before = shop.report()
    shop.run()
    assert shop.report() == before


def test_a_withdrawn_file_of_an_unknown_market_stays_withdrawn(shop: Shop) -> None:
    shop.put_bytes("orders", "XX.avro", b"no such market")
    shop.run()
    withdraw(shop.platform, "XX.avro", "sent by mistake", DAY)
    shop.run()
    assert "INVALID_FILE" not in {e[0] for e in shop.exceptions()}


def test_one_unreadable_file_stops_no_other_market(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.put_bytes("orders", "GB.avro", b"")
    shop.put_bytes("orders", "XX.avro", b"no such market")
    shop.put_bytes("orders", "notes.txt", b"hello")
    shop.all_counted()
    shop.run()
    assert shop.orders()["B"] == ("S1", Decimal(7))
    assert [(e[0], e[3]) for e in shop.exceptions() if e[0] == "INVALID_FILE"] == [
        ("INVALID_FILE", "notes.txt"),
        ("INVALID_FILE", "GB.avro"),
        ("INVALID_FILE", "XX.avro"),
    ]
    kept = shop.platform.lake.files(f"quarantine/files/orders/{DAY}")
    assert sorted(name.split(".")[0] for name in kept) == ["GB", "XX", "notes"]


def test_an_orders_file_of_which_no_row_can_be_used_is_missing(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", "1,5"), order("2", "B", 0)], form="csv")
    shop.all_counted()
    shop.run()
    told = {r["rule"]: str(r["message"]) for r in service.exceptions(shop.platform, DAY) if r["market"] == "DE"}
    assert told.keys() == {"INVALID_ROW", "MISSING_FILE"}
    assert told["MISSING_FILE"].startswith("No orders file of DE for 2025-12-20 can be used: no row of what it sent can be (")
    shop.put("orders", "DE", [order("1", "A", "1.5"), order("2", "B", 0)], form="csv")
    shop.run()
    assert {rule for rule, market, *_ in shop.exceptions() if market == "DE"} == {"INVALID_ROW"}


def test_an_order_number_that_one_of_two_systems_pads_is_the_same(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 5)])
    shop.put("orders", "DE", [order("1   ", "A", 5)], suffix="__again")
    shop.put("stock", "DE", [count("A", 1, warehouse="N"), count("A", 1, warehouse=" N")])
    shop.run()
    assert shop.demand()["DE", "A"]["gross_demand"] == Decimal(5)
    assert shop.demand()["DE", "A"]["usable"] == Decimal(1)
    assert [(rule, market, rows) for rule, market, _, _, rows in shop.exceptions() if market == "DE"] == [("DUPLICATE_ORDER", "DE", 1)] * 2


def test_a_day_without_any_file_is_published_empty_and_says_so(shop: Shop) -> None:
    shop.run()
    assert shop.csvs() == {}
    assert [e[:2] for e in shop.exceptions() if e[0] == "MISSING_FILE"] == [("MISSING_FILE", m) for m in ("DE", "GB", "JP")] * 2


def test_files_tells_what_came_and_what_is_still_expected(shop: Shop) -> None:
    today = shop.platform.settings.today()
    shop.put("orders", "DE", [order("1", "B", 7)], day=today)
    lines = {(f.feed, f.market): f.state for f in market_files(shop.platform, today)}
    assert lines["orders", "DE"] == "waiting"
    assert lines["stock", "DE"] == "expected"
    lines = {(f.feed, f.market): f.state for f in market_files(shop.platform, DAY)}
    assert set(lines.values()) == {"missing"}


def test_a_day_re_run_later_uses_the_reference_of_its_first_run(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "C", 3)])
    shop.all_counted()
    shop.run()
    shop.load({"supplier_products": "supplier_id,sku,unit_price,moq,pack_size\nS1,C,7,50,50\nS1,A,1,0,1\n"})
    shop.run()
    assert shop.orders()["C"] == ("S2", Decimal(5))
    shop.run(refresh=True)
    assert shop.orders()["C"] == ("S1", Decimal(50))


def test_stale_supplier_files_go_when_the_supplier_has_no_order_any_more(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("1", "C", 1)])
    shop.all_counted()
    shop.run()
    assert "S2.csv" in shop.csvs()
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    assert "S2.csv" not in shop.csvs()


def test_a_lost_raw_copy_is_an_error_that_changes_nothing(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    before = shop.csvs()
    shop.platform.lake.remove(SENT)
    shop.platform.lake.remove(shop.ledger()["orders", "DE.avro", "accepted"].raw_path)
    with pytest.raises(InputGone, match="put the file into the inbox again"):
        shop.run()
    assert shop.csvs() == before


def test_a_day_never_run_says_how_to_run_it(shop: Shop) -> None:
    with pytest.raises(ProcurementError, match=r"it was never run\. Run it: procurement run 2025-12-20"):
        list(service.orders(shop.platform, DAY))


def test_a_step_without_the_ones_before_it_says_what_to_materialise(shop: Shop) -> None:
    with pytest.raises(ProcurementError, match="materialise the reference assets"):
        planning.make_aggregated_orders(shop.day())
    pin(shop.platform, DAY)
    for step in (planning.make_aggregated_orders, planning.make_net_demand, publication.make_exceptions, publication.publish_day):
        with pytest.raises(ProcurementError, match="never made: materialise intake"):
            step(shop.day())
