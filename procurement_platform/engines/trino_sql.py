"""The statements that Trino's engine sends, as sqlglot trees: names and values reach SQL in no other way.

Trino reads files through external tables: a table is a folder. A relation is the rows of its files alone, whatever else lies beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from procurement_platform.engines.compile import RELATION, bind
from procurement_platform.engines.queries import Prepared


@dataclass(frozen=True)
class Scan:
    """A relation's columns (name → SQL type), and its files by the external table of their folder (none: an empty relation)."""

    columns: Mapping[str, str]
    tables: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Schema:
    """A schema of Trino's Hive catalog, and the statements about tables of it."""

    catalog: str
    name: str

    def create(self) -> str:
        schema = exp.Table(db=_identifier(self.name), catalog=_identifier(self.catalog))
        return _text(exp.Create(this=schema, kind="SCHEMA", exists=True))

    def tables(self) -> str:
        """One column: the names of the schema's tables."""
        return self._described("tables", "table_name", exp.column("table_schema").eq(self.name))

    def columns(self, table: str) -> str:
        """Name and type of each column of a table, in order."""
        there = exp.and_(exp.column("table_schema").eq(self.name), exp.column("table_name").eq(table))
        return self._described("columns", "column_name, data_type", there, order="ordinal_position")

    def external(self, table: str, columns: Mapping[str, str], folder: str) -> str:
        """A table over the Parquet files of a folder."""
        defined = [exp.ColumnDef(this=_identifier(name), kind=_type(kind)) for name, kind in columns.items()]
        named = exp.Schema(this=self._table(table), expressions=defined)
        return _text(exp.Create(this=named, kind="TABLE", properties=_parquet_in(folder)))

    def create_as(self, table: str, folder: str, query: exp.Query) -> str:
        """A query's result as a table over Parquet files that it writes to a folder."""
        return _text(exp.Create(this=self._table(table), kind="TABLE", properties=_parquet_in(folder), expression=query))

    def drop(self, table: str) -> str:
        """The table alone: the files of an external table stay."""
        return _text(exp.Drop(tables=[self._table(table)], kind="TABLE", exists=True))

    def over_files(self, name: str, query: Prepared, scans: Mapping[str, Scan], params: Mapping[str, object]) -> exp.Query:
        """A query with its relations read from files and its parameters bound. `name` is the query's, for messages.

        Raises:
            QueryRefused: a parameter has no value, or one that is not exact.
        """
        tree = sqlglot.parse_one(query.sql, read="trino")
        assert isinstance(tree, exp.Query)  # noqa: S101 -- it was one when it was prepared
        bind(name, tree, params)
        with_ = tree.args.get("with_") or exp.With(expressions=[])
        reads = [_named(RELATION + relation, self._read(scan)) for relation, scan in scans.items()]
        with_.set("expressions", [*reads, *with_.expressions])
        if reads:
            tree.set("with_", with_)
        return tree

    def _read(self, scan: Scan) -> exp.Query:
        parts: list[exp.Query] = []
        for table, files in scan.tables.items():
            these = exp.In(this=exp.column("$path", quoted=True), expressions=[exp.Literal.string(file) for file in files])
            parts.append(exp.select(*(exp.column(c, quoted=True) for c in scan.columns)).from_(self._table(table)).where(these, copy=False))
        if not parts:
            nulls = (exp.cast(exp.null(), kind, dialect="trino").as_(c, quoted=True) for c, kind in scan.columns.items())
            return exp.select(*nulls).where(exp.false())
        return parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False, copy=False)

    def _described(self, view: str, columns: str, there: exp.Condition, order: str | None = None) -> str:
        table = exp.Table(this=_identifier(view), db=_identifier("information_schema"), catalog=_identifier(self.catalog))
        query = exp.select(*columns.split(", ")).from_(table).where(there)
        return _text(query.order_by(order) if order else query)

    def _table(self, name: str) -> exp.Table:
        return exp.Table(this=_identifier(name), db=_identifier(self.name), catalog=_identifier(self.catalog))


def text_of(query: exp.Query) -> str:
    """A query as Trino's SQL."""
    return _text(query)


def _text(tree: exp.Expr) -> str:
    return tree.sql(dialect="trino", comments=False)


def _identifier(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _type(kind: str) -> exp.DataType:
    return exp.DataType.build(kind, dialect="trino")


def _named(name: str, query: exp.Query) -> exp.CTE:
    return exp.CTE(this=query, alias=exp.TableAlias(this=_identifier(name)))


def _parquet_in(folder: str) -> exp.Properties:
    location = exp.Property(this=exp.var("external_location"), value=exp.Literal.string(folder))
    return exp.Properties(expressions=[location, exp.FileFormatProperty(this=exp.Literal.string("PARQUET"))])
