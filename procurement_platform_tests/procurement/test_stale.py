import datetime as dt

from procurement_platform.procurement.handing_in import hand_in, withdraw
from procurement_platform.procurement.stale import stale_after, stale_days
from procurement_platform_tests.procurement.shop import DAY, Shop, order

NEXT = DAY + dt.timedelta(days=1)


def test_the_days_after_a_changed_one_are_named_until_they_are_run_again(shop: Shop) -> None:
    now = dt.datetime.now(dt.UTC)
    shop.run(NEXT)
    assert stale_after(shop.platform, DAY, now) == []
    shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    assert [day.run_date for day in stale_after(shop.platform, DAY, now)] == [NEXT]
    shop.run(NEXT)
    assert stale_after(shop.platform, DAY, now) == []


def test_a_day_long_ago_is_stale_once_a_file_of_it_is_withdrawn_and_once_it_is_put_in_again(shop: Shop) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    path = shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    assert stale_days(shop.platform, later) == []
    withdraw(shop.platform, "DE.avro", "wrong month")
    assert [(day.run_date, day.why) for day in stale_days(shop.platform, later)] == [(DAY, "no longer in use: DE.avro")]
    shop.run()
    assert stale_days(shop.platform, later) == []
    hand_in(shop.platform, path, "orders", "DE", DAY)
    assert [(day.run_date, day.why) for day in stale_days(shop.platform, later)] == [(DAY, "new: DE.avro")]
    shop.run()
    assert stale_days(shop.platform, later) == []


def test_a_day_long_ago_is_stale_once_a_file_comes(shop: Shop) -> None:
    # The platform's today is far beyond the late window of this day: its folder's own time tells.
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    assert stale_days(shop.platform, later) == []
    shop.put("orders", "DE", [order("1", "A", 1)])
    assert [(day.run_date, day.why) for day in stale_days(shop.platform, later)] == [(DAY, "never published")]
