"""The embedded engine: DuckDB in memory, over the lake's Parquet files."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.engines.base import Relation, Scalar, Written
from procurement_platform.engines.queries import Compiled, Query
from procurement_platform.errors import InputGone, ProcurementError, PromiseBroken, QueryRefused
from procurement_platform.lake.tables import ARROW_TYPES
from procurement_platform.scratch import make_scratch
from procurement_platform.texts import shorten

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]

_COPY = " TO $target__ (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
_LITTLE_BYTES = 4 * 1024 * 1024  # of Parquet: some hundred thousand lines


@contextmanager
def in_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """A new private database in memory."""
    with duckdb.connect(":memory:") as connection:
        yield connection


class DuckDBEngine:
    """DuckDB with a memory limit, spilling to a private folder, with no reach beyond `folders`. It connects when first used.

    Args:
        connect: opens the connection; `DuckDBResource(database=":memory:").get_connection` fits.
        memory_mib: what DuckDB may hold in memory, in MiB; beyond it, it spills to disk.
        threads: DuckDB's threads, for queries that read more than a little.
        temporary: the folder under which the engine makes its private one; none given: the system's.
        folders: the folders (paths or URL prefixes) that queries may read and write; none given: all.
    """

    def __init__(
        self,
        *,
        connect: Connect = in_memory,
        memory_mib: int = 512,
        threads: int = 2,
        temporary: Path | None = None,
        folders: tuple[str, ...] = (),
    ) -> None:
        self._connect, self._memory_mib, self._threads, self._parent, self._folders = connect, memory_mib, threads, temporary, folders
        self._closing = ExitStack()
        self._open: duckdb.DuckDBPyConnection | None = None
        self._private = Path()
        self._empty: dict[tuple[tuple[str, str], ...], str] = {}
        self._protocols: set[str] = set()
        self._working = threads

    def write(
        self, query: Query, relations: Mapping[str, Relation], target: str, table_columns: Mapping[str, str], params: Mapping[str, Scalar]
    ) -> Written:
        compiled, bound = self._bind(query, relations, params)
        path = self._path(target)
        if "://" not in path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with self._explained(query):
            # An ORDER BY's order is always kept; the order of what is read costs memory, so it is kept only where nothing else fixes one.
            self._connection.execute("SET preserve_insertion_order = $keep", {"keep": not compiled.ordered})
            self._suit_threads(relations)
            try:
                copied = self._connection.execute("COPY (" + compiled.sql + ")" + _COPY, {**bound, "target__": path}).fetchall()
                _check_columns(query.name, self._connection, path, table_columns)
            except BaseException:
                if "://" not in path:
                    Path(path).unlink(missing_ok=True)
                raise
        rows = int(copied[0][0])
        return Written(rows, (target,) if rows else ())

    def rows(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> list[dict[str, object]]:
        return self.arrow(query, relations, params).to_pylist()

    def arrow(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> pa.Table:
        compiled, bound = self._bind(query, relations, params)
        with self._explained(query):
            self._connection.execute("SET preserve_insertion_order = true")
            self._suit_threads(relations)
            return self._connection.execute(compiled.sql, bound).to_arrow_table()

    def close(self) -> None:
        """Close the connection and remove what it left on disk. The engine can be used again afterwards."""
        self._open = None
        self._empty.clear()
        self._protocols.clear()
        self._closing.close()

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._open is None:
            self._open = self._opened()
        return self._open

    def _opened(self) -> duckdb.DuckDBPyConnection:
        self._private = make_scratch("duckdb", self._parent)
        self._closing.callback(shutil.rmtree, self._private, ignore_errors=True)
        connection = self._closing.enter_context(self._connect())
        connection.execute("SET memory_limit = $limit", {"limit": f"{self._memory_mib}MiB"})
        connection.execute("SET threads = $threads", {"threads": self._threads})
        self._working = self._threads
        connection.execute("SET temp_directory = $folder", {"folder": str(self._private)})
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET autoload_known_extensions = false")
        connection.execute("SET enable_progress_bar = false")
        # DuckDB keeps what it read of a file by name, time and size: a file written again within a second could be read as it was.
        connection.execute("SET enable_external_file_cache = false")
        if self._folders:
            # File systems are lent before the doors close: DuckDB resolves the folders' names with them.
            allowed = [self._path(folder, connection) for folder in (*self._folders, str(self._private))]
            connection.execute("SET allowed_directories = $folders", {"folders": allowed})
            connection.execute("SET enable_external_access = false")
        return connection

    def _bind(self, query: Query, relations: Mapping[str, Relation], params: Mapping[str, Scalar]) -> tuple[Compiled, dict[str, object]]:
        compiled = query.compiled({name: relation.columns for name, relation in relations.items()})
        bound: dict[str, object] = {}
        for name in compiled.parameters:
            if name not in params:
                raise QueryRefused(f"{query.name}: the parameter :{name} has no value")
            value = params[name]
            if isinstance(value, float | dt.datetime):
                raise QueryRefused(f"{query.name}: the parameter :{name} is a {type(value).__name__}; give a date or an exact number")
            bound[name] = value
        for name, parameter in compiled.relations.items():
            relation = relations[name]
            bound[parameter] = [self._path(file) for file in relation.files] or [self._empty_file(relation.columns)]
        return compiled, bound

    def _suit_threads(self, relations: Mapping[str, Relation]) -> None:
        """One thread where there is little to read: to share that out takes longer than to do it."""
        little = sum(_size(file) for relation in relations.values() for file in relation.files) <= _LITTLE_BYTES
        threads = 1 if little else self._threads
        if threads != self._working:
            self._connection.execute("SET threads = $threads", {"threads": threads})
            self._working = threads

    def _path(self, file: str, connection: duckdb.DuckDBPyConnection | None = None) -> str:
        """The file as DuckDB opens it. Other file systems than the local one are lent to it by fsspec."""
        scheme, separator, _ = file.partition("://")
        if not separator:
            return file
        if scheme == "file":
            return unquote(urlsplit(file).path)
        connection = connection or self._connection  # opening it lends the file systems of the engine's folders
        if scheme not in self._protocols:
            import fsspec

            connection.register_filesystem(fsspec.filesystem(scheme))
            self._protocols.add(scheme)
        return file

    def _empty_file(self, columns: Mapping[str, str]) -> str:
        """A Parquet file without rows, so that an empty relation is read as any other."""
        key = tuple(columns.items())
        if key not in self._empty:
            self._open = self._connection  # the private folder is made with it
            path = self._private / f"empty-{len(self._empty)}.parquet"
            pq.write_table(pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in key]).empty_table(), path)
            self._empty[key] = str(path)
        return self._empty[key]

    @contextmanager
    def _explained(self, query: Query) -> Iterator[None]:
        """DuckDB's errors in the platform's words."""
        try:
            yield
        except duckdb.OutOfMemoryException as problem:
            raise ProcurementError(
                f"{query.name}: DuckDB needs more than {self._memory_mib} MiB, or more disk under {self._private.parent}; "
                f"raise PROCUREMENT_SQL_MEMORY_MIB or free disk space ({_first_line(problem)})"
            ) from problem
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as problem:
            raise PromiseBroken(f"{query.name}: a value does not fit its type: {_first_line(problem)}") from problem
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as problem:
            raise QueryRefused(f"{query.name}: {_first_line(problem)}") from problem
        except (duckdb.IOException, FileNotFoundError) as problem:
            gone = isinstance(problem, FileNotFoundError) or "No files found" in str(problem) or "No such file" in str(problem)
            if gone:
                raise InputGone(f"{query.name}: a file to read is gone: {_first_line(problem)}") from problem
            raise ProcurementError(f"{query.name}: {_first_line(problem)}") from problem
        except duckdb.Error as problem:
            raise ProcurementError(f"{query.name}: {_first_line(problem)}") from problem


def _size(file: str) -> int:
    """A local file's bytes; of another file system's nobody is asked: it counts as much. One that is gone is the query's to tell."""
    if "://" in file:
        return _LITTLE_BYTES + 1
    with suppress(OSError):
        return Path(file).stat().st_size
    return 0


def _check_columns(name: str, connection: duckdb.DuckDBPyConnection, path: str, declared: Mapping[str, str]) -> None:
    found = connection.execute("DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning = false)", {"path": path}).fetchall()
    written = {str(row[0]): str(row[1]).lower() for row in found}
    if list(written.items()) == list(declared.items()):
        return
    columns = dict.fromkeys((*declared, *written))
    wrong = [
        f"{c} is {written.get(c, 'missing')}, declared {declared.get(c, 'nowhere')}" for c in columns if written.get(c) != declared.get(c)
    ]
    raise PromiseBroken(f"{name}: the result's columns are not the declared ones: {'; '.join(wrong) or 'they are in another order'}")


def _first_line(problem: BaseException) -> str:
    return shorten(str(problem).strip().split("\n", 1)[0], 300)
