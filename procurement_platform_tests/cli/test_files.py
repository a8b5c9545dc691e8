"""`procurement files`: what was sent, what is expected, and taking a file back."""

import csv
import datetime as dt
import io
from collections import Counter
from pathlib import Path

import pytest

from procurement_platform.cli.files import COLUMNS
from procurement_platform.database.connect import Database
from procurement_platform.inbox.ledger import Ledger, LedgerFile
from procurement_platform.procurement.market_files import FileLine
from procurement_platform.procurement.reference.sample import ensure_sample
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


def test_the_table_shows_ids_by_which_a_file_can_be_withdrawn(
    procurement: Procurement, home: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_sample(database)
    monkeypatch.setenv("PROCUREMENT_USER", "Ann Example")
    Ledger(database).record([ledger_file("orders", "1"), ledger_file("stock", "2")])
    (line,) = [line for line in procurement("files", "2025-12-20").out.splitlines() if "DE.csv" in line and "orders" in line]
    assert " 1111111122222222" not in line
    assert " 11111111" in line
    by_name = procurement("files", "withdraw", "DE.csv", "--why", "x").error
    assert by_name == (
        "DE.csv is 2 files (orders 2025-12-20 11111111, stock 2025-12-20 21111111): say which by --feed and --date, or name it by its id"
    )
    done = procurement("files", "withdraw", "11111111", "--why", "by mistake")
    assert done.err == "withdrawn: DE.csv (orders, 2025-12-20). Run the day again to do without it.\n"
    (told,) = [line for line in procurement("files", "2025-12-20", "--format", "json").json if line["state"] == "withdrawn"]
    assert (told["file_id"], told["note"]) == ("1111111122222222", "withdrawn by Ann Example: by mistake")


def ledger_file(feed: str, first: str) -> LedgerFile:
    return LedgerFile(
        file_id=f"{first}111111122222222",
        feed=feed,
        run_date=dt.date(2025, 12, 20),
        name="DE",
        file_name="DE.csv",
        market="DE",
        format="csv",
        sha256="0" * 64,
        size_bytes=1,
        sent_at=dt.datetime(2025, 12, 20, tzinfo=dt.UTC),
        state="accepted",
        reason=None,
        rows=1,
        accepted=1,
        quarantined=0,
        duplicates=0,
        notes=None,
        raw_path="raw",
        run_id="run",
    )


def test_withdrawing_needs_a_file_and_a_reason(procurement: Procurement, home: Settings) -> None:
    assert "is no file in use" in procurement("files", "withdraw", "DE.csv", "--why", "sent by mistake").error
    assert "say why" in procurement("files", "withdraw", "DE.csv", "--why", " ").error
    assert procurement("files", "withdraw", "DE.csv").code == 2
    assert procurement("files", "withdraw", "DE.csv", "--why", "x", "--date", "soon").code == 2
