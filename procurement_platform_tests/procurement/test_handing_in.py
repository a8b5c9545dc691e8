"""Handing a market's file in and taking one out of its day: what is refused, what is told, and what the next run makes of it."""

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import ConfigurationError, DayBusy, ProcurementError
from procurement_platform.procurement.handing_in import hand_in, withdraw
from procurement_platform.procurement.market_files import market_files
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

HEADER = "order_id,market,sku,quantity,unit_price,ordered_at\n"
PATH = "inbox/orders/2025-12-20/DE.csv"
RUN = "procurement run 2025-12-20"


@pytest.fixture
def desk(shop: Shop) -> Shop:
    """The shop, its user known by name."""
    shop.platform.settings = shop.platform.settings.model_copy(update={"user": "Ann"})
    return shop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


def file(folder: Path, quantity: int = 7, form: str = "csv") -> Path:
    """An orders file of DE with one line for B."""
    path = folder / f"export {quantity}.{form}"
    if form == "csv":
        path.write_text(f"{HEADER}1,DE,B,{quantity},9.99,2025-12-20T12:00:00Z\n")
    else:
        path.write_text(
            f'{{"order_id":"1","market":"DE","sku":"B","quantity":{quantity},"unit_price":1,"ordered_at":"2025-12-20T12:00:00Z"}}\n'
        )
    return path


def put(shop: Shop, path: Path, **changes: object) -> list[str]:
    given: dict[str, object] = {"feed": "orders", "market": "DE", "run_date": DAY, **changes}
    return hand_in(shop.platform, path, **given)  # type: ignore[arg-type]


def ordered(shop: Shop) -> object:
    """The day's gross demand of B in DE."""
    row = shop.demand().get(("DE", "B"))
    return row["gross_demand"] if row else None


def test_a_new_file_counts_from_the_next_run_on(desk: Shop, folder: Path) -> None:
    assert put(desk, file(folder)) == [f"{PATH}: put in. It counts from the next run on: {RUN}"]
    desk.run()
    assert ordered(desk) == Decimal(7)


def test_what_it_replaces_is_told(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    waiting, other = put(desk, file(folder, 8))
    assert waiting == f"{PATH}: put in. It counts from the next run on: {RUN}"
    assert re.fullmatch(r"It replaces DE\.csv, which no run had taken yet: SHA-256 [0-9a-f]{16}", other)
    desk.run()
    size, (used,) = file(folder, 8).stat().st_size, desk.ledger().values()
    assert put(desk, file(folder, 9, "jsonl")) == [
        f"inbox/orders/2025-12-20/DE.jsonl: put in. It counts from the next run on: {RUN}",
        f"It replaces the DE.csv in use: 1 row, {size} bytes, id {used.file_id[:8]}",
    ]
    desk.run()
    assert ordered(desk) == Decimal(9)


def test_bytes_that_are_in_use_change_nothing(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    assert put(desk, file(folder)) == [f"{PATH}: nothing changes, these bytes wait there already. They count from the next run on: {RUN}"]
    desk.run()
    (used,) = desk.ledger().values()
    assert put(desk, file(folder)) == [f"{PATH}: nothing changes, these bytes are in use on {DAY} already (1 row, id {used.file_id[:8]})"]
    before = desk.report()
    desk.run()
    assert desk.report() == before


def test_a_suffix_adds_and_replaces_nothing(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    desk.run()
    assert put(desk, file(folder, 8), suffix="late") == [
        f"inbox/orders/2025-12-20/DE__late.csv: put in. It counts from the next run on: {RUN}"
    ]


def test_bytes_that_were_rejected_are_said_to_have_been(desk: Shop, folder: Path) -> None:
    path = folder / "x.csv"
    path.write_text("")
    put(desk, path)
    desk.run()
    (told,) = put(desk, path)
    assert told.startswith(
        f"{PATH}: put in. These bytes were rejected before, and will be again unless the cause is gone: orders {DAY} DE.csv "
    )


def test_bytes_in_use_are_said_to_take_the_place_of_a_correction_that_was_rejected(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    desk.run()
    desk.put_bytes("orders", "DE.csv", b"no,such,columns\n")
    desk.run()
    used = desk.ledger()["orders", "DE.csv", "accepted"]
    (told,) = put(desk, file(folder))
    assert told.startswith(f"{PATH}: put in. These bytes are in use on {DAY} already (1 row, id {used.file_id[:8]}); ")
    assert told.endswith(f"what was rejected since is forgotten from the next run on: {RUN}")
    desk.run()
    assert {f.state for f in desk.platform.ledger.files(DAY)} == {"accepted", "superseded"}


def test_withdrawn_bytes_stay_withdrawn_until_they_are_handed_in_again(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    desk.all_counted()
    desk.run()
    withdraw(desk.platform, "DE.csv", "wrong month")
    desk.run()
    assert "No orders file of DE for 2025-12-20 is in use: what it sent was withdrawn" in desk.report()
    assert ordered(desk) is None
    desk.run()  # the bytes lie in the inbox all the time
    assert ordered(desk) is None
    (told,) = put(desk, file(folder))
    at = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    wanted = rf"{PATH}: put in\. These bytes were withdrawn on {at} by Ann \(wrong month\); they count again from the next run on: {RUN}"
    assert re.fullmatch(wanted, told)
    desk.run()
    assert ordered(desk) == Decimal(7)
    again = desk.ledger()["orders", "DE.csv", "accepted"]
    assert (again.withdrawn_by, again.withdrawn_why, again.reinstated_by) == ("Ann", "wrong month", "Ann")
    assert again.withdrawn_at is not None
    assert again.reinstated_at is not None
    assert again.withdrawn_at < again.reinstated_at
    (line,) = [line for line in market_files(desk.platform, DAY) if line.file == "DE.csv"]
    assert line.note == "withdrawn by Ann (wrong month), put in again by Ann"


def test_reinstated_bytes_can_be_withdrawn_once_more(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    desk.run()
    withdraw(desk.platform, "DE.csv", "first")
    put(desk, file(folder))
    desk.run()
    withdraw(desk.platform, "DE.csv", "second")
    desk.run()
    gone = desk.ledger()["orders", "DE.csv", "withdrawn"]
    assert (gone.withdrawn_why, gone.reinstated_by, gone.reinstated_at) == ("second", None, None)
    assert ordered(desk) is None


def test_a_reinstated_file_gives_the_bytes_of_a_day_in_which_nothing_was_withdrawn(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    desk.all_counted()
    desk.run()
    before = (desk.report(), desk.csvs())
    withdraw(desk.platform, "DE.csv", "by mistake")
    desk.run()
    assert (desk.report(), desk.csvs()) != before
    (desk.inbox / "orders" / DAY.isoformat() / "DE.csv").unlink()
    put(desk, file(folder))
    desk.run()
    assert (desk.report(), desk.csvs()) == before


@pytest.mark.parametrize("withdrawn", [False, True])
def test_rejected_bytes_count_once_they_come_under_the_extension_they_are(desk: Shop, folder: Path, *, withdrawn: bool) -> None:
    """Their content alone does not say what they are: what became of the one file is nothing of the other."""
    wrong = folder / "x.jsonl"
    wrong.write_bytes(file(folder).read_bytes())
    put(desk, wrong)
    desk.run()
    if withdrawn:
        withdraw(desk.platform, "DE.jsonl", "it is CSV")
    assert put(desk, file(folder))[0] == f"{PATH}: put in. It counts from the next run on: {RUN}"
    desk.run()
    assert ordered(desk) == Decimal(7)
    assert {(state, name) for _, name, state in desk.ledger()} == {
        ("accepted", "DE.csv"),
        ("withdrawn" if withdrawn else "superseded", "DE.jsonl"),
    }
    assert not [line for line in market_files(desk.platform, DAY) if line.state == "waiting"]
    assert not [found for found in desk.exceptions() if found[1] == "DE" and found[0] == "INVALID_FILE"]
    (told,) = [line for line in put(desk, wrong) if line.startswith("inbox/")]
    assert told.startswith("inbox/orders/2025-12-20/DE.jsonl: put in.")
    desk.run()  # the bytes under the name that they are not are no better than before, and take nobody's place
    assert ordered(desk) == Decimal(7)
    assert ("orders", "DE.jsonl", "rejected") in desk.ledger()


@pytest.mark.parametrize(
    ("market", "told"),
    [
        ("de", "'de' is no market, the codes are in capital letters: did you mean --market DE?"),
        (
            "GBR",
            "'GBR' is no market (did you mean --market GB?). The markets are DE, GB, JP; a new one comes by `procurement reference load`",
        ),
        ("XX", "'XX' is no market. The markets are DE, GB, JP; a new one comes by `procurement reference load`"),
        ("../DE", "'../DE' is no market. The markets are DE, GB, JP; a new one comes by `procurement reference load`"),
    ],
)
def test_an_unknown_market_is_refused_with_those_there_are(desk: Shop, folder: Path, market: str, told: str) -> None:
    with pytest.raises(ProcurementError) as refused:
        put(desk, file(folder), market=market)
    assert str(refused.value) == told
    assert not desk.inbox.exists()


def test_dates_that_no_run_can_have_are_refused(desk: Shop, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"2024-12-31 is before the first run date 2025-01-01, and no run would take the file"):
        put(desk, file(folder), run_date=dt.date(2024, 12, 31))
    last = max(desk.platform.settings.today(), dt.datetime.now(ZoneInfo("Asia/Tokyo")).date())
    with pytest.raises(ConfigurationError, match=rf"is in the future: the last run date that JP can send for is {last}\. Correct --date"):
        put(desk, file(folder), market="JP", run_date=last + dt.timedelta(days=1))
    assert not desk.inbox.exists()


def test_a_market_whose_day_has_begun_may_send_for_it(desk: Shop, folder: Path) -> None:
    """Half of the time it is tomorrow already on an island in the east."""
    islands = "market,name,currency,timezone\nDE,Germany,EUR,Pacific/Kiritimati\n"
    desk.load({"markets": islands, "planning_parameters": "sku,market,safety_stock\nA,,2\n"})
    there = dt.datetime.now(ZoneInfo("Pacific/Kiritimati")).date()
    (told,) = put(desk, file(folder), run_date=there)
    assert told.startswith(f"inbox/orders/{there}/DE.csv: put in.")


def test_a_market_that_is_not_active_is_warned_of(desk: Shop, folder: Path) -> None:
    closed = "market,name,currency,timezone,active_to\nDE,Germany,EUR,Europe/Berlin,2025-12-19\nJP,Japan,JPY,Asia/Tokyo,\n"
    desk.load({"markets": closed})
    assert put(desk, file(folder))[1:] == [
        "DE is not active on 2025-12-20: the run rejects its files. Correct the date, or active_from and active_to"
    ]


def test_a_file_is_withdrawn_by_its_id_or_the_beginning_of_it(desk: Shop) -> None:
    desk.put("orders", "DE", [order("1", "B", 7)])
    desk.put("stock", "DE", [count("B", 7)])
    desk.run()
    ids = {feed: used.file_id for (feed, _, _), used in desk.ledger().items()}
    assert withdraw(desk.platform, ids["orders"][:8], "why") == "DE.avro (orders, 2025-12-20)"
    assert withdraw(desk.platform, ids["stock"], "why") == "DE.avro (stock, 2025-12-20)"


def test_a_file_that_is_withdrawn_already_says_by_whom(desk: Shop, folder: Path) -> None:
    put(desk, file(folder))
    desk.run()
    withdraw(desk.platform, "DE.csv", "wrong month")
    with pytest.raises(ProcurementError, match=r"^DE\.csv \(orders, 2025-12-20\) is withdrawn already, by Ann \(wrong month\)$"):
        withdraw(desk.platform, "DE.csv", "wrong year")


def test_a_rejected_rival_that_it_takes_out_of_the_inbox_is_told(desk: Shop, folder: Path) -> None:
    (folder / "empty.jsonl").touch()
    put(desk, folder / "empty.jsonl")
    desk.run()
    assert put(desk, file(folder)) == [
        f"{PATH}: put in. It counts from the next run on: {RUN}",
        "It takes the place of DE.jsonl in the inbox, too, which is rejected",
    ]


def test_several_files_of_a_name_are_told_apart_by_feed_date_or_id(desk: Shop) -> None:
    desk.put("orders", "DE", [order("1", "B", 7)])
    desk.put("stock", "DE", [count("B", 7)])
    desk.run()
    orders, stock = (desk.ledger()[feed, "DE.avro", "accepted"].file_id[:8] for feed in ("orders", "stock"))
    with pytest.raises(ProcurementError) as refused:
        withdraw(desk.platform, "DE.avro", "why")
    assert str(refused.value) == (
        f"DE.avro is 2 files (orders {DAY} {orders}, stock {DAY} {stock}): say which by --feed and --date, or name it by its id"
    )
    assert withdraw(desk.platform, "DE.avro", "why", DAY, "stock") == "DE.avro (stock, 2025-12-20)"


def test_a_file_that_is_none_names_the_home_that_was_looked_in(desk: Shop) -> None:
    with pytest.raises(ProcurementError, match=rf"'DE\.csv' is no file in use on any day in {desk.platform.settings.home}: see"):
        withdraw(desk.platform, "DE.csv", "why")


def test_a_day_that_is_being_run_keeps_its_files(desk: Shop) -> None:
    """Its run would be published as made from files that no longer count, and nobody would ask for it again."""
    desk.put("orders", "DE", [order("1", "B", 7)])
    desk.run()
    with DayLock.acquire(desk.platform.database, DOMAIN, DAY, "run 17"), pytest.raises(DayBusy, match="is being worked on by run 17"):
        withdraw(desk.platform, "DE.avro", "why")
    assert ("orders", "DE.avro", "accepted") in desk.ledger()
