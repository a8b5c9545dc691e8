"""What the simulator says is wrong with a day's files is what the day's report says, file by file and row by row, and nothing else."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pytest

from procurement_platform.platform import Platform
from procurement_platform.procurement import service
from procurement_platform.procurement.reference.sample import ensure_sample
from procurement_platform.procurement.reference.snapshot import read_tables
from procurement_platform.procurement.simulator.faults import Fault
from procurement_platform.procurement.simulator.simulate import Faults, SimulationReport, simulate
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, Shop

FOLLOW = {"STOCK_UNKNOWN", "NO_SUPPLIER"}  # of what is planned with the files: no fault of theirs
Told = tuple[str, str, str]  # rule, feed, and the file's name (of a missing one, the market)


def told(faults: tuple[Fault, ...]) -> Counter[Told]:
    """The rows that break each rule by file; a file that breaks one as a whole counts as one row."""
    found: Counter[Told] = Counter()
    for each in faults:
        feed, _, name = each.file.split("/", 2)
        if each.rule:
            found[each.rule, feed, name] += each.rows or 1
    return found


def reported(shop: Shop, day: dt.date) -> Iterator[tuple[Told, int]]:
    for row in service.exceptions(shop.platform, day):
        rule, dataset = str(row["rule"]), str(row["dataset"])
        if rule not in FOLLOW:
            file = row["market"] if rule == "MISSING_FILE" else row["file"]
            rows = 1 if rule in ("MISSING_FILE", "INVALID_FILE") else int(str(row["rows"]))
            yield (rule, "stock" if "stock" in dataset else "orders", str(file)), rows


@pytest.fixture
def sample(home: Settings) -> Iterator[Shop]:
    platform = Platform(home.model_copy(update={"settle_seconds": 0.0}))
    ensure_sample(platform.database)
    yield Shop(platform)
    platform.close()


def simulated(shop: Shop, day: dt.date, seed: int, faults: Faults) -> SimulationReport:
    with shop.platform.database.connect() as connection:
        reference = read_tables(connection)
    made = simulate(shop.platform.settings, day, day, reference, orders=2_000, seed=seed, faults=faults)
    shop.run(day)
    return made


@pytest.mark.parametrize("faults", ["none", "typical", "hostile"])
@pytest.mark.parametrize(("day", "seed"), [(DAY, 1), (DAY + dt.timedelta(days=3), 7)])
def test_what_is_wrong_with_the_files_is_what_the_report_says(sample: Shop, day: dt.date, seed: int, faults: Faults) -> None:
    made = simulated(sample, day, seed, faults)
    found: Counter[Told] = Counter()
    for key, rows in reported(sample, day):
        found[key] += rows
    expected = told(made.faults)
    assert dict(found) == dict(expected)
    assert bool(found) == (faults != "none")


def test_files_that_are_odd_but_right_are_taken_whole(sample: Shop) -> None:
    made = simulated(sample, DAY, 1, "hostile")
    ledger = {(feed, name): file for (feed, name, _), file in sample.ledger().items()}
    odd = [each.file for each in made.faults if not each.rule]
    assert len(odd) > 3
    for path in odd:
        feed, _, name = path.split("/", 2)
        file = ledger[feed, name]
        assert (file.state, file.quarantined, file.duplicates) == ("accepted", 0, 0), path
        assert file.rows
        assert file.accepted == file.rows
