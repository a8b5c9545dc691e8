"""The two tables people open, as typed frames: supplier orders and exceptions are held to their columns once more before they are shown."""

import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pyarrow as pa

from procurement_platform.errors import PromiseBroken
from procurement_platform.lake.tables import Column, Table
from procurement_platform.procurement.tables import SUPPLIER_ORDERS
from procurement_platform.quality.rules import RULES
from procurement_platform.quality.violations import VIOLATIONS
from procurement_platform.texts import shorten

CATEGORIES = {"rule": {r.name for r in RULES}, "severity": {r.severity for r in RULES}}


def checked_orders(orders: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A day's supplier orders as they come, each piece held to their columns: none empty that must not be, every SKU ordered once.

    Raises:
        PromiseBroken: names the column, what is wrong with it, and the rows.
    """
    for batch in orders:
        _check(SUPPLIER_ORDERS, batch, unique="sku")
        yield batch


def checked_exceptions(violations: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A day's report as it comes, each piece held to its columns, and to the rules and severities there are.

    Raises:
        PromiseBroken: names the column, what is wrong with it, and the rows.
    """
    for batch in violations:
        _check(VIOLATIONS, batch)
        yield batch


def _check(table: Table, rows: pa.RecordBatch, unique: str = "") -> None:
    if rows.num_rows:  # an empty frame has no types to check
        checked = _frame_type(table, unique).type_check(None, rows.to_pandas(date_as_object=True, integer_object_nulls=True))
        if not checked.success:
            raise PromiseBroken(f"{table.name}: {shorten(' '.join(str(checked.description).split()), 400)}. Nothing was published")


@cache
def _frame_type(table: Table, unique: str) -> Any:
    # pandas takes half a second to import: only the end of a run needs it.
    from dagster import BetaWarning
    from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
    from dagster_pandas.constraints import (
        CategoricalColumnConstraint,
        NonNullableColumnConstraint,
        StrictColumnsConstraint,
        UniqueColumnConstraint,
    )

    def column(each: Column) -> Any:
        constraints: list[Any] = [NonNullableColumnConstraint()] if each.required else []
        if each.name in CATEGORIES:
            constraints.append(CategoricalColumnConstraint(CATEGORIES[each.name], ignore_missing_vals=False))
        if each.name == unique:
            constraints.append(UniqueColumnConstraint(ignore_missing_vals=False))
        return PandasColumn(each.name, constraints=constraints)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)  # dagster-pandas calls its frames a beta
        return create_dagster_pandas_dataframe_type(
            name=table.name,
            description=table.doc,
            columns=[column(each) for each in table.columns],
            dataframe_constraints=[StrictColumnsConstraint([each.name for each in table.columns], enforce_ordering=True)],
        )
