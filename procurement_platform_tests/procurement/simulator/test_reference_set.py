"""Made-up reference sets: the committed sample is one, all of them load, and none replaces what is somebody's own."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procurement_platform.database.connect import Database
from procurement_platform.errors import ConfigurationError
from procurement_platform.procurement.reference.export import csv_bytes, write_csv_files
from procurement_platform.procurement.reference.load import load_reference
from procurement_platform.procurement.reference.read import overlapping, read_table
from procurement_platform.procurement.reference.sample import SAMPLE, ensure_sample
from procurement_platform.procurement.reference.snapshot import read_tables
from procurement_platform.procurement.reference.tables import BY_NAME, REFERENCE_TABLES
from procurement_platform.procurement.simulator.reference_set import is_made, load_made_reference, make_reference


def test_the_committed_sample_is_what_is_made() -> None:
    for name, table in make_reference(8, 500, 25).items():
        assert csv_bytes(table).decode() == (SAMPLE / f"{name}.csv").read_text(encoding="utf-8"), f"write sample/{name}.csv again"


@settings(max_examples=10)
@given(st.integers(1, 24), st.integers(1, 200), st.integers(1, 60))
def test_sets_of_any_size_are_sound(tmp_path_factory: pytest.TempPathFactory, markets: int, products: int, suppliers: int) -> None:
    made = make_reference(markets, products, suppliers)
    assert [made[name].num_rows for name in ("markets", "products", "suppliers")] == [markets, products, suppliers]
    folder = tmp_path_factory.mktemp("set")
    write_csv_files(made, folder)
    for table in REFERENCE_TABLES:
        file = read_table(folder / f"{table.name}.csv", table)
        assert [str(problem) for problem in (*file.problems, *overlapping(file))] == []
        assert made[table.name].schema == table.arrow
    assert len(set(made["products"]["sku"].to_pylist())) == products


@pytest.mark.parametrize("sizes", [(0, 1, 1), (25, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigurationError, match="1 to 24 markets"):
        make_reference(*sizes)


def test_a_made_set_replaces_an_empty_one_the_sample_and_another_made_one(database: Database) -> None:
    load_made_reference(database, 2, 30, 3)
    report = load_made_reference(database, 3, 40, 4)
    assert report.changes["markets"].after == 3
    with database.connect() as connection:
        found = read_tables(connection)
        made = make_reference(3, 40, 4)
        assert all(found[name].equals(made[name]) for name in BY_NAME)
        assert is_made(found)


def test_the_sample_can_be_replaced_until_somebody_changes_it(database: Database, tmp_path: Path) -> None:
    ensure_sample(database)
    with database.transaction() as connection:
        connection.execute("UPDATE reference.products SET name = 'Our own' WHERE sku = 'BAB-00001'")
    with pytest.raises(ConfigurationError, match="the database holds reference data of its own"):
        load_made_reference(database, 2, 30, 3)
    load_reference(database, SAMPLE)
    assert load_made_reference(database, 2, 30, 3).changes["products"].after == 30


def test_a_user_s_own_few_rows_are_kept(database: Database, tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("sku,name\nA,x\n", encoding="utf-8")
    load_reference(database, tmp_path)
    with pytest.raises(ConfigurationError, match="PROCUREMENT_HOME"):
        load_made_reference(database, 2, 30, 3)
    with database.transaction() as connection:
        assert connection.execute("SELECT sku FROM reference.products").fetchall() == [("A",)]
