"""`procurement put`."""

from pathlib import Path

import pytest

from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stock.csv"
    path.write_bytes(b"market,sku,available,reserved\nDE,A,1,0\n")
    return path


def test_a_file_is_put_in_and_the_next_step_named(procurement: Procurement, home: Settings, file: Path) -> None:
    done = procurement("put", file, "--market", "DE", "--feed", "stock", "--date", "2025-12-20")
    assert (done.code, done.out) == (0, "")
    assert done.err == "inbox/stock/2025-12-20/DE.csv: put in. It counts from the next run on: procurement run 2025-12-20\n"
    assert (home.home / "lake" / "inbox" / "stock" / "2025-12-20" / "DE.csv").read_bytes() == file.read_bytes()
    assert [line["state"] for line in procurement("files", "2025-12-20", "--format", "json").json if line["file"] == "DE.csv"] == [
        "waiting"
    ]


def test_a_name_that_is_none_is_one_line(procurement: Procurement, home: Settings, file: Path) -> None:
    assert "capital letters" in procurement("put", file, "--market", "de", "--feed", "stock", "--date", "2025-12-20").error
    assert not (home.home / "lake" / "inbox").exists()


@pytest.mark.parametrize("wrong", [{"--feed": "returns"}, {"--date": "tomorrow"}, {"FILE": "/nowhere.csv"}])
def test_wrong_usage(procurement: Procurement, file: Path, wrong: dict[str, str]) -> None:
    given = {"FILE": str(file), "--market": "DE", "--feed": "stock", "--date": "2025-12-20"} | wrong
    done = procurement("put", given.pop("FILE"), *[part for option in given.items() for part in option])
    assert done.code == 2
