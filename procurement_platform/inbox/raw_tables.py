"""The Avro files as sent, as a table for each feed in the Hive Metastore: a partition for each run date, for whoever looks with Trino.

The partitions are made in the metastore itself: `system.register_partition` of Trino cannot say how a day's files are read
(docs/decisions/0011-raw-tables.md).
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from hive_metastore.ThriftHiveMetastore import Client
from hive_metastore.ttypes import (
    AlreadyExistsException,
    Database,
    FieldSchema,
    NoSuchObjectException,
    Partition,
    SerDeInfo,
    StorageDescriptor,
    Table,
)
from pyiceberg.exceptions import CommitFailedException
from thrift.Thrift import TException

from procurement_platform.errors import ConfigurationError, InvalidFile, LakeUnavailable, LockLost, ProcurementError
from procurement_platform.inbox.container import read_header
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.inbox.raw_columns import RawColumn, added_columns, contract_columns, reading, with_columns
from procurement_platform.lake.committing import Work, unguarded, unknown
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore_client import Connections
from procurement_platform.lake.metastore_locks import Holder, TableHeld, TableLocks

Done = Literal["registered", "unregistered", "moved", "renewed", "failed"]
RAW = "raw"
_SCHEMA, _FILES = "avro.schema.literal", "procurement.files"
_SERDE = "org.apache.hadoop.hive.serde2.avro.AvroSerDe"
_FORMAT = "org.apache.hadoop.hive.ql.io.avro.AvroContainer{}Format"
_ALL = -1
_AT_ONCE = 8  # headers read side by side
_WAIT_SECONDS = 60.0  # for runs of other days that write theirs


@dataclass(frozen=True)
class Change:
    """What was done to a day's partition. `notes`: columns of it that are shown empty, or why it failed."""

    feed: str
    run_date: dt.date
    done: Done
    location: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wanted:
    location: str
    files: str  # tells whether these are the files that the partition was made for
    schemas: Mapping[str, Any]


class RawTables:
    """The raw tables of a lake, in a schema of the metastore that is the lake's own. `free` says whether nobody is at some work."""

    def __init__(self, lake: Lake, connections: Connections, schema: str, free: Callable[[Work], bool] = unknown) -> None:
        self._lake, self._connections, self._schema, self._free = lake, connections, schema, free

    def reconcile(
        self,
        feeds: Sequence[Feed],
        files: Callable[[], Iterable[LedgerFile]],
        days: Collection[dt.date] | None = None,
        *,
        dry_run: bool = False,
        guard: Callable[[], None] = unguarded,
    ) -> list[Change]:
        """Makes partitions agree with the files in use of these days; none: of all days there are.

        Whoever changes anything has the lock of each of the days; `guard` raises where it is gone.

        A day whose files lie where the ledger says has a partition, any other has none. `files` reads the ledger, of any state and format:
        after the partitions were listed, so that one that a run makes meanwhile is not taken for one without files. `dry_run` says what
        would be done.

        Raises:
            LakeUnavailable: the metastore cannot be used.
            ConfigurationError: the schema's tables are another lake's.
            LockLost: from `guard`.
        """
        changes: list[Change] = []
        with self._connected() as client:
            there = {feed.name: self._partitions(client, feed, days) for feed in feeds}
            used: dict[tuple[str, dt.date], list[LedgerFile]] = {}
            for file in files():
                if (file.state, file.format) == ("accepted", "avro") and (days is None or file.run_date in days):
                    used.setdefault((file.feed, file.run_date), []).append(file)
            for feed in feeds:
                for day in sorted({*there[feed.name], *(day for name, day in used if name == feed.name)}):
                    known, found = used.get((feed.name, day), []), there[feed.name].get(day)
                    change = self._day(client, feed, day, known, found, None if dry_run else guard)
                    changes += [] if change is None else [change]
        return changes

    def unregister(self, feed: Feed, run_date: dt.date, guard: Callable[[], None] = unguarded) -> None:
        """Takes a day's partition away, if it has one: before its files go, as queries of a partition without its folder fail.

        Whoever does has the day's lock; `guard` raises where it is gone. Raises as `reconcile`.
        """
        with self._connected() as client:
            found = self._partitions(client, feed, [run_date]).get(run_date)
            if found is not None:
                guard()
                client.drop_partition(self._schema, feed.name, found.values, False)  # files are not the metastore's to remove

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        try:
            with self._connections as client:
                yield client
        except TException as problem:
            raise LakeUnavailable(f"the Hive Metastore at {self._connections.uris} refused: {problem}") from problem

    def _day(
        self,
        client: Client,
        feed: Feed,
        day: dt.date,
        files: Sequence[LedgerFile],
        found: Partition | None,
        guard: Callable[[], None] | None,
    ) -> Change | None:
        """What is done, or without a guard would be done."""
        location = self._lake.path(RAW, feed.name, day.isoformat())
        try:
            wanted = self._wanted(feed, location, files, found)
            if wanted is None:
                if found is None:
                    return None
                if guard is not None:
                    guard()
                    client.drop_partition(self._schema, feed.name, found.values, False)  # the files stay
                return Change(feed.name, day, "unregistered", str(found.sd.location))
            if not isinstance(wanted, _Wanted):
                return None
            notes = () if guard is None else self._register(client, feed, day, wanted, guard)
        except (LakeUnavailable, LockLost):
            raise
        except ProcurementError as problem:  # this day's alone
            return Change(feed.name, day, "failed", location, (str(problem),))
        done: Done = "registered" if found is None else "renewed" if found.sd.location == location else "moved"
        return Change(feed.name, day, done, location, notes)

    def _wanted(self, feed: Feed, location: str, files: Sequence[LedgerFile], found: Partition | None) -> "_Wanted | Partition | None":
        """What a day's partition is to be: the one found, where that is right already; None where no file is there to be read."""
        if not files:
            return None
        folder = f"{RAW}/{feed.name}/{files[0].run_date.isoformat()}"
        there = {f"{folder}/{name}" for name in self._lake.files(folder)}
        present = [file for file in files if file.raw_path in there]
        if not present:
            return None
        mark = hashlib.sha256("\n".join(sorted(file.file_id for file in present)).encode()).hexdigest()
        if found is not None and found.sd.location == location and (found.parameters or {}).get(_FILES) == mark:
            return found
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            schemas = dict(zip((file.file_name for file in present), pool.map(self._schema_of, present), strict=True))
        return _Wanted(location, mark, schemas)

    def _schema_of(self, file: LedgerFile) -> Any:
        try:
            with self._lake.open(file.raw_path) as opened:
                return read_header(opened).schema
        except InvalidFile as problem:
            raise ProcurementError(f"{file.raw_path}, the raw copy of {file.file_name}, cannot be read any more: it {problem}") from None

    def _register(self, client: Client, feed: Feed, day: dt.date, wanted: _Wanted, guard: Callable[[], None]) -> tuple[str, ...]:
        """Writes a day's partition, and the columns that its files add to the table.

        Runs of other days do the same meanwhile, and the metastore takes whatever is written last: they wait for each other. A table's
        column without a field in each partition's schema would fail queries of that partition: partitions get theirs first.
        """
        if self._table(client, feed) is None:
            self._created(client, feed)
        locks = TableLocks(self._connections, client, self._schema, feed.name, guard, self._free)
        try:
            with locks.held(Holder.here(day, "raw table"), _WAIT_SECONDS) as lock:
                table = client.get_table(self._schema, feed.name)
                known = _columns(feed, table)
                added = added_columns(known, wanted.schemas)
                columns = [*known, *added]
                read = reading(columns, wanted.schemas)
                lock.check()
                guard()
                if added:
                    _widen(client, table, columns)
                    table.sd.cols = _fields(columns)
                    client.alter_table(self._schema, feed.name, table)
                self._write(client, table, day, wanted, read.schema)
                return read.notes
        except (CommitFailedException, TableHeld) as problem:
            raise ProcurementError(f"{feed.name} {day}: other runs held the table ({problem}): procurement repair raw") from None

    def _write(self, client: Client, table: Table, day: dt.date, wanted: _Wanted, schema: str) -> None:
        storage = _storage(table.tableName, table.sd.cols, wanted.location, {_SCHEMA: schema})
        partition = Partition(
            values=[day.isoformat()], dbName=table.dbName, tableName=table.tableName, sd=storage, parameters={_FILES: wanted.files}
        )
        try:
            client.add_partition(partition)
        except AlreadyExistsException:
            client.alter_partition(table.dbName, table.tableName, partition)

    def _partitions(self, client: Client, feed: Feed, days: Collection[dt.date] | None) -> dict[dt.date, Partition]:
        if self._table(client, feed) is None:
            return {}
        if days is None:
            found = client.get_partitions(self._schema, feed.name, _ALL)
        else:
            found = client.get_partitions_by_names(self._schema, feed.name, [f"run_date={day.isoformat()}" for day in days])
        return {dt.date.fromisoformat(partition.values[0]): partition for partition in found}

    def _table(self, client: Client, feed: Feed) -> Table | None:
        try:
            table = client.get_table(self._schema, feed.name)
        except NoSuchObjectException:
            return None
        location = self._lake.path(RAW, feed.name)
        if table.sd.location != location:
            raise ConfigurationError(
                f"{self._schema}.{feed.name} in the metastore shows {table.sd.location}, and not {location}: "
                "set PROCUREMENT_RAW_SCHEMA to a schema of this lake's own"
            )
        return table

    def _created(self, client: Client, feed: Feed) -> Table:
        with suppress(AlreadyExistsException):
            client.create_database(Database(self._schema, "The markets' Avro files as sent.", self._lake.path(RAW)))
        table = Table(
            tableName=feed.name,
            dbName=self._schema,
            owner="procurement",
            sd=_storage(feed.name, _fields(contract_columns(feed.contract)), self._lake.path(RAW, feed.name), {}),
            partitionKeys=[FieldSchema("run_date", "date", "The day that the files are of.")],
            parameters={"EXTERNAL": "TRUE", "comment": feed.doc},
            tableType="EXTERNAL_TABLE",
        )
        with suppress(AlreadyExistsException):  # another run was first
            client.create_table(table)
        return client.get_table(self._schema, feed.name)


def _widen(client: Client, table: Table, columns: Sequence[RawColumn]) -> None:
    """Gives the partitions' schemas the columns that they do not have."""
    changed = []
    for partition in client.get_partitions(table.dbName, table.tableName, _ALL):
        parameters = partition.sd.serdeInfo.parameters or {}
        wider = with_columns(parameters[_SCHEMA], columns) if _SCHEMA in parameters else None
        if wider is not None and wider != parameters[_SCHEMA]:
            partition.sd.serdeInfo.parameters = {**parameters, _SCHEMA: wider}
            partition.sd.cols = _fields(columns)
            changed.append(partition)
    if changed:
        client.alter_partitions(table.dbName, table.tableName, changed)


def _columns(feed: Feed, table: Table) -> list[RawColumn]:
    """A table's columns: the contract's, and what files have added so far."""
    own = contract_columns(feed.contract)
    names = {column.name for column in own}
    return [*own, *(RawColumn(field.name, field.type) for field in table.sd.cols if field.name not in names)]


def _fields(columns: Sequence[RawColumn]) -> list[FieldSchema]:
    return [FieldSchema(column.name, column.type, column.doc or None) for column in columns]


def _storage(name: str, fields: list[FieldSchema], location: str, parameters: dict[str, str]) -> StorageDescriptor:
    return StorageDescriptor(
        cols=fields,
        location=location,
        inputFormat=_FORMAT.format("Input"),
        outputFormat=_FORMAT.format("Output"),
        compressed=False,
        numBuckets=0,
        serdeInfo=SerDeInfo(name, _SERDE, parameters),
        bucketCols=[],
        sortCols=[],
        parameters={},
    )
