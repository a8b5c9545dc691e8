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


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"--market": "de"}, "'de' is no market, the codes are in capital letters: did you mean --market DE?"),
        ({"--market": "DEU"}, "'DEU' is no market (did you mean --market DE?). The markets are "),
        ({"--date": "2024-12-31"}, "2024-12-31 is before the first run date 2025-01-01, and no run would take the file"),
        ({"--date": "2999-01-01"}, "2999-01-01 is in the future: the last run date that DE can send for is "),
        ({"--suffix": "a/b"}, "'DE__a/b.csv' is no file name"),
    ],
)
def test_what_no_run_could_take_is_refused_in_one_line(
    procurement: Procurement, home: Settings, file: Path, wrong: dict[str, str], told: str
) -> None:
    given = {"--market": "DE", "--feed": "stock", "--date": "2025-12-20"} | wrong
    assert told in procurement("put", file, *[part for option in given.items() for part in option]).error
    assert not (home.home / "lake" / "inbox").exists()


def test_what_is_replaced_is_a_line_of_its_own(procurement: Procurement, home: Settings, file: Path) -> None:
    given = ("--market", "DE", "--feed", "stock", "--date", "2025-12-20")
    procurement("put", file, *given)
    assert "nothing changes, these bytes wait there already" in procurement("put", file, *given).err
    file.write_bytes(b"market,sku,available,reserved\n")
    first, second = procurement("put", file, *given).err.splitlines()
    assert first.startswith("inbox/stock/2025-12-20/DE.csv: put in.")
    assert second.startswith("It replaces DE.csv, which no run had taken yet: SHA-256 ")


@pytest.mark.parametrize("wrong", [{"--feed": "returns"}, {"--date": "tomorrow"}, {"FILE": "/nowhere.csv"}])
def test_wrong_usage(procurement: Procurement, file: Path, wrong: dict[str, str]) -> None:
    given = {"FILE": str(file), "--market": "DE", "--feed": "stock", "--date": "2025-12-20"} | wrong
    done = procurement("put", given.pop("FILE"), *[part for option in given.items() for part in option])
    assert done.code == 2
