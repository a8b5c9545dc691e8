"""Simulate days of market files: a producer like any other, whose files take the way of all files.

The same seed, date and options give the same bytes, whether a date is simulated alone or in a range.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from procurement_platform.errors import ConfigurationError
from procurement_platform.inbox.feeds import Feed
from procurement_platform.lake.files import Lake
from procurement_platform.procurement.feeds import ORDERS, STOCK
from procurement_platform.procurement.simulator.demand import order_tables, stock_tables
from procurement_platform.procurement.simulator.faults import Fault, Mischief, Spoiler, plan
from procurement_platform.procurement.simulator.files import Desk, WrittenFile
from procurement_platform.procurement.simulator.hostile import write_hostile
from procurement_platform.procurement.simulator.styles import style_of
from procurement_platform.procurement.simulator.world import Market, World, world_of
from procurement_platform.settings import Settings

Faults = Literal["none", "typical", "hostile"]
Progress = Callable[[WrittenFile], None]


@dataclass(frozen=True)
class SimulationReport:
    """What was written, and what is wrong with it."""

    files: tuple[WrittenFile, ...]
    faults: tuple[Fault, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults, a line each."""
        return tuple(str(fault) for fault in self.faults)


def simulate(  # noqa: PLR0913 -- options, all by name
    settings: Settings,
    start: dt.date,
    end: dt.date,
    reference: Mapping[str, pa.Table],
    *,
    orders: int = 10_000,
    skus: int | None = None,
    markets: int | None = None,
    seed: int = 1,
    faults: Faults = "typical",
    mixed: bool = True,
    progress: Progress | None = None,
) -> SimulationReport:
    """Write the files of each day from `start` to `end` into the inbox of the settings' lake.

    `reference` are the reference tables, as `read_tables` has them. `orders` is a day's order lines, over all markets; `skus` and
    `markets` how many of those active on the day take part (default: all). `typical` faults are a usual day's; `hostile` adds files that
    attack. Not `mixed`: all files are Avro of one kind. `progress` is called with each file when it is whole. Files of the same names are
    replaced, whoever wrote them.

    Raises:
        ConfigurationError: `end` before `start`, or the reference tables have too few active markets or products.
    """
    lake = Lake(settings.lake_url)
    files: list[WrittenFile] = []
    told: list[Fault] = []
    for day in days(start, end):
        simulation = _Day(lake, world_of(reference, day, markets, skus), day, seed, orders, mixed=mixed)
        for file in simulation.write(faults):
            files.append(file)
            if progress is not None:
                progress(file)
        told += sorted(simulation.faults)
    return SimulationReport(tuple(files), tuple(told))


def days(start: dt.date, end: dt.date) -> list[dt.date]:
    """The days of a range.

    Raises:
        ConfigurationError: it ends before it begins.
    """
    if end < start:
        raise ConfigurationError(f"the range ends ({end}) before it begins ({start}); exchange the dates")
    return [start + dt.timedelta(number) for number in range((end - start).days + 1)]


class _Day:
    """One day's files. `faults` is complete when `write` is through."""

    def __init__(self, lake: Lake, world: World, day: dt.date, seed: int, orders: int, *, mixed: bool) -> None:
        self._lake, self._world, self._day, self._seed = lake, world, day, seed
        self._lines = world.lines(orders)
        self._styles = {market.code: style_of(market, mixed=mixed) for market in world.markets}
        self.faults: list[Fault] = []

    def write(self, faults: Faults) -> Iterator[WrittenFile]:
        pairs = [(market, self._styles[market.code]) for market in self._world.markets]
        mischief = {} if faults == "none" else plan(pairs, self._day, self._seed)
        for market, style in pairs:
            desk = Desk(self._lake, self._day, self._seed, market.timezone, style)
            if market.sends_orders:
                tables = order_tables(
                    self._world, market, self._day, self._lines[market.code], self._seed, one_line=not style.has_line_numbers
                )
                yield from self._write(desk, ORDERS, market, tables, mischief.get(("orders", market.code), Mischief()))
            if market.sends_stock:
                lines = self._lines.get(market.code, 0)
                tables = stock_tables(self._world, market, self._day, lines, self._seed, style.warehouses)
                yield from self._write(desk, STOCK, market, tables, mischief.get(("stock", market.code), Mischief()))
        if faults == "hostile":
            yield from write_hostile(self._lake, self._world, self._day, self._seed, self.faults)

    def _write(self, desk: Desk, feed: Feed, market: Market, tables: Iterator[pa.Table], mischief: Mischief) -> Iterator[WrittenFile]:
        path = desk.path(feed, market.code)
        if mischief.missing:
            self.faults.append(Fault(path.removesuffix(f".{desk.style.format}"), "MISSING_FILE", 0, "the market sends no file"))
            return
        late = f"{market.code}__late"
        spoiler = Spoiler(mischief, self._world, market, path, desk.path(feed, late))
        yield desk.write(feed, market.code, spoiler.through(tables), extra=spoiler.extra, spoiled=spoiler.spoiled)
        if spoiler.late is not None:
            yield desk.write(feed, late, [spoiler.late])
        self.faults += spoiler.faults
