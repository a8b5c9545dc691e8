"""Which files are missing at their market's cut-off, and when that is."""

import datetime as dt

from pydantic import SecretStr

from procurement_platform.platform import Platform
from procurement_platform.procurement.cutoff import at_cutoff, due_files
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.quality.alerts import Alerts
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

# Cut-offs are at 06:00 the next day, market time: JP 21:00 UTC the same day, DE 05:00, GB 06:00 UTC the next.
JP, DE, GB = (dt.datetime(2025, 12, 20, 21, tzinfo=dt.UTC) + dt.timedelta(hours=h) for h in (0, 8, 9))
SECOND = dt.timedelta(seconds=1)


def missing(shop: Shop, now: dt.datetime) -> list[tuple[str, str]]:
    return [(f.asset, f.check) for f in at_cutoff(shop.platform, now).get(DAY, ())]


def test_a_file_is_due_at_its_markets_cutoff_and_not_before(shop: Shop) -> None:
    def due(now: dt.datetime) -> set[str]:
        return {market for day, _, market, _ in due_files(shop.platform, now) if day == DAY}

    assert due(JP - SECOND) == set()
    assert due(JP) == {"JP"}
    assert due(DE - SECOND) == {"JP"}
    assert due(DE) == {"JP", "DE"}
    assert due(GB) == {"JP", "DE", "GB"}


def test_what_is_missing_is_told_per_feed(shop: Shop) -> None:
    shop.put("orders", "JP", [order("1", "A", 1)])
    assert missing(shop, JP) == [("raw_stock", "cut_off JP")]
    (finding,) = at_cutoff(shop.platform, JP)[DAY]
    assert finding.text == "no stock file of JP by its cut-off, 2025-12-21 06:00 (Asia/Tokyo): it sent none"


def test_an_accepted_file_and_one_that_waits_are_there(shop: Shop) -> None:
    shop.put("orders", "JP", [order("1", "A", 1)])
    shop.run()
    shop.put("stock", "JP", [count("A", 1)])
    assert missing(shop, JP) == []


def test_a_rejected_file_is_missing_and_the_text_says_why(shop: Shop) -> None:
    shop.put_bytes("orders", "JP.csv", b"")
    shop.put("stock", "JP", [count("A", 1)])
    shop.run()
    (finding,) = at_cutoff(shop.platform, JP)[DAY]
    assert finding.text.endswith("what it sent was rejected")


def test_a_file_of_which_no_row_can_be_used_is_missing(shop: Shop) -> None:
    shop.put("orders", "JP", [order("1", "NONE", 1)])
    shop.put("stock", "JP", [count("A", 1)])
    shop.run()
    (finding,) = at_cutoff(shop.platform, JP)[DAY]
    assert finding.text.endswith("no row of what it sent can be used")


def test_a_corrected_file_that_waits_is_there_although_it_was_rejected_before(shop: Shop) -> None:
    shop.put_bytes("orders", "JP.avro", b"")
    shop.put("stock", "JP", [count("A", 1)])
    shop.run()
    shop.put("orders", "JP", [order("1", "A", 1)])
    assert missing(shop, JP) == []


def test_a_market_that_is_not_expected_is_not_missed(shop: Shop) -> None:
    markets = (
        "market,name,currency,timezone,sends_stock,active_to\n"
        "DE,Germany,EUR,Europe/Berlin,false,\nJP,Japan,JPY,Asia/Tokyo,true,2025-12-19\n"
    )
    shop.load({"markets": markets, "planning_parameters": "sku,market,safety_stock\nA,,2\n"})
    assert missing(shop, DE) == [("raw_orders", "cut_off DE")]


def test_cutoffs_that_passed_long_ago_are_the_reports_to_tell(shop: Shop) -> None:
    later = GB + dt.timedelta(hours=25)
    assert missing(shop, later) == []
    longer = Settings(_env_file=None, cutoff_window_hours=26)
    patient = Platform(longer)
    assert {market for day, _, market, _ in due_files(patient, later) if day == DAY} == {"GB"}
    patient.close()


def test_each_missing_file_is_told_once_also_when_others_follow(shop: Shop) -> None:
    alerts = Alerts(shop.platform.database, DOMAIN, list[SecretStr]())

    def told(now: dt.datetime) -> str | None:
        message = alerts.tell("Files", "cut_off", at_cutoff(shop.platform, now).get(DAY, ()), word="missing")
        return message.title if message else None

    assert told(JP) == "Files: 2 missing"
    assert told(JP + SECOND) is None
    assert told(DE) == "Files: 2 missing"
    assert told(DE + SECOND) is None
