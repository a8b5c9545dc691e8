"""A small retailer with its reference loaded and nothing in its inbox; and one on the real servers, for tests that break them.

- `shop`: the small one; `near_shop` is the same, `far_shop` the one on the cluster, and `either_shop` one after the other.
- `far`: that on the cluster, its day published in one of two states, every server running; one for all tests of a session.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from procurement_platform.platform import Platform
from procurement_platform.settings import Settings
from procurement_platform_tests.conftest import SharedServer
from procurement_platform_tests.procurement.faults import Far, far_of
from procurement_platform_tests.procurement.shop import Shop
from procurement_platform_tests.stack.live import Cluster, home_of_its_own


@pytest.fixture
def shop(near_shop: Shop) -> Shop:
    return near_shop


@pytest.fixture
def near_shop(home: Settings) -> Iterator[Shop]:
    yield from _shop(home)


@pytest.fixture
def far_shop(cluster_home: Settings) -> Iterator[Shop]:
    yield from _shop(cluster_home)


@pytest.fixture(params=["embedded", pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.timeout(600)])])
def either_shop(request: pytest.FixtureRequest) -> Shop:
    found: Shop = request.getfixturevalue("near_shop" if request.param == "embedded" else "far_shop")
    return found


def _shop(settings: Settings) -> Iterator[Shop]:
    platform = Platform(settings.model_copy(update={"settle_seconds": 0.0}))
    shop = Shop(platform)
    shop.load()
    yield shop
    platform.close()


@pytest.fixture(scope="session")
def retailer(session_cluster: Cluster, shared_server: SharedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    name, url = shared_server.create()
    folder = tmp_path_factory.mktemp("faults")
    near = Platform(Settings(_env_file=None, home=folder / "near", database_url=SecretStr(url), settle_seconds=0.0))
    shop = Shop(near)
    shop.load()
    session_cluster.heal()
    try:
        with home_of_its_own(session_cluster, folder / "far") as environment, far_of(session_cluster, shop, environment) as far:
            yield far
    finally:
        near.close()
        shared_server.drop(name)


@pytest.fixture
def far(retailer: Far, cluster: Cluster) -> Iterator[Far]:
    found = replace(retailer, platform=Platform(retailer.settings), runs=[])  # its connections are such as no test has broken
    yield found
    found.close()
    retailer.state = found.state
