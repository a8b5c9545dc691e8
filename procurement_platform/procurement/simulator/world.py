"""The world a day is simulated in: the markets and products of the reference tables, as they are on that day."""

import datetime as dt
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from procurement_platform.errors import ConfigurationError
from procurement_platform.procurement.simulator.vocabulary import RATES

# Products nobody sells to us are sold as well: at this price.
_USUAL_COST, _MARK_UP = 5.0, 1.7


@dataclass(frozen=True)
class Market:
    """A market that is active on the day; `size` is its share of the day's order lines, before they are rounded."""

    code: str
    currency: str
    timezone: str
    sends_orders: bool
    sends_stock: bool
    size: float

    @cached_property
    def number(self) -> int:
        """A number that is its own, whatever other markets there are."""
        return zlib.crc32(self.code.encode())

    def midnight(self, day: dt.date) -> int:
        """When the day begins there: microseconds since 1970-01-01 UTC."""
        return int(dt.datetime.combine(day, dt.time(), ZoneInfo(self.timezone)).timestamp()) * 1_000_000


@dataclass(frozen=True)
class World:
    """Markets, and products as columns: SKU, whether it is counted in whole units, what it costs in euro. `inactive` SKUs are not sold."""

    markets: tuple[Market, ...]
    skus: pa.StringArray
    whole: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    inactive: tuple[str, ...]

    def prices(self, market: Market) -> npt.NDArray[np.int64]:
        """What the market's customers pay for a unit: ten-thousandths of its currency."""
        rate, places = RATES.get(market.currency, (1.0, 2))
        least = 10 ** (4 - places)
        prices = np.rint(self.cost * _MARK_UP * rate * 10**places).astype(np.int64)
        return np.asarray(np.maximum(prices, 1) * least, np.int64)

    def lines(self, orders: int) -> dict[str, int]:
        """Order lines per market: their sizes' shares, adding up to `orders` exactly."""
        senders = [market for market in self.markets if market.sends_orders]
        total = sum(market.size for market in senders)
        shares = {market.code: int(orders * market.size / total) for market in senders}
        for market in senders[: orders - sum(shares.values())]:
            shares[market.code] += 1
        return shares


def world_of(tables: Mapping[str, pa.Table], day: dt.date, markets: int | None = None, skus: int | None = None) -> World:
    """The world as the reference tables have it on the day; of more markets or products than asked for, the first or an even choice.

    Raises:
        ConfigurationError: fewer are active on the day than asked for, or none at all.
    """
    active = _active(pl.DataFrame(tables["markets"]), day).sort("market")
    products = pl.DataFrame(tables["products"])
    sold = _active(products, day).sort("sku")
    for what, wanted, there in (("markets", markets, active.height), ("products", skus, sold.height)):
        if there < max(wanted or 1, 1):
            raise ConfigurationError(
                f"the reference tables have {there} {what} active on {day}, {max(wanted or 1, 1)} are asked for: "
                f"ask for fewer, load more, or let `simulate` make a reference set of that size"
            )
    active = active.head(markets or active.height)
    chosen = sold[np.linspace(0, sold.height - 1, skus or sold.height).astype(np.int64)]
    costs = _costs(tables, chosen)
    return World(
        tuple(
            Market(row["market"], row["currency"], row["timezone"], row["sends_orders"], row["sends_stock"], (place + 1) ** -0.5)
            for place, row in enumerate(active.iter_rows(named=True))
        ),
        pa.array(chosen["sku"].to_list(), pa.string()),
        (chosen["uom"] != "kg").to_numpy(),
        costs,
        tuple(products.join(sold, on="sku", how="anti")["sku"].sort()),
    )


def _active(frame: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    return frame.filter(pl.col("active_from").fill_null(day) <= day, pl.col("active_to").fill_null(day) >= day)


def _costs(tables: Mapping[str, pa.Table], products: pl.DataFrame) -> npt.NDArray[np.float64]:
    rates = pl.DataFrame({"currency": list(RATES), "rate": [rate for rate, _ in RATES.values()]})
    currencies = pl.DataFrame(tables["suppliers"]).select("supplier_id", "currency").join(rates, on="currency", how="left")
    offers = pl.DataFrame(tables["supplier_products"]).select("supplier_id", "sku", pl.col("unit_price").cast(pl.Float64))
    in_euro = pl.col("unit_price") / pl.col("rate").fill_null(1.0)
    cheapest = offers.join(currencies, on="supplier_id").group_by("sku").agg(in_euro.max().alias("cost"))
    return products.join(cheapest, on="sku", how="left", maintain_order="left")["cost"].fill_null(_USUAL_COST).to_numpy()
