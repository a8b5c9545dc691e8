"""`procurement simulate`: files in the inbox, and what is told of them."""

import hashlib
from pathlib import Path

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement


def bytes_of(home: Path) -> dict[str, str]:
    inbox = home / "lake" / "inbox"
    files = [path for feed in ("orders", "stock") for path in (inbox / feed).rglob("*") if path.is_file()]
    return {str(path.relative_to(inbox)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_day_without_faults_has_two_files_a_market(procurement: Procurement, home: Settings) -> None:
    done = procurement("simulate", DAY, "--orders", 100, "--faults", "none")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1].startswith("16 files with ")
    files = bytes_of(home.home)
    assert len(files) == 16
    assert {path.split("/")[1] for path in files} == {DAY}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(procurement: Procurement, home: Settings) -> None:
    made = []
    for seed in (7, 7, 8):
        procurement("simulate", DAY, "--orders", 100, "--seed", seed)
        made.append(bytes_of(home.home))
        for path in list((home.home / "lake" / "inbox").rglob("*.*")):
            path.unlink()
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_days_with_files_of_a_market_are_left_alone(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    file = tmp_path / "DE.csv"
    file.write_text("market,sku,available,reserved\nDE,A,1,0\n")
    procurement("put", file, "--market", "DE", "--feed", "stock", "--date", "2025-12-21")
    before = bytes_of(home.home)
    done = procurement("simulate", "2025-12-20", "2025-12-22", "--orders", 100)
    assert done.error == (
        "nothing was simulated: stock/2025-12-21/DE.csv came from no simulation, and a simulated file could take its place. "
        "Choose days without files, or say --replace"
    )
    assert bytes_of(home.home) == before  # of the other days, too, nothing was written
    assert procurement("simulate", "2025-12-20", "2025-12-22", "--orders", 100, "--replace").code == 0
    assert len({path.split("/")[1] for path in bytes_of(home.home)}) == 3
    assert bytes_of(home.home)["stock/2025-12-21/DE.csv"] == before["stock/2025-12-21/DE.csv"]


def test_what_a_simulation_wrote_another_replaces(procurement: Procurement, home: Settings) -> None:
    made = []
    for seed, faults in ((7, "hostile"), (8, "typical"), (8, "hostile"), (7, "hostile")):
        done = procurement("simulate", DAY, "--orders", 100, "--seed", seed, "--faults", faults)
        assert done.code == 0, done.err
        made.append(bytes_of(home.home))
    assert made[0] != made[1]


@pytest.mark.parametrize("day", ["2024-12-31", "2999-01-01"])
def test_days_that_cannot_be_run_are_refused(procurement: Procurement, home: Settings, day: str) -> None:
    assert f"{day} is " in procurement("simulate", day).error
    assert not (home.home / "lake" / "inbox").exists()


def test_faults_are_told_up_to_a_limit(procurement: Procurement, home: Settings) -> None:
    done = procurement("simulate", "2025-12-01", "2025-12-10", "--orders", 100)
    lines = done.err.splitlines()
    told = lines[lines.index("What is wrong with them, on purpose:") + 1 :]
    assert len(told) == 41
    assert told[-1].startswith("  … and ")
    assert len({path.split("/")[1] for path in bytes_of(home.home)}) == 10


def test_more_than_there_is_makes_a_larger_reference_set_once(procurement: Procurement, home: Settings, database: Database) -> None:
    def sizes() -> tuple[int, ...]:
        with database.transaction() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM reference.markets), (SELECT count(*) FROM reference.products),"
                " (SELECT count(*) FROM reference.suppliers)"
            ).fetchone()
        assert row is not None
        return row

    done = procurement("simulate", DAY, "--orders", 500, "--markets", 12, "--skus", 900, "--faults", "none")
    assert done.code == 0, done.err
    assert done.err.startswith("Replaced the sample, or made-up, reference tables by a larger made-up set: 12 markets (before: 8), ")
    made = sizes()
    assert made[0] == 12
    assert made[1] >= 900
    assert len(bytes_of(home.home)) == 24
    again = procurement("simulate", "2025-12-21", "--orders", 500, "--markets", 12, "--skus", 900, "--faults", "none")
    assert "Replaced" not in again.err
    assert sizes() == made


def test_reference_data_of_ones_own_is_never_replaced(procurement: Procurement, home: Settings, database: Database, tmp_path: Path) -> None:
    procurement("reference", "export", tmp_path / "own")
    suppliers = tmp_path / "own" / "suppliers.csv"
    suppliers.write_text(suppliers.read_text().replace("SUP-001,", "SUP-001,My own ", 1))
    assert procurement("reference", "load", tmp_path / "own").code == 0
    error = procurement("simulate", DAY, "--markets", 12).error
    assert "reference data of its own (8 markets and 500 products)" in error
    assert "or give your tables up with --replace" in error
    assert not (home.home / "lake" / "inbox").exists()
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM reference.suppliers WHERE name LIKE 'My own %'").fetchone() == (1,)
    done = procurement("simulate", DAY, "--markets", 12, "--orders", 100, "--replace")
    assert done.code == 0, done.err
    assert done.err.startswith("Replaced your own reference tables by a larger made-up set: 12 markets (before: 8), ")


def test_a_smaller_simulation_of_the_same_day_leaves_nothing_of_the_larger(procurement: Procurement, home: Settings) -> None:
    procurement("simulate", DAY, "--orders", 100, "--faults", "hostile")
    before = bytes_of(home.home)
    changed = home.home / "lake" / "inbox" / "orders" / DAY / "notes.txt"
    changed.write_text("not of the simulator")
    done = procurement("simulate", DAY, "--orders", 100, "--markets", 3, "--faults", "none", "--replace")
    assert done.code == 0, done.err
    after = bytes_of(home.home)
    assert len(after) == 7
    assert f"orders/{DAY}/notes.txt" in after
    gone = len(before.keys() - after.keys())
    assert any(line.endswith(" more") and line.startswith(f"{gone} files of an earlier") for line in done.err.splitlines()), done.err
    again = procurement("simulate", DAY, "--orders", 100, "--markets", 3, "--faults", "none", "--replace")
    assert "earlier simulation" not in again.err


def test_a_range_that_ends_before_it_begins_is_an_error(procurement: Procurement, home: Settings) -> None:
    done = procurement("simulate", DAY, "2025-12-01")
    assert done.code == 1
    assert "exchange the dates" in done.err.splitlines()[-1]


def test_wrong_usage(procurement: Procurement) -> None:
    assert procurement("simulate").code == 2
    assert procurement("simulate", DAY, "--faults", "many").code == 2
    assert procurement("simulate", DAY, "--orders", 0).code == 2
