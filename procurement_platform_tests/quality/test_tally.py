import hashlib
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from procurement_platform.quality.tally import SUBJECT, tally
from procurement_platform.quality.violations import VIOLATIONS

RULES = ("INVALID_ROW", "UNKNOWN_PRODUCT")
KINDS = VIOLATIONS.arrow
violations = st.lists(
    st.fixed_dictionaries(
        {
            "dataset": st.sampled_from(["order_lines", "stock_lines"]),
            "rule": st.sampled_from(RULES),
            "market": st.sampled_from(["DE", "FR"]),
            "sku": st.sampled_from(["A", "b", "商", None]),
            "file": st.sampled_from(["DE.csv", 'a "quoted" name', None]),
            "rows": st.integers(1, 9),
            "units": st.one_of(st.none(), st.decimals(-10, 10, places=3)),
            "message": st.text(max_size=5),
        }
    ),
    max_size=20,
    unique_by=lambda row: tuple(row[name] for name in ("dataset", "rule", "market", "sku", "file")),
)


def in_order(row: dict[str, Any]) -> tuple[object, ...]:
    """As the SQL has them: by rule, market, SKU and file, those without last."""
    return (row["rule"], *((row[name] is None, (row[name] or "").encode()) for name in ("market", "sku", "file")))


@given(violations, st.integers(1, 7))
def test_violations_are_counted_however_they_come(rows: list[dict[str, Any]], at_once: int) -> None:
    rows = sorted(rows, key=in_order)
    table = pa.Table.from_pylist(rows, schema=KINDS)
    found = tally(table.to_batches(max_chunksize=at_once))
    assert set(found) == {(row["dataset"], row["rule"]) for row in rows}
    for (dataset, rule), each in found.items():
        own = [row for row in rows if (row["dataset"], row["rule"]) == (dataset, rule)]
        assert (each.lines, each.rows) == (len(own), sum(row["rows"] for row in own))
        assert each.units == sum((row["units"] or Decimal(0) for row in own), Decimal(0))
        assert each.examples == [row["message"] for row in own[:3]]
        text = pa.BufferOutputStream()
        every = pa.Table.from_pylist(own, schema=KINDS).select(SUBJECT)
        csv.write_csv(every.sort_by([(name, "ascending") for name in SUBJECT]), text)
        assert each.fingerprint == hashlib.sha256(text.getvalue()).hexdigest()[:16]


def test_of_no_violations_there_is_nothing_to_tell() -> None:
    assert tally([]) == {}
