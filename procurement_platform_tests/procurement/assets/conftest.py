"""Days that run by Dagster in this process, in a home of the test's own."""

from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from procurement_platform.definitions import defs
from procurement_platform.instance import prepare_dagster_home
from procurement_platform.platform import platform_for
from procurement_platform.procurement.endings import JOB
from procurement_platform.procurement.running import QUIET
from procurement_platform.settings import Settings, settings
from procurement_platform_tests.procurement.shop import DAY, Shop

RunDay = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def desk(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose platform is the one that the day's resource finds."""
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0")
    monkeypatch.setenv("DAGSTER_HOME", str(prepare_dagster_home(home)))
    settings.cache_clear()
    shop = Shop(platform_for(settings()))
    shop.load()
    yield shop
    shop.platform.close()


@pytest.fixture
def run_day(desk: Shop) -> Iterator[RunDay]:
    """Runs the day's job; whether it succeeded is the test's to ask."""
    with dg.DagsterInstance.get() as instance:

        def run(*, refresh: bool = False) -> dg.ExecuteInProcessResult:
            config = {**QUIET, "ops": {"reference": {"config": {"refresh": refresh}}}}
            return defs.resolve_job_def(JOB).execute_in_process(
                instance=instance, partition_key=DAY.isoformat(), run_config=config, raise_on_error=False
            )

        yield run
