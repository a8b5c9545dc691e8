"""Load the reference tables from CSV files: the whole set validated, then all of it in one transaction, or nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import psycopg
from psycopg import sql

from procurement_platform.database.connect import Database
from procurement_platform.errors import ReferenceError_
from procurement_platform.procurement.reference import snapshot, unusable
from procurement_platform.procurement.reference.read import BAD, ROW, Problem, TableFile, overlapping, read_table
from procurement_platform.procurement.reference.tables import BY_NAME, REFERENCE_TABLES, SUPPLIER_PRODUCTS, ForeignKey, ReferenceTable
from procurement_platform.texts import first_few

TOLD_GONE = 5  # rows that a report or a problem names


@dataclass(frozen=True)
class Change:
    """What a load did to a table: its rows before and after, and of those, by key, how many came, differ and went.

    `gone` has the keys of the first few that went.
    """

    before: int
    after: int
    added: int
    changed: int
    removed: int
    gone: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class LoadReport:
    """What was loaded: each table given and its change, the tables that had no file, and the files that are no table's.

    `warnings`: a line for each offer that was loaded and that no order can use.
    """

    changes: Mapping[str, Change]
    kept: tuple[str, ...] = ()
    unknown_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_reference(database: Database, folder: Path) -> LoadReport:
    """Replace each table that the folder has as `{table}.csv` by that file's rows; the other tables stay as they are.

    Loading the same folder again changes nothing.

    Raises:
        ReferenceError_: nothing to load, or a fault in any file; `problems` has them all, and nothing was changed.
    """
    with database.transaction() as connection:
        return _load(connection, folder)


def load_if_empty(database: Database, folder: Path) -> bool:
    """Load the folder if all reference tables are empty; says whether it did."""
    with database.transaction() as connection:
        _lock(connection)
        if not all(_is_empty(connection, table) for table in REFERENCE_TABLES):
            return False
        _load(connection, folder)
        return True


def _load(connection: psycopg.Connection, folder: Path) -> LoadReport:
    if not folder.is_dir():
        raise ReferenceError_(f"{folder} is no folder; name the one that holds the reference tables' CSV files")
    present = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    given = [table for table in REFERENCE_TABLES if f"{table.name}.csv" in present]
    unknown = tuple(name for name in present if name.removesuffix(".csv") not in BY_NAME or not name.endswith(".csv"))
    if not given:
        wanted = ", ".join(f"{name}.csv" for name in BY_NAME)
        found = f" (it holds {', '.join(unknown[:5])})" if unknown else ""
        raise ReferenceError_(f"{folder} holds none of {wanted}{found}; add at least one of them")
    files = {table.name: read_table(folder / f"{table.name}.csv", table) for table in given}
    _lock(connection)  # what is validated against is what the rows are written to
    # Files that could not be read whole come first: what is wrong with the others may follow from them.
    problems = [
        problem for file in sorted(files.values(), key=lambda each: (each.complete, each.file)) for problem in sorted(_within(file))
    ]
    problems += sorted(_dangling(connection, files))
    if problems:
        first, more = str(problems[0]), len(problems) - 1
        waiting = [file.file for file in files.values() if not file.complete and _is_referred_to(file.table)]
        raise ReferenceError_(
            f"nothing was loaded: {first}"
            + (f" (and {more} more {'problem' if more == 1 else 'problems'})" if more else "")
            + (f". What refers to {' and '.join(waiting)} is checked once all rows there can be read" if waiting else ""),
            tuple(str(problem) for problem in problems),
        )
    changes = {name: _change(connection, file) for name, file in files.items()}
    _replace(connection, files)
    offers = files.get(SUPPLIER_PRODUCTS.name)
    warnings = tuple(str(problem) for problem in unusable.told(offers)) if offers else ()
    return LoadReport(changes, tuple(name for name in BY_NAME if name not in files), unknown, warnings)


def _change(connection: psycopg.Connection, file: TableFile) -> Change:
    old, new = pl.DataFrame(snapshot.read_table(connection, file.table)), file.frame.select(file.table.column_names)
    key, whole = list(file.table.key), list(file.table.column_names)
    added = new.join(old, on=key, how="anti", nulls_equal=True).height
    same = new.join(old, on=whole, how="semi", nulls_equal=True).height
    removed = old.join(new, on=key, how="anti", nulls_equal=True).select(key)
    listed = removed.sort(key).head(TOLD_GONE).iter_rows(named=True)
    gone = tuple(" ".join(_in_words(name, value) for name, value in row.items()) for row in listed)
    return Change(old.height, new.height, added, new.height - same - added, removed.height, gone)


def _in_words(column: str, value: object) -> str:
    """A part of a key; of a row without a market that it is for all, of one without a beginning that it has none."""
    if value is not None:
        return str(value)
    return "(all)" if column == "market" else f"(no {column})"


def _within(file: TableFile) -> Iterator[Problem]:
    """What is wrong with a file, whatever the others hold."""
    yield from file.problems
    yield from _backward_periods(file)
    yield from _repeated(file)
    yield from overlapping(file)


def _is_referred_to(table: ReferenceTable) -> bool:
    return any(foreign.table == table.name for each in REFERENCE_TABLES for foreign in each.foreign_keys)


def _backward_periods(file: TableFile) -> Iterator[Problem]:
    period = file.table.period
    if period is None:
        return
    backward = file.frame.filter(pl.col(period.start) > pl.col(period.end))
    for row, start, end in backward.select(ROW, period.start, period.end).iter_rows():
        yield file.problem(row, period.end, end, f"lies before {period.start} {start}; exchange or mend them")


def _repeated(file: TableFile) -> Iterator[Problem]:
    """Rows whose key an earlier row has; of tables with `one_at_a_time` the overlap says it better."""
    table = file.table
    if table.one_at_a_time:
        return
    key = list(table.key)
    sound = file.frame.filter(~pl.col(BAD)).select(ROW, *key)
    repeated = sound.with_columns(first=pl.col(ROW).min().over(key)).filter(pl.col(ROW) > pl.col("first"))
    for values in repeated.iter_rows(named=True):
        named = ", ".join(f"{name} {_in_words(name, values[name])}" for name in key)
        yield file.problem(values[ROW], key[0], values[key[0]], f"row {values['first']} has the same {named}; remove one")


def _dangling(connection: psycopg.Connection, files: Mapping[str, TableFile]) -> Iterator[Problem]:
    """References to rows that will not exist: across the files, and between them and the tables that stay as they are.

    References to a table whose file could not be read whole are left alone.
    """
    for table in REFERENCE_TABLES:
        for foreign in table.foreign_keys:
            if table.name not in files and foreign.table not in files:
                continue
            if foreign.table in files and not files[foreign.table].complete:
                continue
            parent = BY_NAME[foreign.table].key[0]
            known = files[foreign.table].frame[parent] if foreign.table in files else _values(connection, foreign.table, parent)
            yield from _dangling_in(connection, table, foreign, files, known)


def _dangling_in(
    connection: psycopg.Connection, table: ReferenceTable, foreign: ForeignKey, files: Mapping[str, TableFile], known: pl.Series
) -> Iterator[Problem]:
    column = foreign.column
    if (file := files.get(table.name)) is not None:
        lost = file.frame.filter(pl.col(column).is_not_null() & ~pl.col(column).is_in(known.drop_nulls().implode()))
        for row, value in lost.select(ROW, column).iter_rows():
            yield file.problem(row, column, value, f"is not in {foreign.table}; add it there, or remove this row")
        return
    values = _values(connection, table.name, column)
    if missing := values.filter(~values.is_in(known.drop_nulls().implode())).sort().to_list():  # one problem, however many rows lack theirs
        named = f"{BY_NAME[foreign.table].key[0]} {first_few([repr(value) for value in missing], TOLD_GONE)}"
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        what = f"the table {table.name}, which stays as it is, has rows of {them}; keep {them}, or give {table.name}.csv without {them}"
        yield Problem(files[foreign.table].file, 0, 0, f", {named} {are} missing: {what}")


def _name(table: str) -> sql.Identifier:
    return sql.Identifier("reference", table)


def _values(connection: psycopg.Connection, table: str, column: str) -> pl.Series:
    query = sql.SQL("SELECT DISTINCT {0} FROM {1} WHERE {0} IS NOT NULL").format(sql.Identifier(column), _name(table))
    return pl.Series(column, [row[0] for row in connection.execute(query)], dtype=pl.String)


def _is_empty(connection: psycopg.Connection, table: ReferenceTable) -> bool:
    found = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(_name(table.name))).fetchone()
    return found is not None and not found[0]


def _lock(connection: psycopg.Connection) -> None:
    """No one else writes the tables until this transaction ends; reading goes on."""
    names = sql.SQL(", ").join(_name(table.name) for table in REFERENCE_TABLES)
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))


def _replace(connection: psycopg.Connection, files: Mapping[str, TableFile]) -> None:
    """Make each table hold exactly its file's rows. Parents are merged, since rows that stay may name them."""
    parents = {foreign.table for table in REFERENCE_TABLES for foreign in table.foreign_keys}
    for name in files:
        if name not in parents:
            connection.execute(sql.SQL("DELETE FROM {}").format(_name(name)))
    for name, file in files.items():
        if name in parents:
            _merge(connection, file)
        elif file.table.one_at_a_time:
            # Overlaps were looked for above, in all rows at once; the trigger would look again for each, seconds for 200,000.
            connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(_name(name)))
            _copy(connection, file, _name(name))
            connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(_name(name)))
        else:
            _copy(connection, file, _name(name))


def _copy(connection: psycopg.Connection, file: TableFile, into: sql.Identifier) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, file.table.column_names))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(into, columns)
    with connection.cursor().copy(copy) as sink:
        for part in file.frame.select(file.table.column_names).iter_slices(50_000):
            sink.write(part.write_csv(include_header=False))


def _merge(connection: psycopg.Connection, file: TableFile) -> None:
    table, new = file.table, sql.Identifier(f"new_{file.table.name}")
    key = sql.Identifier(table.key[0])
    rest = [sql.Identifier(name) for name in table.column_names if name not in table.key]
    connection.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(new, _name(table.name)))
    _copy(connection, file, new)
    connection.execute(sql.SQL("DELETE FROM {0} AS old WHERE old.{2} NOT IN (SELECT {2} FROM {1})").format(_name(table.name), new, key))
    comma = sql.SQL(", ")
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} AS old ({columns}) SELECT {columns} FROM {new} ON CONFLICT ({key}) DO UPDATE SET {changes}"
            " WHERE ({olds}) IS DISTINCT FROM ({news})"
        ).format(
            table=_name(table.name),
            columns=comma.join((key, *rest)),
            new=new,
            key=key,
            changes=comma.join(sql.SQL("{0} = excluded.{0}").format(name) for name in rest),
            olds=comma.join(sql.SQL("old.{}").format(name) for name in rest),
            news=comma.join(sql.SQL("excluded.{}").format(name) for name in rest),
        )
    )
