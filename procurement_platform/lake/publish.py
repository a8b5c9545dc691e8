"""The one write path: stage files in a folder of the run, check them, commit them in one transaction."""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.errors import InputGone, PromiseBroken
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.parquet import footer
from procurement_platform.lake.runs import RunRegistry, TableRun
from procurement_platform.lake.tables import Table

# In a run's inputs: its rows are those of the run `from`, whose content and inputs it has, in other files: `files` is those files' hash.
COMPACTED = "compacted"


@dataclass(frozen=True)
class Published:
    """What one run committed of a table for one run date. `files` are absolute paths."""

    table: Table
    run_date: dt.date
    run_id: str
    files: tuple[str, ...]
    rows: int
    content_hash: str


@dataclass(frozen=True)
class Publisher:
    """Stages, checks and commits a run's output. `guard` raises where the run may no longer commit (its lock is gone)."""

    lake: Lake
    catalog: TableCatalog
    registry: RunRegistry

    def stage(self, table: Table, run_date: dt.date, run_id: str) -> tuple[str, ...]:
        """Empty folders for the run's files, as absolute paths: one, or one per feed. The registry protects them from here on."""
        folders = table.run_folders(run_date, run_id)
        self.registry.stage(table.name, run_date, run_id, folders)
        return tuple(self.lake.empty_folder(folder) for folder in folders)

    def commit(
        self,
        table: Table,
        run_date: dt.date,
        run_id: str,
        files: Sequence[str],
        *,
        guard: Callable[[], None],
        inputs: Mapping[str, object],
        content: str | None = None,
    ) -> Published:
        """Checks staged files and makes them the run date's state.

        `content` is what rows are known by that another run wrote into other files (`COMPACTED`); None: these files' own hash.

        Raises:
            PromiseBroken: a file does not have the table's schema, its run date or its required values; nothing is committed.
            LockLost: from `guard`; nothing is committed, or another run has the day since.
            UnknownOutcome: the catalog did not answer.
        """
        rows, filled = check_files(self.lake, table, run_date, files)
        digest = content or content_hash(self.lake, filled)
        self.lake.sync(filled)
        summary = {"procurement.run-id": run_id, "procurement.content": digest}
        snapshot = self.catalog.replace(table, run_date, filled, summary, guard=guard)
        guard()
        self.registry.commit(table.name, run_date, run_id, rows=rows, content_hash=digest, inputs=inputs, snapshot_id=snapshot)
        return Published(table, run_date, run_id, tuple(filled), rows, digest)

    def restore(self, table: Table, run: TableRun, *, guard: Callable[[], None]) -> Published:
        """Makes the files of an earlier run its run date's state again. No file is written, and no other date is touched.

        Raises:
            InputGone: its files are gone, or are not what the run committed.
            LockLost: from `guard`; nothing is committed.
            UnknownOutcome: the catalog did not answer.
        """
        files = self.run_files(table, run.run_date, run.run_id)
        _, filled = check_files(self.lake, table, run.run_date, files)
        compacted = run.inputs.get(COMPACTED)
        wanted = compacted["files"] if isinstance(compacted, Mapping) else run.content_hash
        if content_hash(self.lake, filled) != wanted:
            raise InputGone(f"the files of {table.name} {run.run_date} in {', '.join(run.folders)} are not what run {run.run_id} committed")
        self.registry.restoring(table.name, run.run_date, run.run_id)  # a kill after the table's commit leaves it unrecorded
        return self.commit(table, run.run_date, run.run_id, filled, guard=guard, inputs=run.inputs, content=run.content_hash)

    def run_files(self, table: Table, run_date: dt.date, run_id: str) -> list[str]:
        """Absolute paths of the files a run wrote, in order.

        Raises:
            InputGone: the registry knows rows of that run, and its files are gone.
        """
        paths = [
            self.lake.path(folder, name)
            for folder in table.run_folders(run_date, run_id)
            for name in self.lake.files(folder)
            if name.endswith(".parquet") and not name.startswith(("_", "."))
        ]
        run = self.registry.get(table.name, run_date, run_id)
        if not paths and run is not None and run.rows:
            raise InputGone(f"the {run.rows} rows of {table.name} {run_date} are gone from {', '.join(run.folders)}: run the day again")
        return paths


def check_files(lake: Lake, table: Table, run_date: dt.date, files: Sequence[str]) -> tuple[int, list[str]]:
    """Holds staged files to the table's schema; returns how many rows they have, and the files that have any, in order.

    Raises:
        PromiseBroken: names the table, the file and what differs.
    """
    rows, filled = 0, []
    for path in sorted(files):
        found = footer(lake, path)
        _check_schema(table, path, found.schema.to_arrow_schema())
        if found.num_rows:
            _check_values(table, run_date, path, found)
            rows += found.num_rows
            filled.append(path)
    return rows, filled


def content_hash(lake: Lake, files: Sequence[str]) -> str:
    """SHA-256 over the files' bytes, in order: the same content has the same hash."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(bytes.fromhex(sha256_of(lake, path)))
    return digest.hexdigest()


def sha256_of(lake: Lake, path: str) -> str:
    """A file's SHA-256, read in pieces."""
    return lake.sha256(path)


def _check_schema(table: Table, path: str, found: pa.Schema) -> None:
    expected = [(f.name, f.type) for f in table.arrow]
    actual = [(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in found]
    if expected != actual:
        wrong = next(
            (f"{a[0]} is {a[1]} and must be {e[0]} {e[1]}" for e, a in zip(expected, actual, strict=False) if e != a),
            f"{len(actual)} columns instead of {len(expected)}",
        )
        raise PromiseBroken(f"{table.name}: {path} does not have the table's schema: {wrong}. Nothing was committed")


def _check_values(table: Table, run_date: dt.date, path: str, found: pq.FileMetaData) -> None:
    """Required columns are checked by the footer's statistics; a writer that leaves them out has checked row by row (the decode pass)."""
    index = {found.schema.column(i).name: i for i in range(found.num_columns)}
    for group in range(found.num_row_groups):
        for name in table.required:
            statistics = found.row_group(group).column(index[name]).statistics
            nulls = statistics.null_count if statistics is not None else None
            if nulls:
                raise PromiseBroken(f"{table.name}: {path} has {nulls} rows without {name}. Nothing was committed")
            if name == "run_date" and (statistics is None or not statistics.min == statistics.max == run_date):
                held = f"{statistics.min} to {statistics.max}" if statistics is not None else "it does not tell"
                raise PromiseBroken(f"{table.name}: {path} holds run dates {held}, not {run_date} alone. Nothing was committed")
