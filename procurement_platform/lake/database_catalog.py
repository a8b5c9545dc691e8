"""Iceberg's catalog in PostgreSQL: PyIceberg's, whose every attempt of a commit asks first whether it may still be made."""

from contextvars import ContextVar

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier

from procurement_platform.lake.committing import COMMITTING

_CHANGING: ContextVar[Table | None] = ContextVar("changing", default=None)  # the table whose commit this thread is at


class DatabaseCatalog(SqlCatalog):
    """The catalog of a lake in the database at `uri`."""

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """One change of a table's state. Who takes the day after the guard was asked commits first: then this change does not apply."""
        COMMITTING.get().guard()
        token = _CHANGING.set(table)
        try:
            return super().commit_table(table, requirements, updates)
        finally:
            _CHANGING.reset(token)

    def load_table(self, identifier: str | Identifier) -> Table:
        """A table's state; within a commit the one that the change was made from, and that must still be the table's for it to apply."""
        return _CHANGING.get() or super().load_table(identifier)
