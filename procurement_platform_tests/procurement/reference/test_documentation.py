"""docs/reference.md says what the tables are: every column, nothing else, and what it shows loads."""

import csv
import re
from pathlib import Path

import pytest

from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.load import load_reference
from procurement_platform.procurement.reference.tables import REFERENCE_TABLES, ReferenceColumn, ReferenceTable
from procurement_platform.project import CHECKOUT

PAGE = (CHECKOUT / "docs" / "reference.md").read_text(encoding="utf-8")
HEADER = ["column", "meaning", "unit", "default", "allowed", "example"]
TABLES = pytest.mark.parametrize("table", REFERENCE_TABLES, ids=lambda table: table.name)
COLUMNS = [(table, column) for table in REFERENCE_TABLES for column in table.columns]
# What people read, and columns that have one value: nothing depends on them either, and nobody would expect it to.
FOR_PEOPLE = {"name", "category", "uom", "policy", "rounding"}


def told(table: ReferenceTable) -> dict[str, dict[str, str]]:
    """The page's lines of a table: column → heading → cell."""
    section = PAGE.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    assert lines[0] == HEADER
    return {line[0].strip("`"): dict(zip(HEADER, line, strict=True)) for line in lines[2:]}


def test_the_page_has_the_tables_there_are() -> None:
    assert re.findall(r"^## (\S+)$", PAGE, re.MULTILINE) == [table.name for table in REFERENCE_TABLES]


@TABLES
def test_every_column_is_told_and_no_other(table: ReferenceTable) -> None:
    lines = told(table)
    assert list(lines) == list(table.column_names)
    for column in table.columns:
        line = lines[column.name]
        assert all(line[heading].strip("`") for heading in ("meaning", "default", "allowed", "example")), column.name
        assert line["default"] == (f"`{column.default}`" if column.default is not None else "must be given" if column.required else "empty")
        assert all(f"`{choice}`" in line["allowed"] for choice in column.choices)
        if column.type.startswith("decimal"):
            assert line["unit"]
        assert ("Without effect on orders in this version" in line["meaning"]) == column.unused


def put(folder: Path, rows: dict[str, dict[str, str]]) -> None:
    for name, row in rows.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)


def test_the_examples_are_a_set_that_loads(database: Database, tmp_path: Path) -> None:
    put(tmp_path, {table.name: {name: line["example"].strip("`") for name, line in told(table).items()} for table in REFERENCE_TABLES})
    report = load_reference(database, tmp_path)
    assert [change.after for change in report.changes.values()] == [1] * len(REFERENCE_TABLES)


def test_what_must_be_given_is_enough_to_load(database: Database, tmp_path: Path) -> None:
    rows = {}
    for table in REFERENCE_TABLES:
        rows[table.name] = {name: line["example"].strip("`") for name, line in told(table).items() if line["default"] == "must be given"}
    put(tmp_path, rows)
    assert [change.after for change in load_reference(database, tmp_path).changes.values()] == [1] * len(REFERENCE_TABLES)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda each: each.name)
def test_columns_without_effect_are_those_that_no_step_of_the_day_reads(table: ReferenceTable, column: ReferenceColumn) -> None:
    steps = [*(CHECKOUT / "sql").rglob("*.sql"), *(CHECKOUT / "procurement_platform" / "procurement").glob("*.py")]
    readers = [path for path in steps if path.stem != "service" and re.search(rf"\b{column.name}\b", path.read_text(encoding="utf-8"))]
    if column.unused:
        assert readers == []
    elif column.name not in FOR_PEOPLE:
        assert readers != []
