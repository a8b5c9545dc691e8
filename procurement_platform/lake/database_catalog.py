"""Iceberg's catalog in PostgreSQL: PyIceberg's, whose every attempt of a commit asks first whether it may still be made."""

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import TableRequirement, TableUpdate

from procurement_platform.lake.committing import COMMITTING


class DatabaseCatalog(SqlCatalog):
    """The catalog of a lake in the database at `uri`."""

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """One change of a table's state. Who takes the day after the guard was asked commits first: then this change does not apply."""
        COMMITTING.get().guard()
        return super().commit_table(table, requirements, updates)
