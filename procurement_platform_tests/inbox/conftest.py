from collections.abc import Iterator
from pathlib import Path

import pytest

from procurement_platform.inbox.pool import DecoderPool
from procurement_platform_tests.inbox.desk import Desk


@pytest.fixture(scope="session")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(1, 512) as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path, pool: DecoderPool) -> Desk:
    return Desk(tmp_path, pool)
