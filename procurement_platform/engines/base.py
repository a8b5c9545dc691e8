"""The one interface of the SQL engines: Parquet files in, Parquet (or a few rows) out."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import pyarrow as pa

from procurement_platform.engines.queries import Query

Scalar = bool | int | str | Decimal | dt.date | None


@dataclass(frozen=True)
class Relation:
    """What a query reads under one name: its columns (name → SQL type) and the Parquet files that hold its rows.

    No files is an empty relation, not an unknown one. Files are local paths, `file://` URLs or other fsspec URLs.
    """

    columns: Mapping[str, str]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """What a query's result became: its number of rows and the Parquet files that hold them (none where there are no rows)."""

    rows: int
    files: tuple[str, ...]


class Engine(Protocol):
    """Runs the platform's SQL files. One engine serves one thread.

    Raises (every method but `close`):
        QueryRefused: the query is outside the portable subset, or the relations or parameters do not fit it.
        InputGone: a relation's file no longer exists.
        PromiseBroken: a value overflows its type, or (`write`) the result's columns are not the declared ones.
    """

    def write(
        self, query: Query, relations: Mapping[str, Relation], target: str, table_columns: Mapping[str, str], params: Mapping[str, Scalar]
    ) -> Written:
        """Write the result to a new Parquet file, `target`, which is there afterwards also where it has no rows.

        An engine with several writers puts more files beside it, named after it; only one file keeps the order of the rows.
        """
        ...

    def rows(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> list[dict[str, object]]:
        """A small result as dictionaries; decimals are `Decimal`."""
        ...

    def arrow(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> pa.Table:
        """The result as an Arrow table."""
        ...

    def close(self) -> None: ...
