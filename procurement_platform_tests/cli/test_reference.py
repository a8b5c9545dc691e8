"""`procurement reference load` and `export`."""

from pathlib import Path

from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement
from procurement_platform_tests.cli.test_doctor import finding

TABLES = ["markets", "products", "suppliers", "supplier_products", "planning_parameters"]


def test_an_empty_database_exports_the_sample_set_and_takes_it_back(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    done = procurement("reference", "export", tmp_path / "one")
    assert done.code == 0
    assert done.err.splitlines() == [str(tmp_path / "one" / f"{name}.csv") for name in TABLES]

    loaded = procurement("reference", "load", tmp_path / "one")
    assert loaded.code == 0
    assert loaded.out.splitlines()[1].split() == ["table", "before", "after", "added", "changed", "removed"]
    rows = {line.split()[0]: line.split()[1:] for line in loaded.out.splitlines()[2:]}
    assert set(rows) == set(TABLES)
    assert rows["markets"] == ["8", "8", "0", "0", "0"]
    assert loaded.err == ""  # nothing changed

    procurement("reference", "export", tmp_path / "two")
    for name in TABLES:
        assert (tmp_path / "one" / f"{name}.csv").read_bytes() == (tmp_path / "two" / f"{name}.csv").read_bytes()


def test_a_load_says_what_it_replaces_and_what_stays(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    procurement("reference", "export", tmp_path)
    for name in ("markets", "products", "suppliers", "planning_parameters"):
        (tmp_path / f"{name}.csv").unlink()
    offers = tmp_path / "supplier_products.csv"
    header, _, second, *rest = offers.read_text().splitlines()
    cells = dict(zip(header.split(","), second.split(","), strict=True)) | {"lead_time_days": "77"}
    offers.write_text("\n".join([header, ",".join(cells.values()), *rest]) + "\n")
    done = procurement("reference", "load", tmp_path)
    before = f"{len(rest) + 2:,}"
    assert done.out.splitlines()[2:] == [f"supplier_products   {before}  {len(rest) + 1:,}      0        1        1"]
    gone, kept, pinned = done.err.splitlines()
    assert gone.startswith("removed from supplier_products: ")
    assert kept == "no file, left as they were: markets, products, suppliers, planning_parameters"
    assert "procurement run DATE --refresh-reference" in pinned


def test_the_help_says_what_a_load_replaces(procurement: Procurement) -> None:
    told = " ".join(procurement("reference", "load", "--help").out.replace("│", " ").split())
    assert "Each file replaces its table whole: a row that the file does not have is removed." in told
    assert "A table without a file stays as it is." in told
    assert "--refresh-reference" in told


def test_faults_are_all_listed_and_nothing_is_loaded(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    procurement("reference", "export", tmp_path)
    markets = tmp_path / "markets.csv"
    lines = markets.read_text().splitlines()
    markets.write_text("\n".join([lines[0], *lines[1:], lines[1], lines[2]]) + "\n")
    done = procurement("reference", "load", tmp_path)
    assert done.code == 1
    assert done.out == ""
    first, *problems = done.err.splitlines()
    assert first.startswith("error: nothing was loaded: ")
    assert first.endswith(" (and 1 more problem)")
    assert len(problems) == 1  # the line above has the other
    assert "markets.csv row 9" in first
    assert problems[0].startswith("  markets.csv row 10")


def test_files_that_are_no_table_are_named(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    procurement("reference", "export", tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    done = procurement("reference", "load", tmp_path)
    assert done.code == 0
    assert done.err == "not a reference table, and left alone: notes.txt\n"


def test_a_folder_that_is_none_is_one_line(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    assert "is no folder" in procurement("reference", "load", tmp_path / "nowhere").error


def test_a_folder_that_cannot_be_written_is_one_line(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in procurement("reference", "export", tmp_path / "file").error


def test_a_folder_that_cannot_be_made_is_one_line(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert procurement("reference", "export", tmp_path / "file" / "tables").error == (
        f"{tmp_path / 'file' / 'tables'} cannot be written (Not a directory); name a folder that you may write"
    )


def test_the_first_rows_that_a_load_removes_are_named(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    procurement("reference", "export", tmp_path)
    parameters = tmp_path / "planning_parameters.csv"
    header, *lines = parameters.read_text().splitlines()
    parameters.write_text("\n".join([header, *lines[7:]]) + "\n")
    for path in tmp_path.glob("[!p]*.csv"):
        path.unlink()
    done = procurement("reference", "load", tmp_path)
    assert done.code == 0, done.err
    (told,) = [line for line in done.err.splitlines() if line.startswith("removed from ")]
    assert told.startswith("removed from planning_parameters: ")
    assert told.endswith(" and 2 more")
    assert lines[0].split(",")[0] in told


def test_offers_that_no_order_can_use_are_taken_and_named(procurement: Procurement, home: Settings, tmp_path: Path) -> None:
    procurement("reference", "export", tmp_path)
    assert finding(procurement("doctor", "--format", "json"), "reference")["state"] == "ok"
    offers = tmp_path / "supplier_products.csv"
    header, *lines = offers.read_text().splitlines()
    names = header.split(",")
    never = [dict(zip(names, line.split(","), strict=True)) | {"moq": "24", "max_order_quantity": "5"} for line in lines[:7]]
    offers.write_text("\n".join([header, *(",".join(each.values()) for each in never), *lines[7:]]) + "\n")
    done = procurement("reference", "load", tmp_path)
    assert done.code == 0, done.err
    *told, more, pinned = done.err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [f"supplier_products.csv row {n}, max_order_quantity '5'" for n in range(1, 6)]
    assert all("; raise it, or lower those" in line for line in told)
    assert more == "… and 2 more offers that are never used"
    assert pinned.startswith("Days that were run")
    looked = finding(procurement("doctor", "--format", "json"), "reference")
    assert looked["state"] == "look"
    assert looked["found"].startswith(f"offers that no order can use: {never[0]['supplier_id']} {never[0]['sku']}, ")
    assert looked["found"].endswith(" and 2 more")
    assert "max_order_quantity" in looked["mend"]
