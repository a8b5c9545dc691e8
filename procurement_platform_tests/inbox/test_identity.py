import datetime as dt
import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.inbox.identity import (
    FORMATS,
    FileIdentity,
    Unfit,
    file_id,
    is_ignored,
    ledger_name,
    parse,
    parse_date,
    parse_name,
    printable,
    safe_name,
    with_suffix_apart,
)

FEEDS = ("orders", "stock")
DAY = dt.date(2025, 12, 20)


def reason(path: str) -> str:
    found = parse(path, FEEDS)
    assert isinstance(found, Unfit), found
    assert "\n" not in found.reason
    return found.reason


@pytest.mark.parametrize(
    ("file_name", "market", "name", "form"),
    [
        ("DE.avro", "DE", "DE", "avro"),
        ("DE__late.csv.gz", "DE", "DE__late", "csv.gz"),
        ("DE_1__a__b.jsonl", "DE_1", "DE_1__a__b", "jsonl"),
        ("DE___x.csv", "DE", "DE___x", "csv"),
        ("DE__2025.12.20 (1).CSV", "DE", "DE__2025.12.20 (1)", "csv"),
        ("AT-WEST.Parquet", "AT-WEST", "AT-WEST", "parquet"),
        ("1__.avro", "1", "1__", "avro"),
    ],
)
def test_reads_market_name_and_format(file_name: str, market: str, name: str, form: str) -> None:
    found = parse(f"orders/2025-12-20/{file_name}", FEEDS)
    assert found == FileIdentity("orders", DAY, market, name, file_name, form)  # type: ignore[arg-type]


def test_extensions_are_no_part_of_the_identity() -> None:
    first, second = (parse(f"stock/2025-12-20/{name}", FEEDS) for name in ("DE.csv.gz", "DE.avro"))
    assert isinstance(first, FileIdentity)
    assert isinstance(second, FileIdentity)
    assert first.key == second.key == ("stock", DAY, "DE")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../orders/2025-12-20/DE.csv", "not feed/date/file"),
        ("orders/2025-12-20/../DE.csv", "not feed/date/file"),
        ("orders/../DE.csv", "no run date"),
        ("../2025-12-20/DE.csv", "no feed"),
        ("orders/2025-12-20/sub/DE.csv", "not feed/date/file"),
        ("/orders/2025-12-20/DE.csv", "inside the inbox"),
        ("orders\\2025-12-20\\DE.csv", "inside the inbox"),
        ("orders/2025-12-20/..", "no file name"),
        ("orders/2025-12-20/", "no file name"),
        ("returns/2025-12-20/DE.csv", "one of orders, stock"),
        ("orders/2025-12-32/DE.csv", "YYYY-MM-DD"),
        ("orders/20251220/DE.csv", "YYYY-MM-DD"),
        ("orders/2025-12-20/DE.xlsx", "known format"),
        ("orders/2025-12-20/DE.tar.gz", "known format"),
        ("orders/2025-12-20/DE", "known format"),
        ("orders/2025-12-20/de.csv", "capital letters"),
        ("orders/2025-12-20/DÉ.csv", "capital letters"),
        ("orders/2025-12-20/D:E.csv", "capital letters"),
        ("orders/2025-12-20/DE.2.csv", "capital letters"),
        ("orders/2025-12-20/__x.csv", "capital letters"),
        ("orders/2025-12-20/DE__a:b.csv", "refuse"),
        ("orders/2025-12-20/DE__a\nb.csv", "refuse"),
        ("orders/2025-12-20/DE__*.csv", "refuse"),
        ("orders/2025-12-20/DE__%2e.csv", "refuse"),
        ("orders/2025-12-20/DE__ü.csv", "refuse"),
        (f"orders/2025-12-20/DE__{'x' * 400}.csv", "shorten it"),
        ("orders/2025-12-20/DE\udcff.csv", "not UTF-8"),
    ],
)
def test_says_what_is_wrong_with_a_path(path: str, told: str) -> None:
    assert told in reason(path)


@pytest.mark.parametrize(
    ("file_name", "meant"),
    [
        ("NL_2.csv", "NL__2.csv"),
        ("NL-late.csv.gz", "NL__late.csv.gz"),
        ("NL_B_x.csv", "NL_B__x.csv"),  # the longest market that begins it
        ("NL___2.csv", "NL__2.csv"),
        ("NLX.csv", None),
        ("XX_2.csv", None),
    ],
)
def test_a_name_that_lacks_an_underscore_is_guessed_at(file_name: str, meant: str | None) -> None:
    assert with_suffix_apart(file_name, {"NL": "Europe/Amsterdam", "NL_B": "Europe/Amsterdam"}) == meant


def test_a_date_in_foreign_digits_is_no_date() -> None:
    assert parse_date("٢٠٢٥-12-20") is None
    assert parse_date("2025-02-29") is None
    assert parse_date("2024-02-29") == dt.date(2024, 2, 29)


@pytest.mark.parametrize("name", [".DE.csv", "_SUCCESS", "DE.csv.tmp", "DE.csv.PART", "."])
def test_ignores_hidden_and_unfinished(name: str) -> None:
    assert is_ignored(name)


def test_takes_finished_names() -> None:
    assert not any(is_ignored(name) for name in ("DE.csv", "DE__x.tmp.csv", "notes.txt"))


def test_the_id_follows_identity_and_content() -> None:
    ids = {
        file_id("orders", DAY, "DE.csv", "ab"),
        file_id("stock", DAY, "DE.csv", "ab"),
        file_id("orders", DAY + dt.timedelta(1), "DE.csv", "ab"),
        file_id("orders", DAY, "DE__2.csv", "ab"),
        file_id("orders", DAY, "DE.jsonl", "ab"),
        file_id("orders", DAY, "DE.csv", "cd"),
    }
    assert len(ids) == 6
    # echo -en "orders/2025-12-20/DE.csv\nab" | sha256sum
    assert file_id("orders", DAY, "DE.csv", "ab") == "77dc082067076f6c"


@given(st.text(max_size=200))
def test_whatever_is_accepted_is_safe_everywhere(file_name: str) -> None:
    found = parse_name("orders", DAY, file_name)
    if isinstance(found, FileIdentity):
        assert set(found.file_name) <= set(string.ascii_letters + string.digits + " ._()+,-")
        assert not found.name.startswith((".", "_", "-"))
        assert set(safe_name(found.file_name)) <= set(string.ascii_letters + string.digits + "._-")
    else:
        assert found.reason.isprintable() or "\n" not in found.reason


@given(
    st.from_regex(r"\A[A-Z0-9]{1,4}(_[A-Z]{1,3})?\Z"),
    st.none() | st.text(string.ascii_letters + string.digits + "_.- ", max_size=20),
    st.sampled_from(FORMATS),
)
def test_every_well_formed_name_is_read_back(market: str, suffix: str | None, form: str) -> None:
    name = market if suffix is None else f"{market}__{suffix}"
    found = parse_name("stock", DAY, f"{name}.{form}")
    assert isinstance(found, FileIdentity)
    # A suffix may end in what looks like a longer extension (DE__.csv + .gz); the longest known one counts.
    assert f"{found.name}.{found.format}" == f"{name}.{form}"
    assert found.market == market


def test_names_are_shown_in_one_line() -> None:
    assert printable("a\nb") == "'a\\nb'"
    assert printable("a\udcff") == "'a\\xff'"
    assert len(printable("x" * 1000)) < 100


@given(st.lists(st.text(st.sampled_from("aüé\\'\"\n\x85\u200b"), min_size=1, max_size=90), min_size=2, max_size=2, unique=True))
def test_no_two_names_look_alike(names: list[str]) -> None:
    one, other = map(ledger_name, names)
    assert one != other
    assert one.isprintable()
    assert len(one) <= 90


def test_a_plain_name_stays_as_it_is_and_a_long_one_ends_in_a_hash() -> None:
    assert ledger_name("x" * 255) == "x" * 255
    assert ledger_name("a\\xff") == "a\\\\xff"
    assert ledger_name("a\udcff") == "a\\xff"
    assert ledger_name("ü" * 90) == "ü" * 80 + "…" + hashlib.sha256(("ü" * 90).encode()).hexdigest()[:8]


@given(st.text(max_size=255))
def test_what_is_derived_from_a_name_finds_room(file_name: str) -> None:
    assert len(safe_name(file_name)) <= 160
    if len(file_name) <= 160:
        assert len(safe_name(file_name)) == len(file_name)
