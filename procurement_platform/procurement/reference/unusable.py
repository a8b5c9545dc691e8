"""Offers that no order can ever use: the least that can be ordered by them is above the most that may be."""

from collections.abc import Iterator
from decimal import Decimal

import polars as pl

from procurement_platform.procurement.reference.read import ROW, Problem, TableFile

_UNIT = 1000  # quantities have three places: in thousandths they are whole numbers
LEAST = "__least__"  # what no column can be called


def unusable_offers(offers: pl.DataFrame) -> pl.DataFrame:
    """The rows of `supplier_products` that are never used, whatever is needed; `LEAST` has their least order, in thousandths of a unit.

    An order is at least `moq`, `min_quantity` and one pack, in whole packs. Priority 0 says so itself, and is not among them.
    """
    pack, most = _thousandths("pack_size"), _thousandths("max_order_quantity")
    least = pl.max_horizontal(_thousandths("moq"), _thousandths("min_quantity"), pack)
    in_packs = least + (pack - least % pack) % pack
    return offers.filter(pl.col("priority") > 0).with_columns(in_packs.alias(LEAST)).filter(pl.col(LEAST) > most)


def told(file: TableFile) -> Iterator[Problem]:
    """A line for each such row of a file of `supplier_products`."""
    for row in unusable_offers(file.frame).iter_rows(named=True):
        least = _plain(Decimal(row[LEAST]) / _UNIT)
        given = ", ".join(f"{name} {_plain(row[name])}" for name in ("moq", "min_quantity", "pack_size"))
        what = f"never used, as the least order from {row['supplier_id']} of {row['sku']} is {least} ({given}); raise it, or lower those"
        yield file.problem(row[ROW], "max_order_quantity", _plain(row["max_order_quantity"]), what)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _thousandths(column: str) -> pl.Expr:
    return (pl.col(column) * _UNIT).cast(pl.Int64)
