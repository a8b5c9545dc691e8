"""What people see of a day's files: what came, what waits, and until when the others are expected."""

import datetime as dt
from pathlib import Path

import pytest

from procurement_platform.errors import NotPermitted
from procurement_platform.procurement.market_files import FileLine, expected, market_files, misplaced_files
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order
from procurement_platform_tests.rights import without_root_rights


def lines(shop: Shop, day: dt.date = DAY) -> dict[tuple[str, str, str], FileLine]:
    """(feed, market or file name, state) → line."""
    return {(line.feed, line.file or line.market, line.state): line for line in market_files(shop.platform, day)}


def test_each_file_is_due_at_its_markets_own_time_on_the_day_after(shop: Shop) -> None:
    due = {(each.feed, each.market): str(each) for each in expected(shop.platform, DAY)}
    assert due["orders", "DE"] == "2025-12-21 06:00 (Europe/Berlin)"
    assert due["stock", "JP"] == "2025-12-21 06:00 (Asia/Tokyo)"


def test_before_the_cut_off_a_file_is_expected_and_after_it_missing(shop: Shop) -> None:
    today = shop.platform.settings.today()
    after = today + dt.timedelta(days=1)
    assert lines(shop, today)["orders", "DE", "expected"].note == f"expected by {after} 06:00 (Europe/Berlin)"
    assert lines(shop)["orders", "DE", "missing"].note == "was due by 2025-12-21 06:00 (Europe/Berlin)"


def test_the_report_of_a_day_that_is_run_early_says_the_same(shop: Shop) -> None:
    """It is a function of the files alone: it says what had come, and until when there is time."""
    shop.run()
    report = shop.report()
    assert (
        "No orders file of DE for 2025-12-20 had come whole when this day was run; it is due by 06:00 (Europe/Berlin) on the day after."
        in report
    )


def test_a_file_that_waits_is_shown_beside_the_one_in_use(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)], form="csv")
    assert lines(shop)["orders", "DE.csv", "waiting"].note == "in the inbox; the next run takes it"
    shop.run()
    used = lines(shop)["orders", "DE.csv", "accepted"]
    assert used.file_id == shop.ledger()["orders", "DE.csv", "accepted"].file_id
    shop.put("orders", "DE", [order("1", "B", 80)], form="csv")
    found = lines(shop)
    assert found["orders", "DE.csv", "accepted"] == used
    assert found["orders", "DE.csv", "waiting"].note == "in the inbox; the next run takes it in place of the DE.csv in use"
    assert ("orders", "DE", "missing") not in found


def test_a_file_whose_every_row_is_found_to_contradict_is_no_use_and_its_feed_missing(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "B", 7), order("1", "B", 8)], form="csv")
    shop.run()
    found = lines(shop)
    used = found["orders", "DE.csv", "accepted"]
    assert (used.rows, used.accepted, used.quarantined, used.note) == (2, 0, 2, "none of its rows can be used")
    assert ("orders", "DE", "missing") in found
    assert ("MISSING_FILE", "DE") in {(rule, market) for rule, market, *_ in shop.exceptions()}


def test_of_a_rejected_file_nobody_counted_the_rows(shop: Shop) -> None:
    shop.put_bytes("orders", "DE.csv", b"order_id,market\n1,DE\n")
    shop.run()
    rejected = lines(shop)["orders", "DE.csv", "rejected"]
    assert (rejected.rows, rejected.accepted, rejected.quarantined, rejected.duplicates) == (None, None, None, None)


def test_a_file_that_waits_of_no_active_market_is_not_said_to_be_taken(shop: Shop) -> None:
    shop.put("orders", "XX", [order("1", "B", 7)], form="csv")
    told = "in the inbox; XX is no market that is active on 2025-12-20: correct the name, or load the market"
    assert lines(shop)["orders", "XX.csv", "waiting"].note == told
    shop.run()
    assert lines(shop)["orders", "XX.csv", "rejected"].note.startswith("XX is no market that is active on 2025-12-20: ")


def test_a_suffix_that_lacks_an_underscore_is_told_with_the_right_name(shop: Shop) -> None:
    shop.put_bytes("orders", "DE_2.csv", b"")
    told = "DE_2 is no market that is active on 2025-12-20: name it DE__2.csv"
    assert lines(shop)["orders", "DE_2.csv", "waiting"].note == f"in the inbox; {told}"
    shop.run()
    assert lines(shop)["orders", "DE_2.csv", "rejected"].note.startswith(f"{told}, or have the market added to the reference")


def test_what_cannot_be_taken_is_shown_with_its_reason(shop: Shop) -> None:
    shop.put_bytes("orders", "notes.txt", b"hello")
    assert lines(shop)["orders", "notes.txt", "waiting"].note.startswith("in the inbox, and not taken: 'notes.txt' ends in no known format")
    shop.run()
    assert {state for _, name, state in lines(shop) if name == "notes.txt"} == {"rejected"}


def test_names_that_the_inbox_ignores_are_not_shown(shop: Shop) -> None:
    for name in ("_note", ".DE.csv", "DE.csv.part"):
        shop.put_bytes("orders", name, b"x")
    assert {state for _, _, state in lines(shop)} == {"missing"}


@pytest.mark.usefixtures("own_processes")
def test_a_file_that_may_not_be_read_waits_and_is_then_rejected_with_the_remedy(shop: Shop, tmp_path: Path) -> None:
    path = shop.put("orders", "DE", [order("1", "B", 7)], form="csv")
    path.chmod(0)
    shop.put("stock", "DE", [count("B", 1)])
    with without_root_rights() as thread:
        shop.platform.database.ensure()  # with the rights to reach the server
        note = thread.submit(lines, shop).result()["orders", "DE.csv", "waiting"].note
        assert note == "in the inbox, and cannot be read: give the platform read access"
        thread.submit(shop.platform.decoders.start).result()
        shop.run()
        assert [e for e in shop.exceptions() if e[0] == "INVALID_FILE"] == [("INVALID_FILE", "DE", "", "DE.csv", 1)]
        assert "give the platform read access" in lines(shop)["orders", "DE.csv", "rejected"].note
        shop.platform.decoders.close()


def test_a_folder_that_may_not_be_listed_is_said_to_be(shop: Shop) -> None:
    path = shop.put("orders", "DE", [order("1", "B", 7)])
    path.parent.chmod(0)
    shop.platform.database.ensure()  # with the rights to reach the server
    with without_root_rights() as thread, pytest.raises(NotPermitted, match=f"{path.parent} cannot be listed"):
        thread.submit(lines, shop).result()
    path.parent.chmod(0o755)


def test_a_file_for_a_day_that_was_mistyped_is_named_and_one_that_comes_early_is_not(shop: Shop) -> None:
    today, settings = shop.platform.settings.today(), shop.platform.settings
    shop.put("orders", "DE", [order("1", "B", 7)], day=today + dt.timedelta(days=1))
    assert misplaced_files(shop.platform.lake, settings) is None
    shop.put("orders", "DE", [order("1", "B", 7)], day=today + dt.timedelta(days=70))
    shop.put("stock", "DE", [count("B", 7)], day=settings.start_date - dt.timedelta(days=1))
    told = misplaced_files(shop.platform.lake, settings)
    assert told is not None
    far = today + dt.timedelta(days=70)
    assert told.startswith(f"no run looks at 'inbox/orders/{far}', 'inbox/stock/2024-12-31': market files go into ")
