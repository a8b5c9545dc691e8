"""Trino SQL made into what an engine runs: parsed, linted, names and types resolved, helpers expanded.

sqlglot's transpiling alone is silently wrong in places; resolving names and types first, inside the portable subset, makes it right.
Only `queries` imports this module, and only when nothing is remembered: sqlglot takes long to import.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage as column_lineage
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope, traverse_scope
from sqlglot.schema import MappingSchema

from procurement_platform.engines.helpers import Dialect, expand
from procurement_platform.engines.lint import lint, lint_types
from procurement_platform.engines.queries import Schemas
from procurement_platform.errors import QueryRefused

FILES = "files__"
RELATION = "relation__"


def for_duckdb(name: str, sql: str, relations: Schemas) -> dict[str, Any]:
    """What `queries.Compiled` holds, as JSON's types."""
    tree = resolved(name, sql, relations, "duckdb")
    ordered = tree.args.get("order") is not None
    parameters = sorted({placeholder.name for placeholder in tree.find_all(exp.Placeholder)})
    read: dict[str, str] = {}
    for table in _tables(tree):
        read[table.name] = FILES + table.name
        table.replace(_parquet(table, relations[table.name]))
    return {"sql": tree.sql(dialect="duckdb", comments=False), "relations": read, "parameters": parameters, "ordered": ordered}


def for_trino(name: str, sql: str, relations: Schemas, params: Mapping[str, object] | None) -> str:
    """The query as Trino runs it."""
    tree = resolved(name, sql, relations, "trino")
    if params is not None:
        bind(name, tree, params)
    return tree.sql(dialect="trino", comments=False)


def for_trino_files(name: str, sql: str, relations: Schemas) -> dict[str, Any]:
    """What `queries.Prepared` holds, as JSON's types."""
    tree = resolved(name, sql, relations, "trino")
    ordered = tree.args.get("order") is not None
    tables = _tables(tree)
    for table in tables:
        table.set("this", exp.to_identifier(RELATION + table.name, quoted=True))
    read = sorted({table.name.removeprefix(RELATION) for table in tables})
    return {"sql": tree.sql(dialect="trino", comments=False), "relations": read, "ordered": ordered}


def bind(name: str, tree: exp.Expr, params: Mapping[str, object]) -> None:
    """Puts each parameter's value where the parameter stands.

    Raises:
        QueryRefused: a parameter has no value, or one that is not exact.
    """
    for placeholder in list(tree.find_all(exp.Placeholder)):
        if placeholder.name not in params:
            raise QueryRefused(f"{name}: the parameter :{placeholder.name} has no value")
        placeholder.replace(_literal(name, placeholder.name, params[placeholder.name]))


def lineage(name: str, sql: str, relations: Schemas) -> dict[str, list[list[str]]]:
    """For each column of the result, the sorted [relation, column] pairs its value is made of."""
    tree = resolved(name, sql, relations, "trino")
    roots = column_lineage(None, tree, _schema(relations), dialect="trino", scope=build_scope(tree), copy=False)
    found: dict[str, list[list[str]]] = {}
    for column in tree.named_selects:
        leaves = [node for node in roots[column].walk() if isinstance(node.expression, exp.Table)]
        sources = {(leaf.expression.name, leaf.name.rpartition(".")[2].strip('"')) for leaf in leaves}
        found[column] = [list(source) for source in sorted(sources)]
    return found


def resolved(name: str, sql: str, relations: Schemas, dialect: Dialect) -> exp.Query:
    """The query as a tree: linted, every name qualified, every helper expanded, every type known.

    Raises:
        QueryRefused: it does not parse, is outside the portable subset, or reads what is not there.
    """
    try:
        tree = lint(name, sqlglot.parse_one(sql, read="trino"))
        missing = sorted({table.name for table in _tables(tree)} - relations.keys())
        if missing:
            raise QueryRefused(f"{name}: reads {', '.join(missing)}, which was not given")
        schema = _schema(relations)
        tree = qualify(tree, schema=schema, dialect="trino")
        expand(tree, dialect)
        tree = annotate_types(tree, schema=schema, dialect="trino")
    except SqlglotError as problem:
        raise QueryRefused(f"{name}: {' '.join(str(problem).split())}") from None
    lint_types(name, tree)
    return tree


def _schema(relations: Schemas) -> MappingSchema:
    return MappingSchema({relation: dict(columns) for relation, columns in relations.items()}, dialect="trino")


def _tables(tree: exp.Expr) -> list[exp.Table]:
    """Every reference to a relation: the tables that no WITH clause in reach defines."""
    return [
        table
        for scope in traverse_scope(tree)
        for table in scope.tables
        if not isinstance(scope.sources.get(table.alias_or_name), Scope)
    ]  # fmt: skip


def _parquet(table: exp.Table, columns: Mapping[str, str]) -> exp.Expr:
    """A relation read from its files, each column as declared. A cast to the type a file already has costs nothing."""
    options = [exp.Kwarg(this=exp.var("hive_partitioning"), expression=exp.false())]
    read = exp.Anonymous(this="read_parquet", expressions=[exp.Placeholder(this=FILES + table.name), *options])
    select = exp.select(*(exp.cast(exp.column(c, quoted=True), t, dialect="trino").as_(c, quoted=True) for c, t in columns.items()))
    return select.from_(read).subquery(table.alias_or_name)


def _literal(name: str, parameter: str, value: object) -> exp.Expr:
    match value:
        case None:
            return exp.null()
        case bool():
            return exp.Boolean(this=value)
        case int() | Decimal():
            return exp.Literal.number(f"{value:f}" if isinstance(value, Decimal) else str(value))  # 1E+3 would be a double
        case str():
            return exp.Literal.string(value)
        case dt.date() if not isinstance(value, dt.datetime):
            return exp.Literal.string(value.isoformat())
    kind = type(value).__name__
    raise QueryRefused(f"{name}: the parameter :{parameter} is a {kind}; dates, text, decimals and whole numbers can be given")
