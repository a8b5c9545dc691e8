from collections.abc import Iterator
from pathlib import Path

import pytest

from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.platform import Platform
from procurement_platform.settings import Settings
from procurement_platform_tests.inbox.desk import Desk
from procurement_platform_tests.procurement.shop import Shop


@pytest.fixture(scope="session")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(1, 512) as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path, pool: DecoderPool) -> Desk:
    return Desk(tmp_path, pool)


@pytest.fixture
def shop(home: Settings) -> Iterator[Shop]:
    shop = Shop(Platform(home.model_copy(update={"settle_seconds": 0.0})))
    shop.load()
    yield shop
    shop.platform.close()
