"""The simulator knows its own files, and takes no other for one of them."""

import datetime as dt
import hashlib
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from procurement_platform.procurement.reference.snapshot import read_tables
from procurement_platform.procurement.simulator.simulate import simulate
from procurement_platform.procurement.simulator.written import note, sent_by_markets, sha256_of
from procurement_platform_tests.procurement.shop import DAY, Shop, order

NEXT = DAY + dt.timedelta(days=1)


@pytest.fixture
def reference(shop: Shop) -> dict[str, pa.Table]:
    with shop.platform.database.connect() as connection:
        return dict(read_tables(connection))


def theirs(shop: Shop, *days: dt.date) -> list[str]:
    return sent_by_markets(shop.platform.lake, shop.platform.ledger, days or (DAY,))


def test_files_of_a_simulation_are_its_own_before_and_after_a_run(shop: Shop, reference: dict[str, pa.Table]) -> None:
    for seed in (1, 2):
        simulate(shop.platform.settings, DAY, DAY, reference, orders=50, seed=seed, faults="hostile" if seed == 1 else "none")
        assert theirs(shop) == []
    shop.run()
    assert theirs(shop) == []
    for path in (shop.inbox / "orders").rglob("*.*"):
        path.unlink()  # the ledger still has them
    assert theirs(shop) == []


def test_the_register_is_one_that_other_tools_check(shop: Shop, reference: dict[str, pa.Table]) -> None:
    simulate(shop.platform.settings, DAY, DAY, reference, orders=50, faults="none")
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", f"_simulated/{DAY}.sha256"], cwd=shop.inbox, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")
    assert len((shop.inbox / "_simulated" / f"{DAY}.sha256").read_text().splitlines()) == 6


def test_a_file_that_lies_in_the_inbox_is_the_markets(shop: Shop, reference: dict[str, pa.Table]) -> None:
    simulate(shop.platform.settings, DAY, NEXT, reference, orders=50, faults="none")
    shop.put("orders", "DE", [order("1", "A", 1)], suffix="__late")
    shop.put_bytes("orders", "notes.txt", b"x", day=NEXT)
    shop.put_bytes("orders", ".hidden", b"x", day=NEXT)
    assert theirs(shop, DAY, NEXT) == [f"orders/{DAY}/DE__late.avro", f"orders/{NEXT}/notes.txt"]
    assert theirs(shop, NEXT) == [f"orders/{NEXT}/notes.txt"]


def test_the_same_name_with_other_bytes_is_the_markets(shop: Shop, reference: dict[str, pa.Table]) -> None:
    report = simulate(shop.platform.settings, DAY, DAY, reference, orders=50, faults="none")
    first = report.files[0].path
    (shop.inbox / first).write_bytes(b"sent by the market itself")
    assert theirs(shop) == [first]


def test_a_file_that_left_the_inbox_is_still_the_markets(shop: Shop) -> None:
    path = shop.put("orders", "DE", [order("1", "A", 1)])
    shop.run()
    path.unlink()
    assert theirs(shop) == [f"orders/{DAY}/DE.avro"]


def test_a_link_in_the_place_of_a_file_is_not_that_file(shop: Shop, tmp_path: Path) -> None:
    lake = shop.platform.lake
    path = shop.put("orders", "DE", [order("1", "A", 1)])
    note(lake, f"orders/{DAY}/DE.avro", hashlib.sha256(path.read_bytes()).hexdigest())
    assert theirs(shop) == []
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert theirs(shop) == [f"orders/{DAY}/DE.avro"]
    note(lake, f"orders/{DAY}/DE.avro", sha256_of(lake, f"inbox/orders/{DAY}/DE.avro"))
    assert theirs(shop) == []


def test_a_file_is_noted_once(shop: Shop) -> None:
    for _ in range(3):
        note(shop.platform.lake, f"orders/{DAY}/DE.avro", "a" * 64)
    assert (shop.inbox / "_simulated" / f"{DAY}.sha256").read_text() == f"{'a' * 64}  orders/{DAY}/DE.avro\n"
