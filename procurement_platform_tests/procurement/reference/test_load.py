"""Loading reference tables: the whole set or nothing, against what stays in the database."""

import threading
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procurement_platform.database.connect import Database
from procurement_platform.errors import ReferenceError_
from procurement_platform.procurement.reference.load import Change, load_if_empty, load_reference
from procurement_platform.procurement.reference.snapshot import content_version, read_tables

MARKETS = "market,name,currency,timezone\nDE,Germany,EUR,Europe/Berlin\nFR,France,EUR,Europe/Paris\n"
PRODUCTS = "sku,name\nA,Apples\nB,Bread\n"
SUPPLIERS = "supplier_id,name,currency\nS,Someone,EUR\n"
OFFERS = "supplier_id,sku,unit_price\nS,A,1.5\n"
PARAMETERS = "sku,market,safety_stock\nA,,5\nA,DE,7\n"
CONTENT = st.dictionaries(st.sampled_from("ABCDE"), st.sampled_from(["Apples", "Bread"]), max_size=5)
SET = {"markets": MARKETS, "products": PRODUCTS, "suppliers": SUPPLIERS, "supplier_products": OFFERS, "planning_parameters": PARAMETERS}


def put(folder: Path, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for name, content in tables.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    return folder


def versions(database: Database) -> dict[str, str]:
    with database.connect() as connection:
        return {name: content_version(table) for name, table in read_tables(connection).items()}


def problems(database: Database, folder: Path) -> tuple[str, ...]:
    before = versions(database)
    with pytest.raises(ReferenceError_) as caught:
        load_reference(database, folder)
    assert versions(database) == before, "a refused load changed something"
    assert str(caught.value).startswith("nothing was loaded: ")
    return caught.value.problems


@pytest.fixture
def loaded(database: Database, tmp_path: Path) -> Path:
    folder = put(tmp_path / "set", **SET)
    load_reference(database, folder)
    return folder


def test_a_whole_set_is_loaded_and_counted(database: Database, tmp_path: Path) -> None:
    folder = put(tmp_path / "set", **SET)
    (folder / "notes.txt").write_text("mine")
    (folder / "suplier_products.csv").write_text("a\n")
    report = load_reference(database, folder)
    assert {name: change.after for name, change in report.changes.items()} == {
        "markets": 2, "products": 2, "suppliers": 1, "supplier_products": 1, "planning_parameters": 2,
    }  # fmt: skip
    assert all(change == Change(0, change.after, change.after, 0, 0) for change in report.changes.values())
    assert report.kept == ()
    assert report.unknown_files == ("notes.txt", "suplier_products.csv")
    with database.transaction() as connection:
        assert connection.execute(
            "SELECT sku, market, safety_stock::text FROM reference.planning_parameters ORDER BY market"
        ).fetchall() == [
            ("A", "DE", "7.000"),
            ("A", None, "5.000"),
        ]


def test_loading_again_changes_nothing(database: Database, loaded: Path) -> None:
    before = versions(database)
    report = load_reference(database, loaded)
    assert versions(database) == before
    assert all(change == Change(change.after, change.after, 0, 0, 0) for change in report.changes.values())


def test_what_a_load_changes_is_counted_by_key(database: Database, loaded: Path) -> None:
    offers = (
        "supplier_id,sku,min_quantity,valid_from,valid_to,unit_price\n"
        "S,A,0,,2025-06-30,1.5\n"  # its end is new
        "S,A,0,2025-07-01,,2\n"  # another period: a row of its own
        "S,B,0,,,1\n"
    )
    parameters = "sku,market,safety_stock\nA,,6\nB,DE,7\n"  # one row for all changed, one went, one came
    report = load_reference(database, put(loaded, supplier_products=offers, planning_parameters=parameters))
    assert report.changes == {"supplier_products": Change(1, 3, 2, 1, 0), "planning_parameters": Change(2, 2, 1, 1, 1)}
    assert report.kept == ("markets", "products", "suppliers")


@given(before=CONTENT, after=CONTENT)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_are_those_of_a_comparison_by_hand(
    before: dict[str, str], after: dict[str, str], database: Database, tmp_path: Path
) -> None:
    for content in (before, after):
        rows = "".join(f"{sku},{name}\n" for sku, name in content.items())
        report = load_reference(database, put(tmp_path / "set", products=f"sku,name\n{rows}", planning_parameters="sku\n"))
    common = before.keys() & after.keys()
    assert report.changes["products"] == Change(
        before=len(before),
        after=len(after),
        added=len(after.keys() - common),
        changed=sum(before[sku] != after[sku] for sku in common),
        removed=len(before.keys() - common),
    )


def test_a_given_table_is_replaced_whole_and_the_others_stay(database: Database, loaded: Path) -> None:
    load_reference(database, put(loaded, products="sku,name,uom\nC,Cheese,kg\nA,Apples and pears,kg\n"))
    with database.connect() as connection:
        tables = read_tables(connection)
    assert tables["products"].select(["sku", "name", "uom"]).to_pylist() == [
        {"sku": "A", "name": "Apples and pears", "uom": "kg"},
        {"sku": "C", "name": "Cheese", "uom": "kg"},
    ]
    assert tables["supplier_products"].num_rows == 1
    assert tables["markets"].num_rows == 2


def test_children_can_go_with_their_parents(database: Database, loaded: Path) -> None:
    only_bread = {
        "products": "sku,name\nB,Bread\n",
        "supplier_products": "supplier_id,sku,unit_price\nS,B,2\n",
        "planning_parameters": "sku\n",
    }
    load_reference(database, put(loaded, **only_bread))
    with database.connect() as connection:
        tables = read_tables(connection)
    assert tables["supplier_products"]["sku"].to_pylist() == ["B"]
    assert tables["planning_parameters"].num_rows == 0


def test_a_file_with_a_header_alone_empties_its_table(database: Database, loaded: Path) -> None:
    load_reference(database, put(loaded, supplier_products="supplier_id,sku,unit_price\n"))
    with database.connect() as connection:
        assert read_tables(connection)["supplier_products"].num_rows == 0


def test_dangling_references_across_the_set(database: Database, tmp_path: Path) -> None:
    folder = put(
        tmp_path / "set",
        **SET | {"supplier_products": "supplier_id,sku,unit_price\nT,A,1\nS,C,1\n", "planning_parameters": "sku,market\nA,XX\n"},
    )
    assert problems(database, folder) == (
        "planning_parameters.csv row 1, market 'XX': is not in markets; add it there, or remove this row",
        "supplier_products.csv row 1, supplier_id 'T': is not in suppliers; add it there, or remove this row",
        "supplier_products.csv row 2, sku 'C': is not in products; add it there, or remove this row",
    )


def test_references_to_what_stays_in_the_database_are_fine(database: Database, loaded: Path) -> None:
    report = load_reference(database, put(loaded, supplier_products="supplier_id,sku,unit_price\nS,B,1\n"))
    assert report.changes["supplier_products"].after == 1


def test_a_parent_that_rows_in_the_database_need_cannot_go(database: Database, loaded: Path) -> None:
    folder = put(loaded, products="sku,name\nB,Bread\n", markets="market,name,currency,timezone\nFR,France,EUR,UTC\n")
    keep = "which stays as it is, has rows of it; keep it, or give {0}.csv without it"
    assert problems(database, folder) == (
        f"markets.csv, market 'DE' is missing: the table planning_parameters, {keep.format('planning_parameters')}",
        f"products.csv, sku 'A' is missing: the table planning_parameters, {keep.format('planning_parameters')}",
        f"products.csv, sku 'A' is missing: the table supplier_products, {keep.format('supplier_products')}",
    )


def test_however_many_rows_lose_their_parent_it_is_one_problem(database: Database, tmp_path: Path) -> None:
    skus = [f"K{number:03}" for number in range(200)]
    folder = put(
        tmp_path / "set",
        **SET
        | {
            "products": "sku,name\n" + "".join(f"{sku},x\n" for sku in skus),
            "supplier_products": "supplier_id,sku,unit_price\n" + "".join(f"S,{sku},1\n" for sku in skus),
            "planning_parameters": "sku,market\n",
        },
    )
    load_reference(database, folder)
    (problem,) = problems(database, put(tmp_path / "own", products="sku,name\nK007,mine\n"))
    assert problem == (
        "products.csv, sku 'K000', 'K001', 'K002', 'K003', 'K004' and 194 more are missing: the table supplier_products, "
        "which stays as it is, has rows of them; keep them, or give supplier_products.csv without them"
    )


def test_all_problems_of_all_files_are_told_at_once(database: Database, tmp_path: Path) -> None:
    folder = put(
        tmp_path / "set",
        markets="market,name,currency,timezone\nDE,Germany,DM,Europe/Berlin\n",
        products="sku,name,active_from,active_to\nA,x,2025-02-01,2025-01-31\nA,y,,\n",
        suppliers="supplier_id,name,currency\nS,x,EUR\n",
        supplier_products="supplier_id,sku,unit_price,pack_size,valid_to\nS,A,1,0,\nS,A,1,,2025-01-01\nS,A,2,,\n",
        planning_parameters="sku,market\nA,\nA,\n",
    )
    assert problems(database, folder) == (
        "markets.csv row 1, currency 'DM': is no ISO 4217 currency code; write one such as EUR",
        "planning_parameters.csv row 2, sku 'A': row 1 has the same sku A, market (all); remove one",
        "products.csv row 1, active_to '2025-01-31': lies before active_from 2025-02-01; exchange or mend them",
        "products.csv row 2, sku 'A': row 1 has the same sku A; remove one",
        "supplier_products.csv row 1, pack_size '0': must be more than 0 and at most 1000000000",
        (
            "supplier_products.csv row 3, valid_from '': overlaps row 2 (supplier_id S, sku A, min_quantity 0.000);"
            " end one before the other begins"
        ),
    )


OPEN_QUOTE = (
    "products.csv: not a CSV file: the row that begins in line 3 has a quoted cell that is never closed; close it, or double the quote"
)


def test_a_file_that_cannot_be_read_comes_first_and_nothing_is_said_of_what_refers_to_it(database: Database, tmp_path: Path) -> None:
    """All offers would be told to be without a product."""
    offers = OFFERS + "".join(f"S,X{number},1\n" for number in range(100)) + "S,A,-1\nT,A,2\n"
    folder = put(tmp_path / "set", **SET | {"products": 'sku,name\nA,Apples\nB,"Bread\n', "supplier_products": offers})
    told = problems(database, folder)
    assert told[0] == OPEN_QUOTE
    assert [each for each in told[1:] if "sku" in each] == []
    assert len(told) == 3  # the price and the supplier are told
    with pytest.raises(ReferenceError_) as refused:
        load_reference(database, folder)
    assert str(refused.value) == (
        f"nothing was loaded: {OPEN_QUOTE} (and 2 more problems). What refers to products.csv is checked once all rows there can be read"
    )


def test_a_parent_with_ragged_rows_is_not_held_against_its_children_nor_against_the_database(database: Database, loaded: Path) -> None:
    put(loaded, products="sku,name\nA,Apples, red\nB,Bread\n", planning_parameters=PARAMETERS)
    assert problems(database, loaded) == ("products.csv row 1: 3 cells, the header has 2; quote cells that contain the separator",)


def test_what_refers_to_a_file_that_can_be_read_is_still_checked(database: Database, tmp_path: Path) -> None:
    folder = put(tmp_path / "set", **SET | {"suppliers": "", "planning_parameters": "sku,market\nA,XX\n"})
    assert problems(database, folder) == (
        "suppliers.csv: no header; the first line names the columns",
        "planning_parameters.csv row 1, market 'XX': is not in markets; add it there, or remove this row",
    )


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_any_table_is_named(database: Database, tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "nothing"
    if make:
        put(folder, product="sku\n")
    with pytest.raises(ReferenceError_, match=r"holds none of markets.csv.*it holds product.csv" if make else "is no folder"):
        load_reference(database, folder)


def test_the_sample_is_not_put_over_what_is_there(database: Database, loaded: Path) -> None:
    before = versions(database)
    assert load_if_empty(database, loaded) is False
    assert versions(database) == before


def test_writers_wait_and_readers_do_not(database: Database, loaded: Path) -> None:
    """While rows are loaded nobody else writes; what is read meanwhile is the old content, whole."""
    with database.connect() as other:
        other.execute("UPDATE reference.products SET name = 'held' WHERE sku = 'B'")
        done = threading.Event()

        def load() -> None:
            load_reference(database, loaded)
            done.set()

        loader = threading.Thread(target=load)
        loader.start()
        with database.connect() as reader:
            assert {row[0] for row in reader.execute("SELECT name FROM reference.products")} == {"Apples", "Bread"}
        assert not done.is_set()
        other.commit()
        loader.join(30)
        assert done.is_set()
    with database.transaction() as connection:
        assert connection.execute("SELECT name FROM reference.products WHERE sku = 'B'").fetchone() == ("Bread",)


def test_the_check_against_overlaps_works_again_after_a_load(database: Database, loaded: Path) -> None:
    with pytest.raises(psycopg.errors.ExclusionViolation), database.transaction() as connection:
        connection.execute("INSERT INTO reference.supplier_products (supplier_id, sku, unit_price) VALUES ('S', 'A', 2)")
