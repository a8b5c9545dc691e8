"""Which days must be run again, from what lies in the inbox, what the ledger knows and what is published."""

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from procurement_platform.inbox import waiting
from procurement_platform.inbox.late import Look, StaleDay, touched_dates
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order
from procurement_platform_tests.rights import without_root_rights

BEFORE = DAY - dt.timedelta(days=1)
See = Callable[..., list[StaleDay]]


@pytest.fixture
def see(shop: Shop) -> See:
    def look(first: dt.date = DAY, last: dt.date = DAY, settle_seconds: float = 0, now: dt.datetime | None = None) -> list[StaleDay]:
        platform = shop.platform
        published = {day.run_date: day for day in platform.days.between(DOMAIN, first, last)}
        known = platform.registry.published(DOMAIN, "order_lines", first - dt.timedelta(days=7), last)
        lines = {date: str(run.content_hash) for date, run in known.items()}
        at = now or dt.datetime.now(dt.UTC)
        look = Look(platform.lake, platform.ledger, ["orders", "stock"], published, settle_seconds, at, lines)
        return look.stale_days([first + dt.timedelta(days=n) for n in range((last - first).days + 1)])

    return look


@pytest.fixture
def published(shop: Shop) -> Path:
    path = shop.put("orders", "DE", [order("1", "A", 1)], form="csv")
    shop.run()
    return path


def touch(path: Path, seconds: float = -100) -> None:
    at = time.time() + seconds
    os.utime(path, (at, at))


def test_a_day_without_files_is_not_asked_for(see: See) -> None:
    assert see() == []


def test_a_day_that_was_never_published_is_asked_for_once_a_file_is_there(shop: Shop, see: See) -> None:
    shop.put("orders", "DE", [order("1", "A", 1)])
    (stale,) = see(BEFORE, DAY)
    assert (stale.run_date, stale.why) == (DAY, "never published")


def test_a_published_day_is_left_alone(published: Path, see: See) -> None:
    assert see() == []


def test_days_are_told_in_order_and_only_those_looked_at(shop: Shop, see: See) -> None:
    for day in (DAY, BEFORE, DAY - dt.timedelta(days=40)):
        shop.put("orders", "DE", [order("1", "A", 1)], day=day)
    assert [stale.run_date for stale in see(DAY - dt.timedelta(days=35), DAY)] == [BEFORE, DAY]


def test_another_file_makes_a_published_day_stale(shop: Shop, published: Path, see: See) -> None:
    shop.put("stock", "GB", [count("A", 1)])
    (stale,) = see()
    assert stale.why == "new: stock GB.avro"


def test_a_late_day_makes_the_days_stale_that_were_compared_with_it(shop: Shop, see: See) -> None:
    line = order("1", "A", 1, ordered_at="2025-12-19T09:00:00Z")
    shop.put("orders", "DE", [line])
    shop.run()
    shop.put("orders", "DE", [line], day=BEFORE)
    shop.run(BEFORE)
    (stale,) = see(BEFORE, DAY)
    assert (stale.run_date, stale.why) == (DAY, f"the lines of {BEFORE} changed, which its orders were compared with")
    shop.run()
    assert see(BEFORE, DAY) == []
    assert ("DUPLICATE_ORDER", "DE", "A", "DE.avro", 1) in shop.exceptions()


def test_an_earlier_day_that_stays_as_it_was_makes_nothing_stale(shop: Shop, see: See) -> None:
    shop.put("orders", "DE", [order("0", "A", 1, ordered_at="2025-12-19T09:00:00Z")], day=BEFORE)
    shop.run(BEFORE)
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    shop.run(BEFORE)
    assert see(BEFORE, DAY) == []


def test_a_folder_that_was_touched_since_its_day_was_published_is_looked_at(shop: Shop) -> None:
    lake, feeds = shop.platform.lake, ["orders", "stock"]
    shop.put("orders", "DE", [order("1", "A", 1)], day=BEFORE)
    now = dt.datetime.now(dt.UTC)
    assert touched_dates(lake, feeds, DAY, {}) == [BEFORE]
    assert touched_dates(lake, feeds, BEFORE, {}) == []
    assert touched_dates(lake, feeds, DAY, {BEFORE: now + dt.timedelta(hours=1)}) == []
    assert touched_dates(lake, feeds, DAY, {BEFORE: now - dt.timedelta(hours=1)}) == [BEFORE]


def test_the_same_file_with_other_bytes_makes_the_day_stale(shop: Shop, published: Path, see: See) -> None:
    shop.put("orders", "DE", [order("1", "A", 20)], form="csv")
    (stale,) = see()
    assert stale.why == "new: orders DE.csv"


def test_other_bytes_of_the_same_size_are_found_by_content(shop: Shop, published: Path, see: See) -> None:
    size = published.stat().st_size
    published.write_bytes(published.read_bytes().replace(b",A,1", b",A,2"))
    touch(published)
    assert published.stat().st_size == size
    assert [stale.why for stale in see()] == ["new: orders DE.csv"]


def test_the_same_bytes_put_again_change_nothing(shop: Shop, published: Path, see: See) -> None:
    touch(published)
    assert see() == []


def test_a_file_that_is_only_touched_is_read_once(shop: Shop, published: Path, see: See) -> None:
    touch(published)
    waiting._sha256.cache_clear()
    see()
    see()
    assert waiting._sha256.cache_info().misses == 1


def test_an_unchanged_file_is_never_read(shop: Shop, published: Path, see: See) -> None:
    waiting._sha256.cache_clear()
    published.chmod(0)
    assert see() == []
    assert waiting._sha256.cache_info().misses == 0


def test_a_file_sent_again_after_a_broken_correction_makes_the_day_stale_once(shop: Shop, published: Path, see: See) -> None:
    good, sent = published.read_bytes(), published.stat().st_mtime_ns
    published.write_bytes(b"no,such,columns\n")
    shop.run()
    assert see() == []
    published.write_bytes(good)
    for again in (sent, time.time_ns()):  # as a copy that keeps the time, and as one that does not
        os.utime(published, ns=(again, again))
        assert [stale.why for stale in see()] == ["new: orders DE.csv"]
    shop.run()
    assert see() == []


def test_a_file_that_left_the_inbox_stays_in_use(published: Path, see: See) -> None:
    published.unlink()
    assert see() == []


def test_a_withdrawn_file_makes_the_day_stale_until_it_is_run(shop: Shop, published: Path, see: See) -> None:
    shop.platform.ledger.withdraw(shop.ledger()["orders", "DE.csv", "accepted"], "ann", "wrong prices")
    (stale,) = see()
    assert stale.why == "no longer in use: orders DE.csv"
    shop.put("stock", "GB", [count("A", 1)])
    (stale,) = see()
    assert stale.why == "new: stock GB.avro; no longer in use: orders DE.csv"
    shop.run()
    assert see() == []


def test_a_rejected_file_is_no_reason_to_run_again_and_again(shop: Shop, see: See) -> None:
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.put_bytes("orders", "GB.csv", b"")
    shop.put_bytes("orders", "XX.csv", b"market\nXX\n")
    shop.put_bytes("orders", "notes.txt", b"hello")
    (shop.inbox / "orders" / DAY.isoformat() / "folder").mkdir()
    (shop.inbox / "orders" / DAY.isoformat() / "JP.csv").symlink_to("nowhere.csv")
    shop.run()
    assert see() == []


@pytest.mark.usefixtures("own_processes")
def test_a_file_that_could_not_be_read_is_taken_once_it_may_be(shop: Shop, see: See) -> None:
    """Its size and time are the same: only the right to read it is new."""
    path = shop.put("orders", "DE", [order("1", "A", 1)], form="csv")
    path.chmod(0)
    with without_root_rights() as thread:
        thread.submit(shop.platform.decoders.start).result()
        shop.run()
        assert [file.state for file in shop.ledger().values()] == ["rejected"]
        assert thread.submit(see).result() == []
        path.chmod(0o644)
        assert [stale.why for stale in thread.submit(see).result()] == ["new: orders DE.csv"]
        shop.run()
        assert [file.state for file in shop.ledger().values()] == ["superseded", "accepted"]
        assert see() == []
        shop.platform.decoders.close()


def test_a_large_file_that_was_withdrawn_and_touched_is_asked_for_once(
    shop: Shop, published: Path, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run leaves it out again, and must say that it saw it: else each publication would be a reason for the next."""
    monkeypatch.setattr(waiting, "HASHED_BYTES", 0)
    shop.platform.ledger.withdraw(shop.ledger()["orders", "DE.csv", "accepted"], "ann", "wrong prices")
    shop.run()
    touch(published)
    assert [stale.why for stale in see()] == ["new: orders DE.csv"]
    shop.run()
    assert see() == []


@pytest.mark.parametrize("name", ["notes.txt", "XX.csv"])
def test_what_cannot_be_taken_and_was_withdrawn_and_touched_is_asked_for_once_at_most(shop: Shop, see: See, name: str) -> None:
    path = shop.put_bytes("orders", name, b"hello")
    shop.run()
    shop.platform.ledger.withdraw(shop.ledger()["orders", name, "rejected"], "ann", "sent by mistake")
    shop.run()
    touch(path)
    if see():
        shop.run()
    assert see() == []


def test_a_large_file_of_no_market_of_ours_is_no_reason_to_run_again_and_again(shop: Shop, see: See) -> None:
    shop.platform.settings = shop.platform.settings.model_copy(update={"max_file_bytes": 20})
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.put_bytes("orders", "XX.csv", b"x" * 21)
    shop.run()
    assert {file.state for file in shop.ledger().values()} == {"rejected"}
    assert see() == []


def test_a_withdrawn_file_that_is_put_in_again_makes_the_day_stale(shop: Shop, published: Path, see: See) -> None:
    gone = shop.ledger()["orders", "DE.csv", "accepted"]
    shop.platform.ledger.withdraw(gone, "ann", "wrong prices")
    shop.run()
    assert see() == []
    assert shop.platform.ledger.reinstate(gone.file_id, "bob")
    assert not shop.platform.ledger.reinstate(gone.file_id, "bob")
    assert [stale.why for stale in see()] == ["new: orders DE.csv"]
    shop.run()
    assert see() == []
    assert ("orders", "DE.csv", "accepted") in shop.ledger()


def test_two_formats_of_one_file_settle_on_the_newer(shop: Shop, see: See) -> None:
    old = shop.put("orders", "DE", [order("1", "A", 1)], form="csv")
    touch(old, -300)
    shop.run()
    shop.put("orders", "DE", [order("1", "A", 2)], form="avro")
    assert [stale.why for stale in see()] == ["new: orders DE.avro"]
    shop.run()
    assert see() == []


def test_a_version_that_comes_again_is_taken_again(shop: Shop, published: Path, see: See) -> None:
    first, times = published.read_bytes(), published.stat()
    published.write_bytes(first.replace(b",A,1", b",A,2"))
    touch(published)
    shop.run()
    published.write_bytes(first)
    os.utime(published, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [stale.why for stale in see()] == ["new: orders DE.csv"]


def test_a_file_written_a_moment_ago_waits_for_the_next_look(shop: Shop, see: See) -> None:
    shop.put("orders", "DE", [order("1", "A", 1)])
    assert see(settle_seconds=60) == []
    assert len(see(settle_seconds=60, now=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=61))) == 1


def test_a_file_dated_in_the_future_does_not_wait_for_it(shop: Shop, see: See) -> None:
    touch(shop.put("orders", "DE", [order("1", "A", 1)]), 86_400)
    assert len(see(settle_seconds=60)) == 1


def test_the_signature_stays_until_something_changes(shop: Shop, published: Path, see: See) -> None:
    shop.put("stock", "GB", [count("A", 1)])
    (first,), (again,) = see(), see()
    assert first == again
    shop.put("stock", "JP", [count("A", 1)])
    (other,) = see()
    assert other.signature != first.signature


def test_the_signature_is_new_after_each_publication(shop: Shop, published: Path, see: See) -> None:
    file = shop.put("stock", "GB", [count("A", 1)])
    data, times = file.read_bytes(), file.stat()
    (first,) = see()
    shop.run()
    shop.platform.ledger.withdraw(shop.ledger()["stock", "GB.avro", "accepted"], "ann", "why")
    shop.run()
    file.write_bytes(data + b"\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    (again,) = see()
    assert again.signature != first.signature


@pytest.mark.parametrize("names", [["DE.tmp", ".DE.csv", "_DE.csv", "DE.csv.part"]])
def test_files_that_are_not_for_the_platform_yet_are_not_seen(shop: Shop, see: See, names: list[str]) -> None:
    for name in names:
        shop.put_bytes("orders", name, b"x")
    assert see() == []
