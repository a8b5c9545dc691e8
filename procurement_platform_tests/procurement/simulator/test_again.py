"""A day that is simulated again has the files of the new simulation alone, and so has its ledger."""

from uuid import uuid4

import pyarrow as pa
import pytest

from procurement_platform.lake.files import Lake
from procurement_platform.procurement.reference.snapshot import read_tables
from procurement_platform.procurement.simulator.again import clear, settle
from procurement_platform.procurement.simulator.simulate import simulate
from procurement_platform.procurement.simulator.written import note, sha256_of
from procurement_platform_tests.procurement.shop import DAY, Shop


@pytest.fixture
def reference(shop: Shop) -> dict[str, pa.Table]:
    with shop.platform.database.connect() as connection:
        return dict(read_tables(connection))


def in_use(shop: Shop) -> set[str]:
    return {f"{file.feed}/{file.file_name}" for file in shop.platform.ledger.files(DAY, states=("accepted", "rejected"))}


def test_only_unchanged_files_of_the_simulator_are_removed(shop: Shop, reference: dict[str, pa.Table]) -> None:
    report = simulate(shop.platform.settings, DAY, DAY, reference, orders=50, faults="none")
    changed = shop.inbox / report.files[0].path
    changed.write_bytes(b"sent by the market itself")
    own = shop.put_bytes("orders", "DE__own.csv", b"x")
    assert clear(shop.platform.lake, DAY) == sorted(file.path for file in report.files[1:])
    assert changed.exists()
    assert own.exists()
    assert not (shop.inbox / report.files[1].path).exists()
    assert clear(shop.platform.lake, DAY) == []


def test_of_a_lake_elsewhere_the_simulators_files_make_way_too() -> None:
    lake = Lake(f"memory://again-{uuid4().hex}")
    for name in ("DE.csv", "FR.csv"):
        lake.write(f"inbox/orders/{DAY}/{name}", b"simulated")
        note(lake, f"orders/{DAY}/{name}", sha256_of(lake, f"inbox/orders/{DAY}/{name}"))
    lake.write(f"inbox/orders/{DAY}/FR.csv", b"sent by the market itself")
    assert clear(lake, DAY) == [f"orders/{DAY}/DE.csv"]
    assert lake.files(f"inbox/orders/{DAY}") == ["FR.csv"]


def test_what_a_run_received_is_withdrawn_and_counts_again_when_it_is_written_again(shop: Shop, reference: dict[str, pa.Table]) -> None:
    def again(markets: int | None) -> list[str]:
        clear(shop.platform.lake, DAY)
        simulate(shop.platform.settings, DAY, DAY, reference, orders=50, markets=markets, faults="none")
        return settle(shop.platform, DAY)

    assert again(None) == []
    shop.run()
    everything = in_use(shop)
    assert len(everything) == 6
    withdrawn = again(1)
    shop.run()
    kept = in_use(shop)
    assert len(kept) == 2
    assert {path.replace(f"/{DAY}/", "/") for path in withdrawn} == everything - kept
    assert again(None) == []
    shop.run()
    assert in_use(shop) == everything
