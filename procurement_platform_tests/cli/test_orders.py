"""`procurement orders`: the same published rows in every format."""

import csv
import io
from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.orders import totals
from procurement_platform.procurement.tables import SUPPLIER_ORDERS
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay

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


def test_an_unknown_supplier_has_no_orders(procurement: Procurement, ran_day: RanDay) -> None:
    assert procurement("orders", DAY, "--supplier", "nobody", "--format", "json").json == []


def test_a_day_that_was_never_run_is_one_line(procurement: Procurement, home: Settings) -> None:
    for form in ("table", "csv", "json"):
        assert (
            procurement("orders", DAY, "--format", form).error == f"{DAY} is not published: it was never run. Run it: procurement run {DAY}"
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
