"""`procurement files`: what was sent, what is expected, and taking a file back."""

import csv
import io
from collections import Counter
from pathlib import Path

import pytest

from procurement_platform.cli.files import COLUMNS
from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.sample import ensure_sample
from procurement_platform.procurement.service import FileLine
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement


def test_the_columns_are_the_services() -> None:
    assert tuple(FileLine.__dataclass_fields__) == COLUMNS


def test_missing_and_waiting_files_are_shown(procurement: Procurement, home: Settings, database: Database, tmp_path: Path) -> None:
    ensure_sample(database)
    file = tmp_path / "DE.csv"
    file.write_text("market,sku,available,reserved\n")
    procurement("put", file, "--market", "DE", "--feed", "stock", "--date", "2025-12-20")
    lines = procurement("files", "2025-12-20", "--format", "json").json
    assert Counter((line["feed"], line["state"]) for line in lines) == {
        ("orders", "missing"): 8,
        ("stock", "missing"): 7,
        ("stock", "waiting"): 1,
    }
    assert all(tuple(line) == COLUMNS for line in lines)


@pytest.mark.parametrize("arguments", [["2025-12-20"], ["list", "2025-12-20"], ["--format", "csv", "2025-12-20"]])
def test_list_may_be_left_out(procurement: Procurement, home: Settings, arguments: list[str]) -> None:
    done = procurement("files", *arguments)
    assert done.code == 0
    assert done.out


def test_the_default_day_is_run_date(procurement: Procurement, home: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_sample(database)
    monkeypatch.setenv("RUN_DATE", "2025-06-01")
    rows = list(csv.DictReader(io.StringIO(procurement("files", "--format", "csv").out)))
    assert {row["run_date"] for row in rows} == {"2025-06-01"}


def test_withdrawing_needs_a_file_and_a_reason(procurement: Procurement, home: Settings) -> None:
    assert "is no file in use" in procurement("files", "withdraw", "DE.csv", "--why", "sent by mistake").error
    assert "say why" in procurement("files", "withdraw", "DE.csv", "--why", " ").error
    assert procurement("files", "withdraw", "DE.csv").code == 2
    assert procurement("files", "withdraw", "DE.csv", "--why", "x", "--date", "soon").code == 2
