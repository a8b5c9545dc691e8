"""A small retailer with its reference loaded and nothing in its inbox."""

from collections.abc import Iterator

import pytest

from procurement_platform.platform import Platform
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import Shop


@pytest.fixture
def shop(home: Settings) -> Iterator[Shop]:
    platform = Platform(home.model_copy(update={"settle_seconds": 0.0}))
    shop = Shop(platform)
    shop.load()
    yield shop
    platform.close()
