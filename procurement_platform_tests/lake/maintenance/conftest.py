"""The parts of the folder above, and ways to make files old."""

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.orphans import Orphans, Place
from procurement_platform.lake.publish import Publisher
from procurement_platform_tests.lake.parts import PARTS

DAY, OTHER = dt.date(2025, 12, 1), dt.date(2025, 12, 2)
NOW = dt.datetime.now(dt.UTC)
GRACE = dt.timedelta(days=3)
PLACES = (Place("processed/parts", table=PARTS), Place("quarantine/files/orders", of_ledger=True), Place("logs/exceptions", "date="))
Age = Callable[..., None]


def allowed() -> None:
    """A guard that lets commits through."""


@pytest.fixture
def age(lake: Lake) -> Age:
    """Makes all that lies below a folder of the lake days old."""

    def aged(folder: str = "", *, days: float = 10) -> None:
        then = (NOW - dt.timedelta(days=days)).timestamp()
        for parent, names, files in os.walk(lake.path(folder), topdown=False):
            for name in [*names, *files]:
                os.utime(Path(parent, name), (then, then), follow_symlinks=False)

    return aged


@pytest.fixture
def orphans(publisher: Publisher, database: Database, lake: Lake) -> Orphans:
    return Orphans(database, lake, publisher.catalog, "shop", NOW, GRACE)
