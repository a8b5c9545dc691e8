"""What customers order and what markets have in stock: a day's rows, as tables of a bounded number of rows each.

Every table follows from (seed, feed, date, market, its number) and from nothing else: a day alone and the same day in a range are the same.
Few products make most of the demand (Zipf), which ones differs by market; weekends differ from weekdays.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from procurement_platform.procurement.simulator.world import Market, World

ROWS = 65_536

_WEEKDAYS = (1.0, 0.9, 0.95, 1.0, 1.2, 1.35, 0.6)  # Monday first
_MEAN_QUANTITY = 2.4
_LINES_OF_AN_ORDER = np.array([1, 1, 1, 1, 2, 2, 3, 5])
_DAY_MS = 86_400_000
_SECOND_US = 1_000_000

_Numbers: TypeAlias = npt.NDArray[np.int64]
_Array: TypeAlias = "pa.Array[Any]"


def order_tables(
    world: World, market: Market, day: dt.date, lines: int, seed: int, *, one_line: bool = False, series: str = ""
) -> Iterator[pa.Table]:
    """The market's order lines of the day, with the contract's columns; `ordered_at` in UTC.

    `one_line`: each order has one line, for markets that send no line numbers. `series` sets order numbers apart.
    """
    chances = np.cumsum(_popularity(world, market, seed))
    prices, midnight = world.prices(market), market.midnight(day)
    length_ms = (market.midnight(day + dt.timedelta(1)) - midnight) // 1000
    for number, start in enumerate(range(0, max(lines, 1), ROWS)):
        rows = min(ROWS, lines - start)
        random = _random(seed, 1, day.toordinal(), market.number, number, *series.encode())
        order, line = _orders(random, rows, one_line=one_line)
        product = np.minimum(np.searchsorted(chances, random.random(rows) * chances[-1], side="right"), len(world.skus) - 1)
        moment, customer, unnamed = _customers(random, rows, length_ms, lines)
        special = random.random(rows) < 0.05  # noqa: PLR2004
        price = np.where(special, np.maximum(prices[product] * 9 // 1000 * 100, 100), prices[product])
        prefix = f"{market.code}-{day:%y%m%d}{series}-"
        yield pa.table(
            {
                "order_id": _numbered(prefix, order + start, 8),
                "line_number": pa.array(line.astype(np.int32)),
                "market": pa.repeat(pa.scalar(market.code), rows),
                "sku": world.skus.take(_places(product)),
                "quantity": _decimals(_quantities(random, world, product, _WEEKDAYS[day.weekday()]), 3),
                "unit_price": _decimals(price, 4),
                "currency": pa.repeat(pa.scalar(market.currency), rows),
                "ordered_at": pa.array(midnight + moment[order] * 1000).cast(pa.timestamp("us", "UTC")),
                "customer_id": _numbered("C", customer[order], 7, missing=unnamed[order]),
            }
        )


def stock_tables(world: World, market: Market, day: dt.date, lines: int, seed: int, warehouses: int) -> Iterator[pa.Table]:
    """What the market has of each product in each warehouse at the end of the day; a product in fifty is in no row.

    About what `lines` order lines take: enough of some products, too little of others.
    """
    popularity = _popularity(world, market, seed)
    expected = popularity / popularity.sum() * lines * _MEAN_QUANTITY / warehouses
    counted = market.midnight(day + dt.timedelta(1)) - 3600 * _SECOND_US
    step = max(ROWS // warehouses, 1)
    for number, start in enumerate(range(0, len(world.skus), step)):
        random = _random(seed, 2, day.toordinal(), market.number, number)
        stocked = np.flatnonzero(random.random(min(step, len(world.skus) - start)) >= 0.02) + start  # noqa: PLR2004
        product = np.repeat(stocked, warehouses)
        rows = len(product)
        units = expected[product] * random.random(rows) * 2.2 + random.random(rows) * 3
        available = np.where(world.whole[product], units.astype(np.int64) * 1000, (units * 20).astype(np.int64) * 50)
        reserved = (available * random.random(rows) * 0.25).astype(np.int64)
        reserved -= np.where(world.whole[product], reserved % 1000, reserved % 50)
        place = np.tile(np.arange(warehouses), len(stocked))
        yield pa.table(
            {
                "market": pa.repeat(pa.scalar(market.code), rows),
                "sku": world.skus.take(_places(product)),
                "available": _decimals(available, 3),
                "reserved": _decimals(reserved, 3),
                "counted_at": pa.array(counted + random.integers(0, 1800, rows) * _SECOND_US).cast(pa.timestamp("us", "UTC")),
                "warehouse": pa.array([f"{market.code}-W{k + 1}" for k in range(warehouses)]).take(_places(place)),
            }
        )


def _random(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([part % 2**64 for part in key])))


def _popularity(world: World, market: Market, seed: int) -> npt.NDArray[np.float64]:
    """How much each product is in demand in the market, on any day."""
    ranks = _random(seed, 0, market.number).permutation(len(world.skus))
    return np.asarray((ranks + 3.0) ** -0.9, np.float64)


def _orders(random: np.random.Generator, rows: int, *, one_line: bool) -> tuple[_Numbers, _Numbers]:
    """The order each row belongs to, and its line in it."""
    if one_line:
        return np.arange(rows), np.ones(rows, np.int64)
    sizes = _LINES_OF_AN_ORDER[random.integers(0, len(_LINES_OF_AN_ORDER), rows)]
    order = np.repeat(np.arange(rows), sizes)[:rows]
    return order, np.arange(rows) - (np.cumsum(sizes) - sizes)[order] + 1


def _customers(random: np.random.Generator, orders: int, length_ms: int, lines: int) -> tuple[_Numbers, _Numbers, npt.NDArray[np.bool_]]:
    """Per order: when it was made (ms after midnight; a few on the days before), who made it, and whether the market does not say who."""
    noon = random.random(orders) + random.random(orders)  # in the middle of the day more often
    moment = np.minimum((noon * (length_ms / 2)).astype(np.int64), length_ms - 1)
    late = random.random(orders) < 0.02  # noqa: PLR2004
    moment -= np.where(late, random.integers(1, 3, orders) * _DAY_MS, 0)
    return moment, random.integers(0, max(lines // 3, 10), orders), random.random(orders) < 0.3  # noqa: PLR2004


def _quantities(random: np.random.Generator, world: World, product: _Numbers, factor: float) -> _Numbers:
    """Thousandths of units: whole units, save of goods by weight (in steps of 50 g)."""
    units = -np.log1p(-random.random(len(product))) * (_MEAN_QUANTITY - 0.5) * factor
    whole = 1 + units.astype(np.int64)
    return np.where(world.whole[product], whole * 1000, 50 + (units * 20).astype(np.int64) * 50)


def _places(numbers: _Numbers) -> "pa.Int64Array":
    return pa.array(numbers, pa.int64())


def _memory(numbers: npt.NDArray[Any]) -> pa.Buffer:
    memory: Any = numbers
    return pa.py_buffer(memory)


def _decimals(numbers: _Numbers, scale: int) -> _Array:
    """Unscaled integers as decimal(18, scale): Arrow holds them as 128 bits, the sign in all the higher ones."""
    words = np.empty((len(numbers), 2), np.int64)
    words[:, 0], words[:, 1] = numbers, numbers >> 63
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(numbers), [None, _memory(words)])


def _numbered(prefix: str, numbers: _Numbers, digits: int, missing: npt.NDArray[np.bool_] | None = None) -> _Array:
    """`prefix` and each number, with leading zeros; NULL where `missing`."""
    head = np.frombuffer(prefix.encode(), np.uint8)
    text = np.empty((len(numbers), len(head) + digits), np.uint8)
    text[:, : len(head)] = head
    rest = numbers.astype(np.uint32)
    for column in range(text.shape[1] - 1, len(head) - 1, -1):
        rest, digit = rest // np.uint32(10), rest % np.uint32(10)
        text[:, column] = digit + np.uint32(ord("0"))
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * text.shape[1]
    validity = None if missing is None else _memory(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(pa.string(), len(numbers), [validity, _memory(offsets), _memory(text)])
