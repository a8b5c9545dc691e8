"""`procurement exceptions`: a day's report, and every crash there ever was."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from heapq import heappush, heappushpop, nsmallest
from typing import Annotated

import typer

from procurement_platform.cli.options import FormatOption, OptionalDate

CRASH_COLUMNS = ("domain", "run_date", "run_id", "step", "message", "occurred_at")
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM")
TABLE_COLUMNS = ("severity", "rule", "market", "sku", "file", "first_row", "rows", "units", "dataset", "message")
EACH = 20  # lines of a rule that are shown before more of another's: its largest
SPARE = ("first_row", "file", "rows", "dataset")  # the message names the file and the row


def exceptions(
    date: OptionalDate = None,
    history: Annotated[bool, typer.Option("--history", help="Every crash there ever was (with DATE: that day's), mended or not.")] = False,
    form: FormatOption = "table",
) -> None:
    """Show the exceptions of a day: what went wrong, where, and what to do.

    Reads the day's report and the record of crashes. Writes nothing, save that a killed run is recorded as one. The table has the gravest
    first, and of a long report the lines of most units of every rule; csv and json have all lines, in the order of the published report.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.behind import say_if_behind
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import show
    from procurement_platform.cli.refreshed import say_if_refreshed
    from procurement_platform.procurement import service
    from procurement_platform.quality.violations import VIOLATIONS
    from procurement_platform.settings import settings

    with session.platform(reading=True) as platform:
        if history:
            crashes = [asdict(crash) for crash in service.crashes(platform, date)]
            show(crashes, CRASH_COLUMNS, form, title="Crashes", view=View(("message",), ("domain", "run_id")))
        else:
            run_date = date or settings().default_run_date()
            found = service.exceptions(platform, run_date)
            columns = list(TABLE_COLUMNS) if form == "table" else [column.name for column in VIOLATIONS.columns]
            view = View(("message",), SPARE)
            show(found, columns, form, title=f"Exceptions of {run_date}", view=view, choice=of_every_rule)
            if form == "table":
                say_if_refreshed(platform, run_date)
            say_if_behind(platform, run_date, crash=False)  # the report has its line of it


def gravity(line: Mapping[str, object]) -> tuple[int, *tuple[str, ...]]:
    """Where a line stands for a reader: the gravest first, then by rule, market, file and SKU."""
    return (SEVERITIES.index(str(line["severity"])), *(str(line[name] or "") for name in ("rule", "market", "file", "sku")))


def size(line: Mapping[str, object]) -> tuple[Decimal, int]:
    """How much a line is about: units, then rows."""
    units, rows = line["units"], line["rows"]
    return units if isinstance(units, Decimal) else Decimal(0), rows if isinstance(rows, int) else 0


def of_every_rule(lines: Iterable[Mapping[str, object]], most: int) -> list[Mapping[str, object]]:
    """Which of many lines a table has, by gravity: the largest of every rule, and then the gravest of all others.

    So the many that follow from one missing file do not hide it. Of lines as large as each other, those that come first.
    """
    largest = defaultdict[object, list[tuple[tuple[Decimal, int], int, Mapping[str, object]]]](list)

    def others() -> Iterator[Mapping[str, object]]:
        for place, line in enumerate(lines):
            of_rule, found = largest[line["rule"]], (size(line), -place, line)
            if len(of_rule) < EACH:
                heappush(of_rule, found)
            else:
                yield heappushpop(of_rule, found)[2]

    more = nsmallest(most, others(), key=gravity)
    first = sorted((line for of_rule in largest.values() for _, _, line in of_rule), key=gravity)
    return sorted([*first, *more][:most], key=gravity)


def counts(found: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """One line per rule, the gravest first: how many lines, rows and units (None where it counts none), and the largest line's message."""
    by_rule: dict[tuple[int, str], _Counted] = {}
    for line in found:
        key = (SEVERITIES.index(str(line["severity"])), str(line["rule"]))
        by_rule.setdefault(key, _Counted(line)).add(line)
    return [{"severity": SEVERITIES[place], "rule": rule, **own.told()} for (place, rule), own in sorted(by_rule.items())]


@dataclass
class _Counted:
    largest: Mapping[str, object]
    lines: int = 0
    rows: int = 0
    units: Decimal | None = None

    def add(self, line: Mapping[str, object]) -> None:
        self.lines += 1
        if isinstance(rows := line["rows"], int):
            self.rows += rows
        if isinstance(units := line["units"], Decimal):
            self.units = (self.units or Decimal(0)) + units
        if size(line) > size(self.largest):
            self.largest = line

    def told(self) -> dict[str, object]:
        return {"lines": self.lines, "rows": self.rows, "units": self.units, "example": self.largest["message"]}
