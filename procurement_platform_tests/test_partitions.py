import datetime as dt

from procurement_platform.partitions import daily
from procurement_platform.settings import settings


def test_today_is_a_partition_and_tomorrow_is_not() -> None:
    today = settings().today()
    assert daily.has_partition_key(today.isoformat())
    assert not daily.has_partition_key((today + dt.timedelta(days=1)).isoformat())


def test_the_first_partition_is_the_start_date() -> None:
    assert daily.get_first_partition_key() == settings().start_date.isoformat()
