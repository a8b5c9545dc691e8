"""A day run with a refreshed reference says so where people look; its report stays a function of files, versions and settings."""

from collections.abc import Iterator

import pytest

from procurement_platform.platform import Platform
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement
from procurement_platform_tests.procurement.shop import Shop, order

SAID = "Reference tables refreshed since the day's first run: supplier_products\n"


@pytest.fixture
def published(home: Settings) -> Iterator[Shop]:
    shop = Shop(Platform(home.model_copy(update={"settle_seconds": 0.0})))
    shop.load()
    shop.put("orders", "DE", [order("1", "A", 4)])
    shop.all_counted()
    shop.run()
    shop.load({"supplier_products": "supplier_id,sku,unit_price\nS2,A,1\n"})
    yield shop
    shop.platform.close()


def test_exceptions_say_so_in_the_table_alone_and_only_once_it_was_asked_for(published: Shop, procurement: Procurement) -> None:
    published.run()
    assert SAID not in procurement("exceptions", DAY).err
    report = published.report()
    published.run(refresh=True)
    assert SAID in procurement("exceptions", DAY).err
    assert SAID not in procurement("exceptions", DAY, "--format", "csv").err
    assert published.report() == report
    assert procurement("exceptions", DAY, "--format", "csv").out == report


def test_a_run_names_tables_that_are_newer_than_the_days_and_what_takes_them(published: Shop, procurement: Procurement) -> None:
    newer = (
        f"Reference tables changed since, and not used by this run: supplier_products. procurement run {DAY} --refresh-reference takes them"
    )
    done = procurement("run", DAY)
    assert done.code == 0, done.err
    assert newer in done.err.splitlines()
    done = procurement("run", DAY, "--refresh-reference")
    assert SAID in done.err
    assert newer not in done.err.splitlines()
