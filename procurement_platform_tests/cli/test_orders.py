"""`procurement orders`: the same published rows in every format."""

import csv
import datetime as dt
import io
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.options import Format
from procurement_platform.cli.orders import below_minimum, by_supplier, totals
from procurement_platform.procurement import service
from procurement_platform.procurement.reference.currencies import minor_units
from procurement_platform.procurement.service import BelowMinimum
from procurement_platform.procurement.tables import SUPPLIER_ORDERS
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay

FORMATS = get_args(Format)
COLUMNS = [column.name for column in SUPPLIER_ORDERS.columns]


def test_json_has_the_tables_columns_and_exact_decimals(procurement: Procurement, ran_day: RanDay) -> None:
    done = procurement("orders", DAY, "--format", "json")
    assert done.err == ""
    assert done.json
    for row in done.json:
        assert list(row) == COLUMNS
        assert row["run_date"] == DAY
        quantity, pack, need, moq = (Decimal(row[name]) for name in ("quantity", "pack_size", "need", "moq"))
        assert quantity % pack == 0
        assert quantity >= max(need, moq) > quantity - pack - max(need, moq)
        assert len(row["quantity"].partition(".")[2]) == 3
        assert len(row["unit_price"].partition(".")[2]) == 4


def test_csv_has_the_same_rows_and_a_suppliers_are_its_file(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("orders", DAY, "--format", "json").json
    lines = list(csv.DictReader(io.StringIO(procurement("orders", DAY, "--format", "csv").out)))
    assert [list(line.values()) for line in lines] == [list(row.values()) for row in rows]
    supplier = rows[0]["supplier_id"]
    own = procurement("orders", DAY, "--supplier", supplier, "--format", "csv").out
    file = ran_day.home / "lake" / "output" / "supplier_orders" / DAY / f"{supplier}.csv"
    assert own.encode() == file.read_bytes()
    assert {line["supplier_id"] for line in csv.DictReader(io.StringIO(own))} == {supplier}


def test_the_table_ends_with_totals_per_currency(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("orders", DAY, "--format", "json").json
    out = procurement("orders", DAY).out
    table, _, sums = out.partition("Totals")
    assert table.startswith(f"Supplier orders of {DAY}")
    per_currency = Counter(row["currency"] for row in rows)
    shown = {words[0]: int(words[2]) for line in sums.splitlines()[2:] if (words := line.split())}
    assert shown == per_currency


@pytest.mark.parametrize("form", FORMATS)
def test_an_unknown_supplier_is_one_line_that_names_the_closest(procurement: Procurement, ran_day: RanDay, form: str) -> None:
    error = procurement("orders", DAY, "--supplier", "sup-0001", "--format", form).error
    assert error.startswith(f"sup-0001 is no supplier in the reference that {DAY} was run with; the closest are SUP-001, ")
    assert len(re.findall(r"SUP-\d{3}", error)) == 3


def test_a_known_supplier_without_orders_says_so(procurement: Procurement, ran_day: RanDay, tmp_path: Path) -> None:
    assert procurement("reference", "export", tmp_path).code == 0
    known = {row["supplier_id"] for row in csv.DictReader((tmp_path / "suppliers.csv").read_text("utf-8").splitlines())}
    idle = min(known - {row["supplier_id"] for row in procurement("orders", DAY, "--format", "json").json})
    for form, out in (("json", "[]\n"), ("csv", ",".join(COLUMNS) + "\n"), ("table", f"Supplier orders of {DAY} from {idle}: 0\n(none)\n")):
        done = procurement("orders", DAY, "--supplier", idle, "--format", form)
        assert (done.code, done.out, done.err) == (0, out, f"{idle} has no orders on {DAY}\n")


def test_the_table_shows_money_in_its_minor_unit_and_csv_exactly(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("orders", DAY, "--format", "json").json
    out = procurement("orders", DAY).out
    sums = {words[0]: words[4] for line in out.partition("Totals")[2].splitlines()[2:] if (words := line.split())}
    for currency, shown in sums.items():
        exact = sum(Decimal(row["amount"]) for row in rows if row["currency"] == currency)
        assert abs(Decimal(shown.replace(",", "")) - exact) <= Decimal("0.5").scaleb(-minor_units(currency))
        assert len(shown.partition(".")[2]) == minor_units(currency)
    assert "." not in sums["JPY"]
    assert any(Decimal(row["amount"]) * 100 % 1 for row in rows)  # there is something to round
    assert all(len(row["amount"].partition(".")[2]) == 4 for row in rows)


def test_orders_below_a_suppliers_minimum_are_named(procurement: Procurement, ran_day: RanDay, tmp_path: Path) -> None:
    """Nothing is applied, and nothing is silent: sums per supplier against the reference the day was run with."""
    assert procurement("reference", "export", tmp_path).code == 0
    least = {
        row["supplier_id"]: Decimal(row["min_order_value"])
        for row in csv.DictReader((tmp_path / "suppliers.csv").read_text("utf-8").splitlines())
    }
    sums: Counter[str] = Counter()
    for row in procurement("orders", DAY, "--format", "json").json:
        sums[row["supplier_id"]] += Decimal(row["amount"])  # type: ignore[assignment]
    below = {supplier for supplier, total in sums.items() if total < least[supplier]}
    for supplier in sums:
        err = procurement("orders", DAY, "--supplier", supplier).err
        assert ("below the supplier's min_order_value" in err) == (supplier in below)
        assert err == "" or supplier in err
    assert procurement("orders", DAY, "--format", "csv").err == ""


def test_what_is_said_of_suppliers_below_their_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [BelowMinimum(f"S-{n}", Decimal("12.3450"), Decimal(50), "EUR") for n in range(7)]
    monkeypatch.setattr(service, "below_minimum", lambda *_: found)
    (line,) = below_minimum(None, dt.date(2025, 12, 20), [])  # type: ignore[arg-type]  # the platform is not looked at
    assert line.startswith("below the supplier's min_order_value, which this version does not apply: S-0 (12.35 of 50.00 EUR), S-1 ")
    assert line.endswith("S-4 (12.35 of 50.00 EUR) and 2 more")


def test_a_day_that_was_never_run_is_one_line(procurement: Procurement, home: Settings) -> None:
    for form in ("table", "csv", "json"):
        assert (
            procurement("orders", DAY, "--format", form).error
            == f"{DAY} is not published: it was never run. Run it: procurement run {DAY} (the home is {home.home})"
        )


LINES = st.lists(
    st.fixed_dictionaries(
        {
            "currency": st.sampled_from(["EUR", "JPY", "USD"]),
            "supplier_id": st.sampled_from(["A", "B", "C"]),
            "quantity": st.decimals(0, 10**9, places=3),
            "amount": st.decimals(0, 10**13, places=4),
        }
    )
)


@given(LINES)
def test_totals_are_exact_and_never_mix_currencies(lines: list[dict[str, object]]) -> None:
    sums = totals(lines)
    assert [total["currency"] for total in sums] == sorted({line["currency"] for line in lines})  # type: ignore[type-var]
    for total in sums:
        own = [line for line in lines if line["currency"] == total["currency"]]
        assert total["orders"] == len(own)
        assert total["suppliers"] == len({line["supplier_id"] for line in own})
        assert total["amount"] == sum(line["amount"] for line in own)  # type: ignore[misc]
        assert total["units"] == sum(line["quantity"] for line in own)  # type: ignore[misc]


def test_sums_of_suppliers_made_on_the_way_come_to_the_same_totals() -> None:
    lines = [
        {"supplier_id": supplier, "currency": currency, "quantity": Decimal(n), "amount": Decimal(n) / 8}
        for n, (supplier, currency) in enumerate([("S-1", "EUR"), ("S-2", "EUR"), ("S-1", "CHF"), ("S-1", "EUR")])
    ]
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    assert list(by_supplier(lines, sums)) == lines
    assert len(sums) == 3
    assert totals(sums.values()) == totals(lines)
