"""Tables declared once: name, folder, columns, keys. Arrow, Iceberg and SQL schemas all follow from here."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

_DECIMAL = {f"decimal({p},{s})": pa.decimal128(p, s) for p, s in ((18, 3), (18, 4), (38, 3), (38, 4), (38, 7))}
ARROW_TYPES: dict[str, pa.DataType] = {
    "varchar": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    **_DECIMAL,
}


@dataclass(frozen=True)
class Column:
    """A column: its name, its type in SQL's words (a key of `ARROW_TYPES`), and what it means, units included."""

    name: str
    type: str
    doc: str
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the lake, partitioned by `run_date`.

    `layer` is the folder it stands in (`processed`, `output`, …); `key` the columns that are unique within a run date
    (empty: none declared); `feeds` the folders below it, for a table that several feeds write and that is its own layer.
    """

    name: str
    layer: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()

    @cached_property
    def arrow(self) -> pa.Schema:
        # Everything is optional in the files: engines write optional columns, and the promise is checked before the commit.
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.type], nullable=True) for c in self.columns])

    @cached_property
    def sql_types(self) -> dict[str, str]:
        return {c.name: c.type for c in self.columns}

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.required)

    @property
    def location(self) -> str:
        """The table's folder, relative to the lake's root."""
        return self.layer if self.feeds else f"{self.layer}/{self.name}"

    def folder(self, run_date: dt.date, feed: str | None = None) -> str:
        """The folder of a run date, relative to the lake's root."""
        return "/".join((self.location, *((feed,) if feed else ()), run_date.isoformat()))

    def run_folders(self, run_date: dt.date, run_id: str) -> tuple[str, ...]:
        """The folders that hold a run's files for a run date, relative to the lake's root."""
        return tuple(f"{self.folder(run_date, feed)}/{run_id}" for feed in (self.feeds or (None,)))
