"""What violations come to, by the asset that found them and their rule: counted as they pass, so that none of them has to be held."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

EXAMPLES = 3  # messages that a failed check shows
SUBJECT = ("market", "sku", "file", "rows", "units")  # what a violation is about: the same subject is not told twice
COLUMNS = ("dataset", "rule", *SUBJECT, "message")


@dataclass
class Tally:
    """Violations of a rule: lines of the report, rows concerned, units concerned, the first messages, what they are about in 16 digits."""

    lines: int = 0
    rows: int = 0
    units: Decimal = Decimal(0)
    examples: list[str] = field(default_factory=list)
    _subjects: Any = field(default_factory=hashlib.sha256)

    @property
    def fingerprint(self) -> str:
        return str(self._subjects.hexdigest()[:16])

    def add(self, violations: pa.Table) -> None:
        """Counts more of the rule's violations."""
        about = pa.BufferOutputStream()
        csv.write_csv(violations.select(SUBJECT), about, csv.WriteOptions(include_header=not self.lines))
        self._subjects.update(about.getvalue())
        self.examples += map(str, violations["message"][: EXAMPLES - len(self.examples)].to_pylist())
        self.lines += violations.num_rows
        self.rows += pc.sum(violations["rows"]).as_py() or 0
        self.units += pc.sum(violations["units"]).as_py() or 0


def tally(batches: Iterable[pa.RecordBatch]) -> dict[tuple[str, str], Tally]:
    """Violations, in the order of market, SKU and file for each rule, with `COLUMNS`, by (dataset, rule)."""
    found: dict[tuple[str, str], Tally] = {}
    for batch in batches:
        table = pa.Table.from_batches([batch])
        for pair in table.group_by(["dataset", "rule"], use_threads=False).aggregate([]).to_pylist():
            of_pair = pc.and_(pc.equal(table["dataset"], pair["dataset"]), pc.equal(table["rule"], pair["rule"]))
            found.setdefault((pair["dataset"], pair["rule"]), Tally()).add(table.filter(of_pair))
    return found
