"""The portable subset of SQL: what DuckDB and Trino do alike. Everything else is refused, by an allow-list over sqlglot's tree."""

from collections.abc import Iterator

from sqlglot import exp

from procurement_platform.engines.helpers import HELPERS
from procurement_platform.errors import QueryRefused
from procurement_platform.lake.tables import ARROW_TYPES

ALLOWED: tuple[type[exp.Expr], ...] = (
    *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Subquery),
    *(exp.With, exp.CTE, exp.Table, exp.TableAlias, exp.Union, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Paren, exp.Tuple),
    *(exp.Literal, exp.Null, exp.Boolean, exp.Placeholder, exp.Cast, exp.DataType, exp.DataTypeParam),
    *(exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Exists, exp.Between),
    *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Add, exp.Sub, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Coalesce, exp.Substring, exp.Replace),
    *(exp.Sum, exp.Count, exp.Min, exp.Max, exp.Filter, exp.Distinct),
    *(exp.Window, exp.RowNumber, exp.Rank),
)
_REMEDIES = {
    "Div": "use a helper: decimals divide differently in each engine",
    "Mul": "use multiply_money(quantity, price): products of decimals overflow differently in each engine",
    "Mod": "use round_up(quantity, pack)",
    "TryCast": "use CAST: a value that does not fit is an error here",
    "Greatest": "use CASE: DuckDB's GREATEST ignores NULL, Trino's does not",
    "Least": "use CASE: DuckDB's LEAST ignores NULL, Trino's does not",
    "Concat": "use ||: DuckDB's CONCAT ignores NULL, Trino's does not",
    "DateAdd": "use add_days(date, days)",
}
_INEXACT = {exp.DataType.Type.FLOAT, exp.DataType.Type.DOUBLE}
_WHOLE = {exp.DataType.Type.INT, exp.DataType.Type.BIGINT}


def lint(name: str, tree: exp.Expr) -> None:
    """Refuse what is outside the portable subset, before names are resolved.

    Raises:
        QueryRefused: the first fault, with the text at fault and what to write instead.
    """
    if not isinstance(tree, exp.Select | exp.Union):
        raise QueryRefused(f"{name}: one SELECT is expected, not {type(tree).__name__.upper()}")
    for fault in _faults(tree):
        raise QueryRefused(f"{name}: {fault}")


def lint_types(name: str, tree: exp.Expr) -> None:
    """Refuse what only types tell: inexact numbers, sums of integers left to the engine, decimals cut to integers.

    Raises:
        QueryRefused: as `lint`.
    """
    for node in tree.walk():
        if isinstance(node, exp.Expr) and node.type is not None and node.type.this in _INEXACT:
            raise QueryRefused(f"{name}: {_text(node)} is a floating point number; use decimals")
        if isinstance(node, exp.Sum) and node.this.type is not None and node.this.type.this in _WHOLE and not _under_cast(node):
            raise QueryRefused(f"{name}: {_text(node)} has another type in each engine; write CAST({_text(node)} AS bigint)")
        if isinstance(node, exp.Cast) and node.to.this in _WHOLE and node.this.type is not None and node.this.type.this == exp.DataType.Type.DECIMAL:
            raise QueryRefused(f"{name}: {_text(node)} rounds differently in each engine; keep the decimal")


def _faults(tree: exp.Expr) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, exp.Anonymous):
            if node.name.lower() not in HELPERS:
                yield f"the function {node.name} is not in the portable subset ({', '.join(sorted(HELPERS))} are the helpers)"
            elif not HELPERS[node.name.lower()].accepts(len(node.expressions)):
                yield f"{_text(node)} has {len(node.expressions)} arguments"
            continue
        if type(node) not in ALLOWED:
            kind = type(node).__name__
            yield f"{_text(node)} ({kind}) is not in the portable subset; {_REMEDIES.get(kind, 'see sql/README.md')}"
        if isinstance(node, exp.Literal) and not node.is_string and ("e" in node.name.lower() or not node.name.replace(".", "", 1).isdigit()):
            yield f"{node.name} is a floating point number; use decimals"
        if isinstance(node, exp.DataType) and isinstance(node.parent, exp.Cast) and _type(node) not in ARROW_TYPES:
            yield f"CAST to {_type(node)} is not in the portable subset; types are {', '.join(ARROW_TYPES)}"
        if isinstance(node, exp.Placeholder) and not (isinstance(node.parent, exp.Cast) and node.this):
            yield f"the parameter {_text(node)} has no type; write CAST({_text(node)} AS …)"
        if isinstance(node, exp.Limit) and not (node.parent and node.parent.args.get("order")):
            yield "LIMIT without ORDER BY gives any rows"
        if isinstance(node, exp.RowNumber | exp.Rank) and not (isinstance(node.parent, exp.Window) and node.parent.args.get("order")):
            yield f"{_text(node)} without ORDER BY gives any numbers"
        if isinstance(node, exp.Union) and node.args.get("distinct"):
            yield "UNION without ALL; write UNION ALL, or SELECT DISTINCT around it"
        if isinstance(node, exp.Table) and (node.db or node.catalog):
            yield f"{_text(node)} names a schema; relations have plain names"
        if isinstance(node, exp.Join) and (node.args.get("method") or (node.args.get("kind") or "").upper() not in ("", "INNER", "CROSS")):
            yield f"{_text(node)}: only inner, left, full and cross joins are in the portable subset"
    outer = tree
    while isinstance(outer, exp.Union):
        outer = outer.left
    if any(isinstance(column, exp.Star) or (isinstance(column, exp.Column) and isinstance(column.this, exp.Star)) for column in outer.selects):
        yield "the outermost SELECT names its columns; * is not allowed there"


def _under_cast(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Coalesce | exp.Paren | exp.Filter | exp.Window):
        parent = parent.parent
    return isinstance(parent, exp.Cast)


def _type(node: exp.DataType) -> str:
    return node.sql(dialect="trino").lower().replace(", ", ",")


def _text(node: exp.Expr) -> str:
    text = node.sql(dialect="trino")
    return text if len(text) <= 80 else text[:77] + "…"
