"""What goes wrong on a usual day: a file that does not come, lines sent twice or changed, products nobody knows, impossible numbers.

Each fault is put into rows of its own, so that one row breaks one rule, and is told of exactly: file, rule, rows.
"""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import polars as pl
import pyarrow as pa

from procurement_platform.procurement.simulator.files import Spoiled
from procurement_platform.procurement.simulator.styles import Style
from procurement_platform.procurement.simulator.world import Market, World


@dataclass(frozen=True, order=True)
class Fault:
    """`rows` of a file (its path relative to the inbox) that break `rule`; the rule is empty where a file is odd but right.

    A missing file has its path without an extension, and no rows.
    """

    file: str
    rule: str
    rows: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what} ({self.rule or 'accepted'}{f', {self.rows} rows' if self.rows > 1 else ''})"


@dataclass
class Mischief:
    """What is done to one market's file of one feed. `rows` of each kind."""

    missing: bool = False
    kinds: dict[str, int] = field(default_factory=dict)

    def take(self, kind: str) -> int:
        return self.kinds.get(kind, 0)


_ORDERS = ("duplicate", "conflict", "unknown", "negative", "text", "other_market", "extra")
_STOCK = ("unknown", "reserved", "negative")
_TEXTS = ("twelve", "n/a", "1,5 kg", "#REF!")
TEXT_FORMATS = ("csv", "csv.gz", "jsonl")


def plan(markets: Sequence[tuple[Market, Style]], day: dt.date, seed: int) -> dict[tuple[str, str], Mischief]:
    """What happens to whose file, by feed and market. Two kinds of faults are left out each day; one file of the day is missing."""
    random = Random(f"{seed} {day.toordinal()} faults")  # noqa: S311 -- for variety, not for secrets
    done: dict[tuple[str, str], Mischief] = defaultdict(Mischief)
    candidates = {
        "orders": [(market, style) for market, style in markets if market.sends_orders],
        "stock": [(market, style) for market, style in markets if market.sends_stock],
    }
    absent = "orders" if random.random() < 0.4 else "stock"  # noqa: PLR2004
    if len(candidates[absent]) > 1:
        market, _ = candidates[absent].pop(int(random.random() * len(candidates[absent])))
        done[absent, market.code].missing = True
    pairs = [("orders", kind) for kind in _ORDERS] + [("stock", kind) for kind in _STOCK]
    for _ in range(2):
        pairs.pop(int(random.random() * len(pairs)))
    for feed, kind in pairs:
        able = [market for market, style in candidates[feed] if kind != "text" or style.format in TEXT_FORMATS]
        if able:
            chosen = able[int(random.random() * len(able))]
            done[feed, chosen.code].kinds[kind] = 1 + int(random.random() * 4)
    return done


class Spoiler:
    """Puts one file's faults into its first table, as it passes. `faults` and `late` are complete when the table has passed."""

    def __init__(self, mischief: Mischief, world: World, market: Market, path: str, late_path: str) -> None:
        self._mischief, self._world, self._market = mischief, world, market
        self._path, self._late_path = path, late_path
        self._texts = _TEXTS[: mischief.take("text")]
        self.faults: list[Fault] = []
        self.late: pa.Table | None = None

    @property
    def extra(self) -> dict[str, str]:
        return {"sales_channel": "web"} if self._mischief.take("extra") else {}

    @property
    def spoiled(self) -> Spoiled | None:
        return Spoiled("quantity", self._texts) if self._texts else None

    def through(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        first = next(tables)
        yield self._first(first)
        yield from tables

    def _first(self, table: pa.Table) -> pa.Table:
        frame = pl.DataFrame(table)
        # The first rows stay as they are: spoiled copies of them follow at the file's end.
        rest = _Rows(len(self._texts), frame.height)
        if self._texts:
            self._tell("INVALID_ROW", min(len(self._texts), frame.height), "a quantity that is no number")
        if self.extra:
            self._tell("", 0, f"a column of no contract: {', '.join(self.extra)}")
        if picked := rest.take(self._mischief.take("unknown")):
            names = [*self._world.inactive, *(f"XXX-{number:05d}" for number in range(1, 10))]
            frame = _changed(frame, "sku", picked, [names[place % len(names)] for place in range(len(picked))])
            self._tell("UNKNOWN_PRODUCT", len(picked), "products that are in no reference table, or not active")
        if picked := rest.take(self._mischief.take("negative")):
            measure = "quantity" if "quantity" in frame.columns else "available"
            frame = frame.with_columns(pl.when(_at(picked)).then(-pl.col(measure) - 1).otherwise(pl.col(measure)).alias(measure))
            self._tell("INVALID_ROW", len(picked), f"a negative {measure}")
        if picked := rest.take(self._mischief.take("other_market")):
            other = next((each.code for each in self._world.markets if each.code != self._market.code), "XX")
            frame = _changed(frame, "market", picked, [other] * len(picked))
            self._tell("INVALID_ROW", len(picked), f"rows that name the market {other}")
        if picked := rest.take(self._mischief.take("reserved")):
            frame = frame.with_columns(pl.when(_at(picked)).then(pl.col("available") + 5).otherwise(pl.col("reserved")).alias("reserved"))
            self._tell("STOCK_LOGIC", len(picked), "more reserved than available")
        self._send_again(frame, rest, table.schema)
        return _arrow(frame, table.schema)

    def _send_again(self, frame: pl.DataFrame, rest: "_Rows", schema: pa.Schema) -> None:
        """A second file with lines of the first: some as they were, some changed."""
        twice, changed = rest.take(self._mischief.take("duplicate")), rest.take(self._mischief.take("conflict"))
        if not twice and not changed:
            return
        more = pl.when(_at(changed)).then(pl.col("quantity") + 1).otherwise(pl.col("quantity"))
        self.late = _arrow(frame.with_columns(more.alias("quantity"))[[*twice, *changed]], schema)
        if twice:
            self._tell("DUPLICATE_ORDER", len(twice), "lines sent a second time", self._late_path)
        if changed:
            self._tell("CONFLICTING_ORDER", len(changed), "lines sent a second time with another quantity", self._late_path)
            self._tell("CONFLICTING_ORDER", len(changed), f"lines that {self._late_path.rpartition('/')[2]} has with another quantity")

    def _tell(self, rule: str, rows: int, what: str, path: str | None = None) -> None:
        self.faults.append(Fault(path or self._path, rule, rows, what))


class _Rows:
    """Rows of a table, spread over it, none handed out twice."""

    def __init__(self, first: int, height: int) -> None:
        self._free = iter(range(first, height, max((height - first) // 64, 1)))

    def take(self, count: int) -> list[int]:
        return list(itertools.islice(self._free, count))


def _at(rows: list[int]) -> pl.Expr:
    return pl.int_range(pl.len()).is_in(rows)


def _changed(frame: pl.DataFrame, column: str, rows: list[int], values: list[str]) -> pl.DataFrame:
    return frame.with_columns(frame[column].scatter(rows, values))


def _arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
