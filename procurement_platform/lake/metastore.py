"""Iceberg's catalog in a Hive Metastore: PyIceberg's, with commits that survive what a network and killed processes do.

Other than PyIceberg's, it gives each answer a time limit, looks at the table where a commit's answer does not come, and says so where its
outcome stays unknown (`metastore_doubts`), names the holder of a lock and takes away a lock whose holder is gone (`metastore_locks`), and
reads and writes metadata through the lake's own file system.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hive_metastore.ThriftHiveMetastore import Client
from hive_metastore.ttypes import EnvironmentContext
from hive_metastore.ttypes import Table as HiveTable
from pyiceberg.catalog import METADATA_LOCATION
from pyiceberg.catalog.hive import DO_NOT_UPDATE_STATS, HiveCatalog, _construct_hive_storage_descriptor, _construct_parameters
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, NoSuchTableError
from pyiceberg.io import FileIO
from pyiceberg.io.fsspec import FsspecFileIO
from pyiceberg.table import CommitTableResponse, StagedTable, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties
from thrift.Thrift import TException
from thrift.transport.TTransport import TTransportException

from procurement_platform.errors import LakeUnavailable
from procurement_platform.lake.committing import COMMITTING, Work, unknown
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore_client import ConnectionLost, Connections, may_pass, told
from procurement_platform.lake.metastore_doubts import IN_DOUBT_SECONDS, Doubts
from procurement_platform.lake.metastore_locks import Holder, TableLock, TableLocks, by_the_minute
from procurement_platform.lake.write_behind import WriteBehind
from procurement_platform.retry import retried

ANSWER_SECONDS = 60.0
LOOK_SECONDS = 10.0  # an answer may take, where a table is looked at to see what became of a commit
OUTCOME_SECONDS = 60.0  # it is looked at, again and again; with `ANSWER_SECONDS` less than the metastore keeps a silent holder's lock
DATABASE_SECONDS = 15.0  # likewise, after an error of its database: a connection that broke may have left a commit that is still being made
PATIENCE_SECONDS = 60.0  # for a metastore that restarts
LOCK_SECONDS = 300.0  # for the commits of other days
SCHEMA_FOLDER = "schema"  # where tables go that somebody makes by hand in the namespace


class LakeFileIO(FsspecFileIO):
    """PyIceberg's files, through the lake's file system whatever their scheme. What is written is there for others after `settle`."""

    def __init__(self, lake: Lake, properties: Properties) -> None:
        super().__init__(properties)
        self._files = WriteBehind(lake.fs)

    def get_fs(self, scheme: str, hostname: str | None = None) -> Any:  # noqa: ARG002 -- PyIceberg's signature
        return self._files

    def settle(self) -> None:
        self._files.settle()


class Metastore(HiveCatalog):
    """The catalog of a lake in the metastore at `thrift://host:port` (several: separated by commas).

    A commit's answer may take `answer_seconds`; then the table is looked at for `outcome_seconds`. `doubt_seconds`: how long it is left
    locked after that.
    """

    def __init__(
        self,
        lake: Lake,
        name: str,
        uri: str,
        free: Callable[[Work], bool] = unknown,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        outcome_seconds: float = OUTCOME_SECONDS,
        doubt_seconds: float = IN_DOUBT_SECONDS,
    ) -> None:
        self._lake, self._connections = lake, Connections(uri, answer_seconds, PATIENCE_SECONDS)
        self._outcome_seconds, self._doubt = outcome_seconds, dt.timedelta(seconds=doubt_seconds)
        super().__init__(name, uri=uri, warehouse=lake.location)
        self._free = free
        self._client: Any = self._connections  # PyIceberg's has no time limit, and is one for all threads

    @classmethod
    def opened(cls, lake: Lake, namespace: str, uri: str, free: Callable[[Work], bool] = unknown) -> "Metastore":
        """The catalog, with its namespace there."""
        logging.getLogger("pyiceberg").setLevel(logging.ERROR)
        catalog = cls(lake, namespace, uri, free)
        location = {"location": lake.path(SCHEMA_FOLDER)}
        retried(lambda: catalog.create_namespace_if_not_exists(namespace, location), may_pass, seconds=PATIENCE_SECONDS)
        return catalog

    def load_table(self, identifier: str | Identifier) -> Table:
        load = super().load_table
        return retried(lambda: load(identifier), may_pass, seconds=PATIENCE_SECONDS)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """One change of a table's state, made while its lock is held.

        Raises:
            CommitFailedException: the change was not made; another attempt begins with the table's newest state.
            LakeUnavailable: it was not made: others held the table all the time, or the metastore refuses it for good.
            LockLost: it was not made: the day is not this commit's any more.
            CommitStateUnknownException: the metastore was told to make it, and cannot be seen to have made it: it may do so yet, so the
                table stays locked.
        """
        database, name = self.identifier_to_database_and_table(table.name(), NoSuchTableError)
        committing = COMMITTING.get()
        holder = Holder.here(committing.work, committing.holder)
        try:
            with self._connections as client:
                doubts = self._doubts(client, database, name, table.metadata_location)
                locks = TableLocks(self._connections, client, database, name, committing.guard, self._free, doubts.of)
                with locks.held(holder, LOCK_SECONDS) as lock:
                    found = self._get_hive_table(client, database, name)
                    current = self._convert_hive_into_iceberg(found)
                    staged = self._update_and_stage_table(current, table.name(), requirements, updates)
                    if staged.metadata != current.metadata:
                        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
                        _settle(table.io)  # the manifests, which went meanwhile
                        self._describe(found, current, staged)
                        self._alter(lock, doubts, found, current.metadata_location, staged)
                    return CommitTableResponse(metadata=staged.metadata, metadata_location=found.parameters[METADATA_LOCATION])
        except ConnectionLost as problem:  # before the change was asked for
            raise CommitFailedException(str(problem)) from problem

    def _doubts(self, client: Client, database: str, name: str, metadata: str) -> Doubts:
        location = partial(self._location, client, database, name)
        return Doubts(self._lake, self._lake.relative(metadata).rpartition("/")[0], self._doubt, location)

    def _location(self, client: Client, database: str, name: str) -> str:
        """Where the metadata is that the table has now."""
        return str(self._get_hive_table(client, database, name).parameters[METADATA_LOCATION])

    def _describe(self, table: HiveTable, current: Table, staged: StagedTable) -> None:
        """Puts the new state into the metastore's entry; what others keep there stays."""
        parameters = dict(table.parameters or {})
        for gone in current.properties.keys() - staged.properties.keys():
            parameters.pop(gone, None)
        table.parameters = parameters | _construct_parameters(staged.metadata_location, current.metadata_location, staged.properties)
        table.sd = _construct_hive_storage_descriptor(staged.schema(), staged.location())

    def _alter(self, lock: TableLock, doubts: Doubts, table: HiveTable, before: str, staged: StagedTable) -> None:
        # Metastores that know the expectation (HIVE-26882) refuse the change where another was made meanwhile; 3.1.3 does not read it.
        context = {DO_NOT_UPDATE_STATS: "true", "expected_parameter_key": METADATA_LOCATION, "expected_parameter_value": before}
        lock.check()
        COMMITTING.get().guard()
        with doubts.kept(lock, staged.metadata_location) as mark:
            try:
                properties = EnvironmentContext(properties=context)
                lock.client.alter_table_with_environment_context(table.dbName, table.tableName, table, properties)
            except TException as problem:
                lock.silent = isinstance(problem, TTransportException)
                if may_pass(told(self.uri, problem)):
                    mark()
                self._find_out(problem, table, before, staged)

    def _find_out(self, problem: TException, table: HiveTable, before: str, staged: StagedTable) -> None:
        """Returns where a change was made in spite of an error; raises what became of it otherwise."""
        silent, said = isinstance(problem, TTransportException), told(self.uri, problem)
        settled = time.monotonic() + (DATABASE_SECONDS if may_pass(said) else 0.0)

        def look() -> str:
            with self._connections.impatient(LOOK_SECONDS) as anew:
                named = self._location(anew, table.dbName, table.tableName)
            if named != staged.metadata_location and (silent or (named == before and time.monotonic() < settled)):
                raise CommitStateUnknownException("it may be made yet")
            return named  # after an answer with an error, what it says is how it ended

        try:
            now = retried(look, lambda _: True, seconds=self._outcome_seconds, longest=1.0)
        except Exception:  # noqa: BLE001 -- whatever it is, nothing is known
            until = by_the_minute(dt.datetime.now(dt.UTC) + self._doubt)
            raise CommitStateUnknownException(
                f"the Hive Metastore at {self.uri} {'did not answer' if silent else 'failed'}: {problem}; "
                f"the table stays locked until the change is there, or until {until}"
            ) from problem
        if now == staged.metadata_location:
            return
        if now != before or may_pass(said):
            raise CommitFailedException(str(said)) from problem
        with suppress(OSError, LakeUnavailable):  # nothing names it; what stays goes by `maintain orphans`
            staged.io.delete(staged.metadata_location)
        what = f"{table.tableName} {COMMITTING.get().work or ''}".strip()
        raise LakeUnavailable(f"{what} was not committed: {said}; mend that, then run again") from problem

    @staticmethod
    def _write_metadata(metadata: TableMetadata, io: FileIO, metadata_path: str) -> None:
        HiveCatalog._write_metadata(metadata, io, metadata_path)  # noqa: SLF001 -- what this takes the place of
        _settle(io)

    @property
    def uri(self) -> str:
        return str(self.properties["uri"])

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:  # noqa: ARG002 -- PyIceberg's
        return LakeFileIO(self._lake, {**self.properties, **properties})


def _settle(io: FileIO) -> None:
    assert isinstance(io, LakeFileIO)  # noqa: S101 -- this catalog's tables have no other
    io.settle()
