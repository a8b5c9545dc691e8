"""Files of one identity in several formats: which of them counts, whatever their times, and that nothing is told or asked for twice."""

import datetime as dt
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Never

import pytest

from procurement_platform.inbox.ledger import Ledger
from procurement_platform.procurement.handing_in import hand_in, withdraw
from procurement_platform.procurement.market_files import market_files
from procurement_platform.procurement.stale import stale_day
from procurement_platform_tests.procurement.shop import DAY, REFERENCE, Shop, count, order

BROKEN = b"no,such,columns\n"
NOW = 1_766_250_000.0


class Killed(BaseException):
    """A run ended here."""


def killed(*_: object, **__: object) -> Never:
    raise Killed


def send(shop: Shop, name: str, quantity: int | None, age: float) -> Path:
    """A file of DE's orders for so many of B, None: one that cannot be read; so many seconds old."""
    rows = f"market,order_id,sku,quantity,unit_price,ordered_at\nDE,1,B,{quantity},9.99,2025-12-20T12:00:00Z\n".encode()
    if name.endswith(".avro") and quantity is not None:
        path = shop.put("orders", "DE", [order("1", "B", quantity)])
    else:
        path = shop.put_bytes("orders", name, BROKEN if quantity is None else rows)
    os.utime(path, (NOW - age, NOW - age))
    return path


def in_use(shop: Shop) -> object:
    row = shop.demand().get(("DE", "B"))
    return row["gross_demand"] if row else None


def states(shop: Shop) -> dict[str, str]:
    """File name → state, of DE's orders; each is there in one version."""
    files = [f for f in shop.platform.ledger.files(DAY) if (f.feed, f.market) == ("orders", "DE")]
    assert len({f.file_name for f in files}) == len(files)
    return {f.file_name: f.state for f in files}


def refused(shop: Shop) -> Sequence[str]:
    return [file for rule, _, _, file, _ in shop.exceptions() if rule == "INVALID_FILE"]


def why_stale(shop: Shop) -> str | None:
    stale = stale_day(shop.platform, DAY, dt.datetime.now(dt.UTC))
    return stale.why if stale else None


def seen(shop: Shop) -> tuple[object, ...]:
    return shop.report(), shop.csvs(), shop.demand(), states(shop)


def settled(shop: Shop, *removed: Path) -> None:
    """Nothing waits, and neither another run nor the files that leave the inbox change anything."""
    before = seen(shop)
    for path in (None, *removed):
        if path is not None:
            path.unlink()
        assert why_stale(shop) is None
        assert [line.file for line in market_files(shop.platform, DAY) if line.state == "waiting"] == []
        shop.run()
        assert seen(shop) == before
    assert why_stale(shop) is None


@pytest.mark.parametrize(("between", "age"), [(False, 10), (True, 10), (True, 30)])
def test_a_file_that_cannot_be_read_keeps_no_good_one_out(shop: Shop, *, between: bool, age: int) -> None:
    shop.all_counted()
    good = send(shop, "DE.csv", 7, 20)
    if between:
        shop.run()
    broken = send(shop, "DE.avro", None, age)
    shop.run()
    assert in_use(shop) == 7
    assert states(shop) == {"DE.avro": "rejected", "DE.csv": "accepted"}
    assert refused(shop) == ["DE.avro"]
    assert "The file of this name that was sent before stays in use" in shop.report()
    assert [market for rule, market, *_ in shop.exceptions() if rule == "MISSING_FILE"] == ["GB", "JP"]
    settled(shop, good, broken)


def test_the_report_is_the_same_whether_a_run_was_in_between(shop: Shop) -> None:
    send(shop, "DE.csv", 7, 20)
    shop.run()
    send(shop, "DE.avro", None, 10)
    shop.run()
    before = (shop.report(), shop.csvs(), shop.demand())
    with shop.platform.database.transaction() as connection:
        connection.execute("DELETE FROM control.files")  # as if no run had been
    shop.run()
    assert (shop.report(), shop.csvs(), shop.demand()) == before


@pytest.mark.parametrize("left", ["DE.csv", "DE.jsonl"])
def test_a_broken_rival_that_leaves_the_inbox_is_told_all_the_same(shop: Shop, left: str) -> None:
    good, broken = send(shop, "DE.csv", 7, 20), send(shop, "DE.jsonl", None, 10)
    shop.run()
    assert refused(shop) == ["DE.jsonl"]
    settled(shop, good if left == "DE.csv" else broken)
    if left == "DE.jsonl":
        send(shop, "DE.csv", 7, 5)  # the same bytes, sent again after the broken ones
        assert why_stale(shop) == "new: orders DE.csv"
        shop.run()
        assert (in_use(shop), refused(shop)) == (7, [])
        settled(shop)


@pytest.mark.parametrize("removed", ["DE.csv", "DE.CSV"])
def test_a_rival_that_comes_with_an_older_time_counts(shop: Shop, removed: str) -> None:
    first = send(shop, "DE.csv", 5, 10)
    shop.run()
    second = send(shop, "DE.CSV", 50, 20)
    assert why_stale(shop) == "new: orders DE.CSV"
    [waits] = [line for line in market_files(shop.platform, DAY) if line.state == "waiting"]
    assert (waits.file, waits.note) == ("DE.CSV", "in the inbox; the next run takes it in place of the DE.csv in use")
    shop.run()
    assert in_use(shop) == 50
    assert states(shop) == {"DE.CSV": "accepted", "DE.csv": "superseded"}
    settled(shop, *((first, second) if removed == "DE.csv" else (second, first)))


def test_of_three_the_newest_that_can_be_read_counts(shop: Shop) -> None:
    files = [send(shop, "DE.avro", 3, 30), send(shop, "DE.csv", 7, 20), send(shop, "DE.jsonl", None, 10)]
    notes = {line.file: line.note for line in market_files(shop.platform, DAY) if line.state == "waiting"}
    assert notes["DE.jsonl"] == "in the inbox; the next run takes it"
    assert notes["DE.csv"] == notes["DE.avro"]
    assert notes["DE.csv"] == "in the inbox; the next run takes it only where the newer DE.jsonl, the same file by name, cannot be used"
    shop.run()
    assert in_use(shop) == 7
    assert states(shop) == {"DE.avro": "superseded", "DE.csv": "accepted", "DE.jsonl": "rejected"}
    outdone = shop.ledger()["orders", "DE.avro", "superseded"]
    assert (outdone.reason or "").startswith("DE.csv was taken in place of DE.avro: they are the same file by name")
    assert shop.platform.lake.read(outdone.raw_path) == files[0].read_bytes()
    settled(shop, *files)


def test_of_two_good_ones_the_newer_counts_and_a_later_one_replaces_both(shop: Shop) -> None:
    send(shop, "DE.csv", 5, 30)
    send(shop, "DE.avro", 6, 20)
    shop.run()
    assert (in_use(shop), states(shop)) == (6, {"DE.avro": "accepted", "DE.csv": "superseded"})
    settled(shop)
    send(shop, "DE.jsonl", None, 40)
    shop.run()
    assert (in_use(shop), refused(shop)) == (6, ["DE.jsonl"])
    settled(shop)
    send(shop, "DE.CSV", 8, 50)
    shop.run()
    assert (in_use(shop), refused(shop)) == (8, [])
    assert states(shop) == {"DE.avro": "superseded", "DE.csv": "superseded", "DE.jsonl": "superseded", "DE.CSV": "accepted"}
    settled(shop)


def test_the_same_bytes_under_two_names_count_once(shop: Shop) -> None:
    send(shop, "DE.csv", 5, 20)
    send(shop, "DE.CSV", 5, 20)
    send(shop, "DE.jsonl", 5, 10)  # CSV by its content
    shop.run()
    assert in_use(shop) == 5
    assert states(shop) == {"DE.CSV": "superseded", "DE.csv": "accepted", "DE.jsonl": "rejected"}
    settled(shop)


def test_where_the_one_in_use_is_withdrawn_the_rival_that_lies_there_counts(shop: Shop) -> None:
    send(shop, "DE.csv", 5, 30)
    send(shop, "DE.avro", 6, 20)
    shop.run()
    withdraw(shop.platform, "DE.avro", "sent twice", DAY)
    assert why_stale(shop) == "new: orders DE.csv; no longer in use: orders DE.avro"
    shop.run()
    assert (in_use(shop), states(shop)) == (5, {"DE.avro": "withdrawn", "DE.csv": "accepted"})
    settled(shop)
    withdraw(shop.platform, "DE.csv", "wrong month", DAY)
    shop.run()
    assert (in_use(shop), states(shop)) == (None, {"DE.avro": "withdrawn", "DE.csv": "withdrawn"})
    settled(shop)


def test_withdrawn_bytes_that_are_handed_in_again_take_the_place_of_the_rival_in_use(shop: Shop) -> None:
    path = send(shop, "DE.csv", 5, 30)
    shop.run()
    withdraw(shop.platform, "DE.csv", "wrong month", DAY)
    rival = send(shop, "DE.avro", 6, 20)
    shop.run()
    assert (in_use(shop), states(shop)) == (6, {"DE.avro": "accepted", "DE.csv": "withdrawn"})
    settled(shop)
    hand_in(shop.platform, path, "orders", "DE", DAY)
    assert not rival.exists()
    shop.run()
    assert (in_use(shop), states(shop)) == (5, {"DE.avro": "superseded", "DE.csv": "accepted"})
    settled(shop)


@pytest.mark.parametrize("put", [True, False])
def test_a_superseded_rival_that_is_sent_again_counts(shop: Shop, *, put: bool) -> None:
    path = send(shop, "DE.csv", 5, 30)
    send(shop, "DE.avro", 6, 20)
    shop.run()
    if put:  # the same bytes lie there: nothing is written
        hand_in(shop.platform, path, "orders", "DE", DAY)
    else:
        send(shop, "DE.csv", 5, 10)
    assert why_stale(shop) == "new: orders DE.csv"
    shop.run()
    assert (in_use(shop), states(shop)) == (5, {"DE.avro": "superseded", "DE.csv": "accepted"})
    settled(shop)


def test_an_inbox_that_is_copied_back_with_other_times_changes_what_counts_by_them_and_settles(shop: Shop) -> None:
    send(shop, "DE.csv", 5, 30)
    send(shop, "DE.avro", 6, 20)
    shop.run()
    send(shop, "DE.csv", 5, 11)
    send(shop, "DE.avro", 6, 10)
    shop.run()
    assert (in_use(shop), states(shop)) == (6, {"DE.avro": "accepted", "DE.csv": "superseded"})
    settled(shop)


def test_a_rival_that_still_grows_waits_for_the_next_run(shop: Shop) -> None:
    send(shop, "DE.csv", 5, 30)
    shop.platform.settings = shop.platform.settings.model_copy(update={"settle_seconds": 0.5})
    path, begun, done = shop.inbox / "orders" / DAY.isoformat() / "DE.jsonl", threading.Event(), threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.wait(0.01):
                file.write(b" ")
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(60)
    shop.run()
    done.set()
    thread.join()
    assert (in_use(shop), states(shop)) == (5, {"DE.csv": "accepted"})
    send(shop, "DE.jsonl", None, 10)
    send(shop, "DE.avro", 6, 40)
    shop.run()
    assert (in_use(shop), states(shop)) == (6, {"DE.avro": "accepted", "DE.csv": "superseded", "DE.jsonl": "rejected"})
    settled(shop)


@pytest.mark.parametrize("step", ["seen_again", "record", "moved"])
def test_a_run_killed_while_it_takes_rivals_heals(shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send(shop, "DE.csv", 5, 10)
    shop.run()
    for name, quantity, age in (("DE.CSV", 50, 20), ("DE.avro", 6, 30), ("DE.jsonl", None, 15)):
        send(shop, name, quantity, age)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, step, killed)
        with pytest.raises(Killed):
            shop.run()
    shop.run()
    assert in_use(shop) == 50
    assert states(shop) == {"DE.CSV": "accepted", "DE.avro": "superseded", "DE.csv": "superseded", "DE.jsonl": "rejected"}
    settled(shop)


def test_rivals_of_a_market_that_is_not_active_are_refused_and_the_right_one_comes_back_with_it(shop: Shop) -> None:
    shop.put("stock", "DE", [count("B", 0)])
    send(shop, "DE.csv", 5, 10)
    shop.run()
    send(shop, "DE.CSV", 50, 20)
    shop.run()
    shop.load({"markets": REFERENCE["markets"].replace("DE,Germany", "XX,Nowhere")})
    shop.run(refresh=True)
    assert states(shop) == {"DE.CSV": "rejected", "DE.csv": "superseded"}
    settled(shop)
    shop.load()
    shop.run(refresh=True)
    assert (in_use(shop), states(shop)) == (50, {"DE.CSV": "accepted", "DE.csv": "superseded"})
    settled(shop)


def test_where_the_one_in_use_breaks_a_limit_the_rival_that_lies_there_counts_meanwhile(shop: Shop) -> None:
    send(shop, "DE.csv", 5, 30)
    shop.put_bytes("orders", "DE.CSV", send(shop, "DE.csv", 5, 30).read_bytes() + b"DE,2,B,1,9.99,2025-12-20T12:00:00Z\n")
    high, low = (shop.platform.settings.model_copy(update={"max_rows_per_file": most}) for most in (2, 1))
    for settings, wanted, state in ((high, 6, "superseded"), (low, 5, "accepted"), (high, 6, "superseded")):
        shop.platform.settings = settings
        shop.run()
        assert (in_use(shop), states(shop)["DE.csv"]) == (wanted, state)
        settled(shop)


def test_a_rival_larger_than_a_file_may_be_is_noted_once_without_being_read(shop: Shop) -> None:
    shop.platform.settings = shop.platform.settings.model_copy(update={"max_file_bytes": 200})
    large = shop.put_bytes("orders", "DE.jsonl", b" " * 201)
    for age in (40, 20):  # the second time both are sent again
        os.utime(large, (NOW - age, NOW - age))
        send(shop, "DE.csv", 5, age - 10)
        shop.run()
        assert (in_use(shop), states(shop)) == (5, {"DE.csv": "accepted", "DE.jsonl": "superseded"})
        settled(shop)
