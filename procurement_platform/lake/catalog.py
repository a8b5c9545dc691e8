"""The Iceberg catalog: the tables' current state, and the one transaction that replaces a run date's files.

Kept in PostgreSQL (embedded) or in a Hive Metastore (cluster); what it is opened by says which.
"""

import datetime as dt
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from procurement_platform.errors import InputGone, LakeUnavailable, LockLost, UnknownOutcome
from procurement_platform.lake.committing import COMMITTING, Work, committing, unguarded, unknown
from procurement_platform.lake.files import Lake
from procurement_platform.lake.tables import Table
from procurement_platform.retry import retried

if TYPE_CHECKING:  # PyIceberg takes half a second to import, which commands that only read do without
    from pyiceberg.catalog import MetastoreCatalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata

NAMESPACE = "procurement"
# Keeps a commit's cost flat however many came before (docs/decisions/0003-flat-commits.md).
PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",  # goes by number, not by age: a reader may be as many commits behind
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
    "commit.manifest.target-size-bytes": "32768",
    "commit.retry.num-retries": "0",  # PyIceberg would add to rows that it did not see: `replace` begins anew
}
EXPIRE_EVERY, KEEP_SNAPSHOTS = 10, 10
COMMIT_SECONDS = 300.0  # for commits that overtake: many days may be committed side by side
_log = logging.getLogger(__name__)

Opened = Callable[[Lake, str], "MetastoreCatalog"]


def in_database(uri: str) -> Opened:
    """Opens the catalog that PostgreSQL keeps; `uri` as SQLAlchemy takes it."""

    def opened(lake: Lake, namespace: str) -> "MetastoreCatalog":
        from procurement_platform.lake.database_catalog import DatabaseCatalog

        logging.getLogger("pyiceberg").setLevel(logging.ERROR)
        catalog = DatabaseCatalog(namespace, uri=uri, warehouse=lake.location, echo="false", pool_pre_ping="true")
        catalog.create_namespace_if_not_exists(namespace)
        return catalog

    return opened


def in_metastore(uri: str, free: Callable[[Work], bool] = unknown) -> Opened:
    """Opens the catalog that a Hive Metastore keeps, at `thrift://host:port`; several addresses are separated by commas.

    `free` says whether nobody is at some work, such as a day: then whoever left a table locked for it is gone.
    """

    def opened(lake: Lake, namespace: str) -> "MetastoreCatalog":
        from procurement_platform.lake.metastore import Metastore

        return Metastore.opened(lake, namespace, uri, free)

    return opened


class TableCatalog:
    """The lake's tables as Iceberg tables of a namespace, in the catalog that `opened` opens; a text is the URI of a database.

    A commit leaves a table its newest `KEEP_SNAPSHOTS` snapshots, or `keep_snapshots` where these are more, and up to `EXPIRE_EVERY` older.
    """

    def __init__(self, lake: Lake, opened: Opened | str, *, namespace: str = NAMESPACE, keep_snapshots: int = 0) -> None:
        self._lake, self._namespace, self._keep_snapshots = lake, namespace, keep_snapshots
        self._opened = in_database(opened) if isinstance(opened, str) else opened
        self._known: set[str] = set()
        self._brought_up: set[str] = set()

    @cached_property
    def _catalog(self) -> "MetastoreCatalog":
        return self._opened(self._lake, self._namespace)

    def load(self, table: Table) -> "IcebergTable":
        """The table's current state; it is made where it is not there yet."""
        from pyiceberg.exceptions import NoSuchTableError

        identifier = f"{self._namespace}.{table.name}"
        try:
            loaded = self._catalog.load_table(identifier)
        except NoSuchTableError:
            if table.name in self._known:
                raise  # it went meanwhile: that is not to be taken for a table without rows
            self._create(table, identifier)
            loaded = self._catalog.load_table(identifier)
        self._known.add(table.name)
        return loaded

    def files(self, table: Table, first: dt.date, last: dt.date | None = None) -> list[str]:
        """Absolute paths of the Parquet files that hold the run dates `first` … `last` (default: `first` alone), in order.

        Raises:
            InputGone: the table names a file that is not there.
        """
        return self.there(table, self.named(table, first, last))

    def there(self, table: Table, paths: list[str]) -> list[str]:
        """Files that a table names, once it is known that they are there.

        Raises:
            InputGone: one is not.
        """
        for path in paths:
            if not self._lake.fs.exists(path):
                raise InputGone(f"{table.name} names {self._lake.relative(path)}, which is gone: run that date again")
        return paths

    def named(self, table: Table, first: dt.date, last: dt.date | None = None) -> list[str]:
        """As `files`, whether they are there or not."""
        from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual

        condition = (
            EqualTo(term="run_date", value=first.isoformat())
            if last is None
            else And(GreaterThanOrEqual(term="run_date", value=first.isoformat()), LessThanOrEqual(term="run_date", value=last.isoformat()))
        )
        tasks = self.load(table).scan(row_filter=condition).plan_files()
        return sorted(self._lake.path(self._lake.relative(task.file.file_path)) for task in tasks)

    def by_folder(self, table: Table, first: dt.date, last: dt.date | None = None) -> dict[str, list[str]]:
        """As `named`, by the folder that they lie in, which is a run's; relative to the lake's root."""
        found: dict[str, list[str]] = {}
        for path in self.named(table, first, last):
            found.setdefault(self._lake.relative(path).rpartition("/")[0], []).append(path)
        return found

    def in_snapshots(self, table: Table, run_date: dt.date, *, tagged: bool = False) -> set[str]:
        """The files of a run date, relative to the lake's root, that any snapshot of the table names.

        `tagged`: only snapshots that a branch or tag names beside the table's state.
        """
        from pyiceberg.expressions import EqualTo

        iceberg, condition = self.load(table), EqualTo(term="run_date", value=run_date.isoformat())
        snapshots = {snapshot.snapshot_id for snapshot in iceberg.snapshots()}
        if tagged:
            snapshots = {each for each in _named(iceberg) if each != iceberg.metadata.current_snapshot_id}
        scans = (iceberg.scan(row_filter=condition, snapshot_id=snapshot) for snapshot in sorted(snapshots))
        return {self._lake.relative(task.file.file_path) for scan in scans for task in scan.plan_files()}

    def replace(
        self,
        table: Table,
        run_date: dt.date,
        files: Sequence[str],
        summary: Mapping[str, str],
        *,
        holder: str = "",
        guard: Callable[[], None] = unguarded,
    ) -> int | None:
        """Replaces a run date's files by `files` (absolute paths; none: the date becomes empty) in one transaction.

        The caller has the day's lock: what another commit of the day left locked is taken from it. `guard` raises where the lock is gone:
        it is asked at each attempt, right before the change is made. A commit that another one overtook begins anew, with the state that
        is there then. `summary` is kept in the snapshot; `holder` is what others are told who wait for the table meanwhile. Returns the
        snapshot's id; None where there was nothing before and is nothing now.

        Raises:
            LockLost: from `guard`; nothing was committed.
            UnknownOutcome: the catalog did not say whether the commit took place.
            LakeUnavailable: it did not take place: the catalog is away, or others commit to the table all the time.
        """
        from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, ValidationException

        overtaken = (CommitFailedException, ValidationException)
        entries: list[DataFile] = []  # made from the files' footers once, however often the commit is overtaken
        with committing(run_date, holder, guard):
            try:
                made = retried(
                    lambda: self._replace(table, run_date, files, summary, entries),
                    lambda problem: isinstance(problem, overtaken),
                    seconds=COMMIT_SECONDS,
                    longest=2.0,
                )
            except CommitStateUnknownException as problem:
                raise UnknownOutcome(
                    f"whether {table.name} {run_date} was committed is not known ({problem}): its files stay; "
                    "look at the table, then run the day again"
                ) from problem
            except overtaken as problem:
                raise LakeUnavailable(f"{table.name} {run_date} was not committed ({problem}): run the day again") from problem
            keep = max(KEEP_SNAPSHOTS, self._keep_snapshots)
            if made is not None and len(made.snapshots()) >= keep + EXPIRE_EVERY:
                self._expire(table, keep)
        snapshot = made.current_snapshot() if made is not None else None
        return snapshot.snapshot_id if snapshot else None

    def _replace(
        self, table: Table, run_date: dt.date, files: Sequence[str], summary: Mapping[str, str], entries: "list[DataFile]"
    ) -> "IcebergTable | None":
        """One attempt; the table as it is then, None where there is nothing to be done."""
        from pyiceberg.expressions import EqualTo
        from pyiceberg.table import TableProperties

        COMMITTING.get().guard()
        iceberg = self.load(table)
        if table.name not in self._brought_up:  # here, where the commit's lock has a holder that is known; readers need none of it
            _bring_up(table, iceberg)
            self._brought_up.add(table.name)
        condition = EqualTo(term="run_date", value=run_date.isoformat())
        before = any(True for _ in iceberg.scan(row_filter=condition).plan_files())
        if not before and not files:
            return None
        with warnings.catch_warnings(), _transaction()(iceberg) as transaction:
            warnings.simplefilter("ignore")
            if before:
                transaction.delete(condition, snapshot_properties=dict(summary))
            if files:
                metadata = transaction.table_metadata
                if metadata.name_mapping() is None:  # by which columns are found: engines write no field ids
                    transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: metadata.schema().name_mapping.model_dump_json()})
                entries += [] if entries else _entries(iceberg, [self._url(path) for path in files])
                with transaction.update_snapshot(snapshot_properties=dict(summary)).merge_append() as append:
                    for entry in entries:
                        append.append_data_file(entry)
        return iceberg

    def close(self) -> None:
        """Closes the catalog's connections. The object may be used again."""
        if "_catalog" in self.__dict__:
            self.__dict__.pop("_catalog").close()

    def _expire(self, table: Table, keep: int) -> None:
        # Snapshots go, files stay: a run's files are kept by the run registry, not by snapshots.
        from pyiceberg.table.update.snapshot import ExpireSnapshots

        try:
            iceberg = self.load(table)
            if old := old_snapshots(iceberg, keep):
                ExpireSnapshots(_transaction()(iceberg, autocommit=True)).by_ids(old).commit()
        except LockLost:
            raise
        except Exception as problem:  # noqa: BLE001 -- whatever it is: the rows are in, and the next commit expires
            _log.warning("old snapshots of %s stay until the next commit: %s", table.name, problem)

    def _create(self, table: Table, identifier: str) -> None:
        from pyiceberg.exceptions import TableAlreadyExistsError
        from pyiceberg.partitioning import PartitionField, PartitionSpec
        from pyiceberg.transforms import IdentityTransform

        schema = iceberg_schema(table)
        source = schema.find_field("run_date").field_id
        spec = PartitionSpec(PartitionField(source_id=source, field_id=1000, transform=IdentityTransform(), name="run_date"))
        location = f"{self._lake.location}/{table.location}"
        with suppress(TableAlreadyExistsError):  # another process was first
            self._catalog.create_table(
                identifier, schema, location=location, partition_spec=spec, properties={**PROPERTIES, "comment": table.doc}
            )

    def _url(self, path: str) -> str:
        return f"{self._lake.location}/{self._lake.relative(path)}"


def _entries(iceberg: "IcebergTable", urls: Sequence[str]) -> "list[DataFile]":
    """What a table's manifest says of Parquet files, from their footers."""
    from pyiceberg.io.pyarrow import parquet_file_to_data_file
    from pyiceberg.utils.concurrent import ExecutorFactory

    metadata, io = iceberg.metadata, iceberg.io
    return list(ExecutorFactory.get_or_create().map(lambda url: parquet_file_to_data_file(io, metadata, url), urls))


def _bring_up(table: Table, there: "IcebergTable") -> None:
    """Gives a table that an earlier version made this version's properties and widths."""
    if PROPERTIES.items() - there.properties.items():
        _transaction()(there, autocommit=True).set_properties(PROPERTIES)
    types = {field.name: field.field_type for field in there.schema().fields}
    wider = [f for f in iceberg_schema(table).fields if types.get(f.name, f.field_type) != f.field_type]
    if wider:
        with there.update_schema() as update:
            for field in wider:
                update.update_column(field.name, field.field_type)


def old_snapshots(iceberg: "IcebergTable", keep: int) -> list[int]:
    """All but the newest `keep` snapshots, at least one, and but what a branch or tag names: one of these would be refused, with all."""
    named = _named(iceberg)
    snapshots = sorted(iceberg.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    return [each.snapshot_id for each in snapshots[: -max(1, keep)] if each.snapshot_id not in named]


def _named(iceberg: "IcebergTable") -> set[int]:
    """The snapshots that a branch or tag names: the table's state is the branch `main`."""
    return {ref.snapshot_id for ref in iceberg.metadata.refs.values()}


@lru_cache(maxsize=1)
def _transaction() -> "type[Transaction]":
    """A transaction that works out the table's metadata once per change; PyIceberg's copies all of it at each of a hundred looks."""
    from pyiceberg.table import Transaction

    class OneLook(Transaction):
        _seen: "tuple[object, object, TableMetadata] | None" = None

        @property
        def table_metadata(self) -> "TableMetadata":
            base, updates = self._table.metadata, self._updates
            if self._seen is None or self._seen[0] is not base or self._seen[1] is not updates:
                self._seen = (base, updates, super().table_metadata)
            return self._seen[2]

    return OneLook


def iceberg_schema(table: Table) -> "Schema":
    """The table's Iceberg schema; field ids follow the columns' order."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import BooleanType, DateType, DecimalType, IntegerType, LongType, NestedField, PrimitiveType, StringType

    plain: dict[str, PrimitiveType] = {
        "varchar": StringType(),
        "bigint": LongType(),
        "integer": IntegerType(),
        "boolean": BooleanType(),
        "date": DateType(),
    }

    def type_of(name: str) -> PrimitiveType:
        if name.startswith("decimal("):
            precision, scale = (int(part) for part in name[8:-1].split(","))
            return DecimalType(precision, scale)
        return plain[name]

    return Schema(
        *(NestedField(i, c.name, type_of(c.type), required=False, doc=c.doc) for i, c in enumerate(table.columns, start=1)),
    )


def rows_in(path: str) -> int:
    """How many rows a Parquet file says it has."""
    return int(pq.read_metadata(path).num_rows)
