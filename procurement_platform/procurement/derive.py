"""One way to make a table from SQL: run it into the run's folder, check it, commit it, and set its violations beside it."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.dayrun import DayRun
from procurement_platform.engines.base import Relation, Scalar
from procurement_platform.errors import PromiseBroken
from procurement_platform.lake.parquet import read_batches
from procurement_platform.lake.publish import Published, content_hash
from procurement_platform.lake.tables import Table
from procurement_platform.procurement.coherence import violations_of
from procurement_platform.quality.tally import COLUMNS, Tally, tally
from procurement_platform.quality.violations import VIOLATIONS


@dataclass(frozen=True)
class Found:
    """The violations that a step found, and what they come to by (dataset, rule)."""

    name: str
    files: tuple[str, ...]
    tallies: Mapping[tuple[str, str], Tally]


@dataclass(frozen=True)
class Staged:
    """A query's result in the run's folder, not committed."""

    table: Table
    files: tuple[str, ...]

    @property
    def relation(self) -> Relation:
        return relation(self.table, self.files)


@dataclass(frozen=True)
class Outcome:
    """What a step made: tables, violations, and the promises it kept (name → the figures that agree)."""

    tables: tuple[Published, ...]
    found: tuple[Found, ...] = ()
    promises: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A query that finds violations in a step's output, and what it reads."""

    query: str
    relations: Mapping[str, Relation]


def relation(table: Table, files: Sequence[str]) -> Relation:
    """A table's files as an input of a query."""
    return Relation(table.sql_types, tuple(files))


def current(run: DayRun, table: Table) -> Relation:
    """A table's rows as they stand for the run's date, as an input of a query."""
    if table.name in run.committed:  # by a step before, in this process
        return relation(table, run.committed[table.name])
    return relation(table, run.platform.catalog.files(table, run.run_date))


def stage(run: DayRun, table: Table, relations: Mapping[str, Relation]) -> Staged:
    """Runs a table's query into the run's folder. Nothing is committed.

    Raises:
        PromiseBroken: the rows are not unique by the table's key.
    """
    engine = run.platform.engine
    folder = run.platform.publisher.stage(table, run.run_date, run.run_id)[0]
    target = f"{folder}/part-0.parquet"
    query = run.platform.query(f"{run.domain}/{table.name}")
    written = engine.write(query, relations, target, table.sql_types, {"run_date": run.run_date})
    staged = Staged(table, written.files)
    if table.key and staged.files:
        counted = engine.rows(run.platform.query(f"{run.domain}/{table.name}_repeated"), {table.name: staged.relation}, {})
        if repeated := counted[0]["keys"]:
            raise PromiseBroken(f"{table.name}: {repeated} keys ({', '.join(table.key)}) occur more than once. Nothing was committed")
    return staged


def commit(run: DayRun, table: Table, files: Sequence[str], inputs: Mapping[str, object]) -> Published:
    """Makes staged files the run date's state."""
    published = run.platform.publisher.commit(table, run.run_date, run.run_id, files, guard=run.guard, inputs=inputs)
    run.committed[table.name] = published.files
    return published


def find(run: DayRun, name: str, checks: Sequence[Check]) -> Found:
    """Runs the checks of a step; what they find lies in the run's folder. It counts once it is kept (`keep`)."""
    platform = run.platform
    folder = f"logs/violations/{run.run_date.isoformat()}/{run.run_id}/{name}"
    platform.registry.stage(violations_of(name), run.run_date, run.run_id, (folder,))
    base = platform.lake.empty_folder(folder)
    files: list[str] = []
    for number, check in enumerate(checks):
        target = f"{base}/part-{number}.parquet"
        params: dict[str, Scalar] = {"run_date": run.run_date}
        files += platform.engine.write(platform.query(check.query), check.relations, target, VIOLATIONS.sql_types, params).files
    batches = (batch for path in files for batch in read_batches(platform.lake, path, COLUMNS))
    return Found(name, tuple(files), tally(batches))


def keep(run: DayRun, found: Found, inputs: Mapping[str, object]) -> Found:
    """Makes what a step found the day's: the report unites what is kept."""
    run.guard()
    lines = sum(each.lines for each in found.tallies.values())
    digest = content_hash(run.platform.lake, found.files)
    run.platform.registry.commit(violations_of(found.name), run.run_date, run.run_id, rows=lines, content_hash=digest, inputs=inputs)
    return found


def rows_relation(run: DayRun, name: str, table: pa.Table, types: Mapping[str, str]) -> Relation:
    """Rows from the database as an input of a query. They stay in the run's folder, as a record of what the day was computed from."""
    relative = f"logs/inputs/{run.run_date.isoformat()}/{run.run_id}/{name}.parquet"
    lake = run.platform.lake
    folder = relative.rsplit("/", 1)[0]
    run.platform.registry.stage("inputs", run.run_date, run.run_id, (folder,))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    lake.write(relative, sink.getvalue(), lasting=False)
    return Relation(types, (lake.path(relative),))
