"""Whether what a day has belongs together: each step's outcome was made from what the day has now of the steps before it.

Steps may be materialised one by one, by another run each. Whoever takes in a late file and publishes without planning again would publish
orders that do not know that file, and nothing would ever say so. So every commit records what it was made from, and what does not follow
from what it stands on is not read any further. The same content is the same, whichever run made it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from procurement_platform.dayrun import DayRun
from procurement_platform.errors import ProcurementError
from procurement_platform.inbox.ledger import IN_USE
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.lake.runs import TableRun
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement.reference import pins
from procurement_platform.procurement.tables import (
    AGGREGATED_ORDERS,
    NET_DEMAND,
    ORDER_LINES,
    STOCK_LINES,
    SUPPLIER_ORDER_ALLOCATIONS,
    SUPPLIER_ORDERS,
    TABLES,
)


@dataclass(frozen=True)
class Sources:
    """What an outcome is made from: outcomes of other steps, reference tables, and, if `files`, the ledger's files in use.

    `step` is what a person materialises to make it.
    """

    step: str
    outcomes: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    files: bool = False


def violations_of(step: str) -> str:
    """The name in the run registry of what a step found."""
    return f"violations.{step}"


_INTAKE = Sources("intake (raw_orders, raw_stock, order_lines, stock_lines, quarantine)", (), ("markets", "products"), files=True)
_DEMAND = Sources(
    "net_demand",
    (AGGREGATED_ORDERS.name, STOCK_LINES.name, QUARANTINE.name),
    ("markets", "products", "planning_parameters"),
    files=True,
)
_ORDERS = Sources("supplier_orders", (NET_DEMAND.name,), ("suppliers", "supplier_products"))
SOURCES: Mapping[str, Sources] = {
    ORDER_LINES.name: _INTAKE,
    STOCK_LINES.name: _INTAKE,
    QUARANTINE.name: _INTAKE,
    violations_of("intake"): _INTAKE,
    AGGREGATED_ORDERS.name: Sources("aggregated_orders", (ORDER_LINES.name,), ("markets",)),
    NET_DEMAND.name: _DEMAND,
    violations_of("net_demand"): _DEMAND,
    SUPPLIER_ORDERS.name: _ORDERS,
    SUPPLIER_ORDER_ALLOCATIONS.name: _ORDERS,
    violations_of("supplier_orders"): _ORDERS,
    "exceptions": Sources("exceptions", tuple(violations_of(step) for step in ("intake", "net_demand", "supplier_orders"))),
}


@dataclass(frozen=True)
class DayState:
    """What a day has: the run of each outcome, the pinned reference versions, the ids of the files in use. Holds under the day's lock.

    `lost`: outcomes whose table has rows that no run is known to have made: it was killed before it recorded them.
    """

    run_date: dt.date
    outcomes: Mapping[str, TableRun]
    reference: Mapping[str, str]
    files: tuple[str, ...]
    lost: frozenset[str] = frozenset()

    @classmethod
    def of(cls, run: DayRun) -> Self:
        """The day's state as it is now."""
        files = run.platform.ledger.files(run.run_date, states=IN_USE)
        outcomes = run.platform.registry.committed(run.run_date, SOURCES)
        doubtful = run.platform.registry.doubtful(run.run_date, run.run_id) & outcomes.keys()
        lost = {t.name for t in TABLES if t.name in doubtful and not _has_rows_of(run.platform, t, outcomes[t.name])}
        return cls(
            run.run_date,
            {name: known for name, known in outcomes.items() if name not in lost},
            {pin.table: pin.version for pin in pins.pinned(run.platform, run.run_date).values()},
            tuple(sorted(file.file_id for file in files)),
            frozenset(lost),
        )

    def inputs(self, name: str) -> dict[str, object]:
        """What an outcome that is made now is made from: what its commit records."""
        sources = SOURCES[name]
        made = {each: self.outcomes[each] for each in sources.outcomes if each in self.outcomes}
        return {
            "tables": {each: known.run_id for each, known in made.items()},
            "contents": {each: known.content_hash for each, known in made.items()},
            "reference": {table: self.reference[table] for table in sources.reference if table in self.reference},
            **({"files": list(self.files)} if sources.files else {}),
        }

    def check(self, *names: str) -> Self:
        """Holds outcomes, and all that they stand on, to what the day has now; the first in the day's order is told.

        Raises:
            ProcurementError: names what does not belong to the day any more, why, and what to materialise first.
        """
        seen: set[str] = set()
        for name in names:
            self._follow(name, seen)
        return self

    def _follow(self, name: str, seen: set[str]) -> None:
        if name in seen:
            return
        seen.add(name)
        sources = SOURCES[name]
        for source in sources.outcomes:
            self._follow(source, seen)
        known = self.outcomes.get(name)
        remedy = f"materialise {sources.step} of that date first, then what follows it"
        if name in self.lost:
            raise ProcurementError(f"{name} of {self.run_date} has rows of a run that was killed before it recorded them: {remedy}")
        if known is None:
            raise ProcurementError(f"{_spoken(name)} of {self.run_date} was never made: {remedy}")
        expected = self.inputs(name)
        if changed := _differing(known.inputs.get("contents"), expected["contents"]):
            raise ProcurementError(f"{_spoken(name)} of {self.run_date} was made from {_spoken(changed)} as it was before: {remedy}")
        if changed := _differing(known.inputs.get("reference"), expected["reference"]):
            raise ProcurementError(
                f"{_spoken(name)} of {self.run_date} was made with another version of the reference's {changed}: {remedy}"
            )
        if sources.files and known.inputs.get("files") != expected["files"]:
            raise ProcurementError(f"{_spoken(name)} of {self.run_date} was made from other files than the ledger has in use: {remedy}")


def _has_rows_of(platform: Platform, table: Table, known: TableRun) -> bool:
    """Whether a table's rows of a date are those of the run that is recorded."""
    folders = platform.catalog.by_folder(table, known.run_date).keys()
    return folders <= set(known.folders) and bool(folders) == bool(known.rows)


def _spoken(name: str) -> str:
    step = name.removeprefix(violations_of(""))
    return name if step == name else f"what {step} found wrong"


def _differing(recorded: object, expected: object) -> str | None:
    """The first name whose value is not as recorded; names that were recorded and do not matter are left out."""
    before = recorded if isinstance(recorded, Mapping) else {}
    now = expected if isinstance(expected, Mapping) else {}
    return next((str(name) for name, value in now.items() if before.get(name) != value), None)
