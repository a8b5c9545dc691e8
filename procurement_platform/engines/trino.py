"""The cluster's engine: Trino, over the lake's Parquet files on HDFS.

Files are read through external tables, one per folder, in a schema of the engines' own; results are written by CREATE TABLE … AS into a
hidden folder beside the target, and moved. The tables go when the engine is closed; what a killed run leaves is dropped a day later.
"""

import datetime as dt
import io
import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr
from sqlglot import exp
from trino import exceptions

from procurement_platform.engines.base import Relation, Scalar, Written
from procurement_platform.engines.queries import Prepared, Query
from procurement_platform.engines.trino_client import Answer, Client, plain
from procurement_platform.engines.trino_errors import ServerLost, Untrusted, explained, is_transient
from procurement_platform.engines.trino_sql import Scan, Schema, text_of
from procurement_platform.errors import InputGone, ProcurementError, PromiseBroken, QueryRefused
from procurement_platform.lake.files import Lake
from procurement_platform.lake.parquet import footer
from procurement_platform.lake.tables import ARROW_TYPES
from procurement_platform.retry import retried

Result = TypeVar("Result")
_PROBLEMS = (exceptions.Error, exceptions.HttpError, ServerLost, Untrusted)
# No engine uses a table for longer than the first, so that any that is older than the second can be dropped by any other.
RENEWED_AFTER, DROPPED_AFTER = dt.timedelta(hours=12), dt.timedelta(hours=24)
DROPPED_AT_ONCE = 50
_Folder = tuple[tuple[tuple[str, str], ...], str]  # columns (name, SQL type) and the folder: what an external table is over
_OURS = re.compile(r"(?:read|write)_(\d{14})_[0-9a-f]{12}_\d+")


class TrinoEngine:
    """Trino, with what it reads and writes in one lake. It connects when first used.

    Args:
        lake: the lake on HDFS; files of relations and targets lie in it, by their full `hdfs://` URLs.
        host, port, user: of Trino's coordinator.
        password: asked for by Trino; only over TLS.
        tls: whether Trino is reached by https; `ca` the certificate it is checked with (none: those of the system).
        catalog: a Hive catalog that may write external tables.
        schema: the schema of the engines' tables; made where it is not there.
        patience: seconds for which an error that may pass is waited out, from when it first shows.

    Raises:
        ConfigurationError: a password without TLS.
    """

    def __init__(  # noqa: PLR0913 -- a server's address has so many parts
        self,
        *,
        lake: Lake,
        host: str,
        port: int,
        user: str,
        password: SecretStr | str | None = None,
        tls: bool = False,
        ca: Path | None = None,
        catalog: str = "hive",
        schema: str = "procurement_staging",
        patience: float = 60.0,
    ) -> None:
        self._client = Client(host=host, port=port, user=user, password=password, tls=tls, ca=ca, catalog=catalog)
        self._schema, self._lake, self._patience = Schema(catalog, schema), lake, patience
        self._mark, self._made = uuid.uuid4().hex[:12], 0
        self._ready = False
        self._tables: dict[_Folder, tuple[str, dt.datetime]] = {}
        self._done: list[str] = []  # tables that nobody asks any more

    def write(
        self, query: Query, relations: Mapping[str, Relation], target: str, table_columns: Mapping[str, str], params: Mapping[str, Scalar]
    ) -> Written:
        prepared = query.prepared({name: relation.columns for name, relation in relations.items()})
        read = {name: relations[name] for name in prepared.relations}

        def attempt() -> Written:
            # Each attempt has a table and a folder of its own: one whose answer was lost may still be writing.
            table = self._name("write")
            folder = f"{_parent(target)}/.{table}"
            try:
                self._begin()
                tree = self._tree(query, prepared, read, params)
                answer = self._client.run(self._schema.create_as(table, folder, tree), in_order=prepared.ordered)
                self._check_files(query.name, read)
                rows = int(answer.rows[0][0])
                names = self._check_written(query.name, table, folder, rows, table_columns)
                return Written(rows, self._moved(folder, names, target, table_columns))
            finally:
                self._done.append(table)
                self._lake.remove_folder(self._lake.relative(folder))

        return self._patiently(query.name, attempt, read)

    def rows(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> list[dict[str, object]]:
        return self.arrow(query, relations, params).to_pylist()

    def arrow(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> pa.Table:
        prepared = query.prepared({name: relation.columns for name, relation in relations.items()})
        read = {name: relations[name] for name in prepared.relations}

        def attempt() -> Answer:
            self._begin()
            answer = self._client.run(text_of(self._tree(query, prepared, read, params)))
            self._check_files(query.name, read)
            return answer

        return self._patiently(query.name, attempt, read).arrow()

    def close(self) -> None:
        """Drop the engine's tables; the files stay. The engine can be used again afterwards."""
        self._done += [table for table, _ in self._tables.values()]
        self._drop_done()
        self._tables.clear()
        self._ready = False
        self._client.close()

    def _patiently(self, name: str, attempt: Callable[[], Result], read: Mapping[str, Relation]) -> Result:
        """What the attempt returns; errors that may pass are waited out, others told in the platform's words."""
        try:
            return retried(attempt, is_transient, seconds=self._patience)
        except _PROBLEMS as problem:
            if not is_transient(problem):
                if isinstance(problem, exceptions.TrinoQueryError) and problem.error_name in ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND"):
                    self._tables.clear()  # somebody dropped them: the next query makes them anew
                    self._ready = False
                self._check_files(name, read)  # a file that vanished meanwhile is what Trino stumbled over
            raise explained(name, self._client.server, problem) from problem

    def _drop_done(self) -> None:
        done, self._done = self._done, []
        with suppress(*_PROBLEMS):  # what cannot be dropped now is dropped a day later
            self._client.run_all([self._schema.drop(table) for table in done])

    def _begin(self) -> None:
        if len(self._done) > DROPPED_AT_ONCE:
            self._drop_done()
        if not self._ready:
            with suppress(exceptions.TrinoQueryError):  # not permitted, or another made it at the same time: what follows tells
                self._client.run(self._schema.create())
            now = _now()
            for (table,) in self._client.run(self._schema.tables()).rows:
                made = _OURS.fullmatch(table)
                if made and now - dt.datetime.strptime(made[1], "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC) > DROPPED_AFTER:
                    self._done.append(table)
            self._drop_done()
            self._ready = True

    def _tree(self, query: Query, prepared: Prepared, read: Mapping[str, Relation], params: Mapping[str, Scalar]) -> exp.Query:
        self._check_files(query.name, read)
        tables = self._tables_over({(_columns(each), folder) for each in read.values() for folder in _by_folder(each)})
        scans = {
            name: Scan(each.columns, {tables[_columns(each), folder]: files for folder, files in _by_folder(each).items()})
            for name, each in read.items()
        }
        return self._schema.over_files(query.name, prepared, scans, params)

    def _tables_over(self, folders: Collection[_Folder]) -> dict[_Folder, str]:
        """The external table over each folder; those that are not there yet are made."""
        old = [folder for folder in folders if folder in self._tables and _now() - self._tables[folder][1] > RENEWED_AFTER]
        self._done += [self._tables.pop(folder)[0] for folder in old]
        new = {folder: self._name("read") for folder in sorted(folders) if folder not in self._tables}
        self._client.run_all([self._schema.external(table, dict(columns), folder) for (columns, folder), table in new.items()])
        self._tables |= {folder: (table, _now()) for folder, table in new.items()}
        return {folder: self._tables[folder][0] for folder in folders}

    def _name(self, purpose: str) -> str:
        self._made += 1
        return f"{purpose}_{_now():%Y%m%d%H%M%S}_{self._mark}_{self._made}"

    def _check_files(self, name: str, read: Mapping[str, Relation]) -> None:
        """Every file is where Trino looks. It would read on without those that are not: looked at before a query, and again after it.

        Raises:
            InputGone: a file is not there.
            QueryRefused: a file outside the lake, or one that Trino does not see.
        """
        wanted: dict[str, set[str]] = {}
        for relation in read.values():
            for folder, own in _by_folder(relation).items():
                wanted.setdefault(folder, set()).update(own)
        for folder, files in wanted.items():
            try:
                there = {f"{folder}/{file}" for file in self._lake.files(self._lake.relative(folder))}
            except ValueError:
                raise QueryRefused(f"{name}: {folder} is not in the lake {self._lake.path()}") from None
            missing = sorted(files - there)
            if missing:
                raise InputGone(f"{name}: a file to read is gone: {missing[0]}")
            hidden = sorted(file for file in files if file.rpartition("/")[2].startswith(("_", ".")))
            if hidden:
                raise QueryRefused(f"{name}: {hidden[0]}: Trino does not see files whose names begin with _ or .")

    def _check_written(self, name: str, table: str, folder: str, rows: int, declared: Mapping[str, str]) -> list[str]:
        """The names of the files that were written, in order, once their columns are those declared.

        Raises:
            PromiseBroken: they are not.
        """
        names = self._lake.files(self._lake.relative(folder))
        if not names:
            described = self._client.run(self._schema.columns(table)).rows
            _check_columns(name, {column: plain(kind) for column, kind in described}, declared)
        counted = 0
        for file in names:
            found = footer(self._lake, f"{folder}/{file}")
            _check_columns(name, {field.name: _sql_type(field.type) for field in found.schema.to_arrow_schema()}, declared)
            counted += found.num_rows
        if counted != rows:
            raise ProcurementError(f"{name}: Trino wrote {rows} rows, and {counted} are in {folder}: run it again")
        return names

    def _moved(self, folder: str, names: Sequence[str], target: str, declared: Mapping[str, str]) -> tuple[str, ...]:
        relative = self._lake.relative
        if not names:
            empty = io.BytesIO()
            pq.write_table(pa.schema([pa.field(column, ARROW_TYPES[kind]) for column, kind in declared.items()]).empty_table(), empty)
            self._lake.write(relative(target), empty.getvalue())
            return ()
        stem = target.removesuffix(".parquet")
        targets = [target, *(f"{stem}.{number}.parquet" for number in range(1, len(names)))]
        try:
            for file, to in zip(names, targets, strict=True):
                self._lake.move(relative(f"{folder}/{file}"), relative(to))
        except BaseException:
            for to in targets:
                self._lake.remove(relative(to))
            raise
        return tuple(targets)


def _columns(relation: Relation) -> tuple[tuple[str, str], ...]:
    return tuple(relation.columns.items())


def _by_folder(relation: Relation) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for file in relation.files:
        folders.setdefault(_parent(file), []).append(file)
    return folders


def _check_columns(name: str, written: Mapping[str, str], declared: Mapping[str, str]) -> None:
    if list(written.items()) == list(declared.items()):
        return
    columns = dict.fromkeys((*declared, *written))
    wrong = [
        f"{c} is {written.get(c, 'missing')}, declared {declared.get(c, 'nowhere')}" for c in columns if written.get(c) != declared.get(c)
    ]
    raise PromiseBroken(f"{name}: the result's columns are not the declared ones: {'; '.join(wrong) or 'they are in another order'}")


def _sql_type(kind: pa.DataType) -> str:
    return next((name for name, declared in ARROW_TYPES.items() if declared == kind), str(kind).replace("128", "").replace(" ", ""))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
