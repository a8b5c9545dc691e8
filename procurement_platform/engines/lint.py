"""The portable subset of SQL: what DuckDB and Trino do alike. Everything else is refused, by an allow-list over sqlglot's tree."""

from collections.abc import Callable, Iterator

from sqlglot import exp

from procurement_platform.engines.helpers import HELPERS
from procurement_platform.errors import QueryRefused
from procurement_platform.lake.tables import ARROW_TYPES

ALLOWED: frozenset[type[exp.Expr]] = frozenset(
    {
        *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Subquery),
        *(exp.With, exp.CTE, exp.Table, exp.TableAlias, exp.Union, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Paren),
        *(exp.Literal, exp.Null, exp.Boolean, exp.Placeholder, exp.Cast, exp.DataType, exp.DataTypeParam),
        *(exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Exists, exp.Between),
        *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ),
        *(exp.Add, exp.Sub, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Coalesce, exp.Substring, exp.Replace),
        *(exp.Sum, exp.Count, exp.Min, exp.Max, exp.Filter, exp.Distinct),
        *(exp.Window, exp.RowNumber, exp.Rank),
    }
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
_DIGITS = 18
_LONGEST = 80  # characters of SQL shown in a message


def lint(name: str, tree: exp.Expr) -> exp.Query:
    """The tree, when it is one query inside the portable subset; before names are resolved.

    Raises:
        QueryRefused: the first fault, with the text at fault and what to write instead.
    """
    if not isinstance(tree, exp.Select | exp.Union):
        raise QueryRefused(f"{name}: one SELECT is expected, not {type(tree).__name__.upper()}")
    fault = next(_faults(tree), None)
    if fault:
        raise QueryRefused(f"{name}: {fault}")
    return tree


def lint_types(name: str, tree: exp.Expr) -> None:
    """Refuse what only types tell: inexact numbers, sums of integers left to the engine, decimals cut to integers.

    Raises:
        QueryRefused: as `lint`.
    """
    for node in tree.find_all(exp.Expr):
        if _kind(node) in _INEXACT and not (isinstance(node, exp.Literal) and isinstance(node.parent, exp.Cast)):
            raise QueryRefused(f"{name}: {_text(node)} is no exact number to every engine; write CAST({_text(node)} AS decimal(…))")
        if isinstance(node, exp.Sum) and _kind(node.this) in _WHOLE and not _under_cast(node):
            raise QueryRefused(f"{name}: {_text(node)} has another type in each engine; write CAST({_text(node)} AS bigint)")
        if isinstance(node, exp.Add | exp.Sub) and all(_narrow(side) for side in (node.this, node.expression)):
            raise QueryRefused(
                f"{name}: {_text(node)} overflows at 18 digits in one engine alone; write CAST({_text(node.this)} AS decimal(38,…))"
            )
        if isinstance(node, exp.Cast) and node.to.this in _WHOLE and _kind(node.this) == exp.DataType.Type.DECIMAL:
            raise QueryRefused(f"{name}: {_text(node)} rounds differently in each engine; keep the decimal")


def _faults(tree: exp.Query) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, exp.Anonymous):
            check: Callable[[exp.Expr], str | None] | None = _call
        elif type(node) not in ALLOWED:
            kind = type(node).__name__
            yield f"{_text(node)} ({kind}) is not in the portable subset; {_REMEDIES.get(kind, 'see sql/README.md')}"
            continue
        else:
            check = _CHECKS.get(type(node))
        fault = check(node) if check else None
        if fault:
            yield fault
    if any(isinstance(column, exp.Star) or isinstance(column.this, exp.Star) for column in tree.selects):
        yield "the outermost SELECT names its columns; * is not allowed there"


def _call(node: exp.Expr) -> str | None:
    helper = HELPERS.get(node.name.lower())
    if helper is None:
        return f"the function {node.name} is not in the portable subset ({', '.join(sorted(HELPERS))} are the helpers)"
    return None if helper.accepts(len(node.expressions)) else f"{_text(node)} has {len(node.expressions)} arguments"


def _literal(node: exp.Expr) -> str | None:
    exact = node.is_string or node.name.replace(".", "", 1).isdigit()
    return None if exact else f"{node.name} is a floating point number; use decimals"


def _data_type(node: exp.Expr) -> str | None:
    name = node.sql(dialect="trino").lower().replace(", ", ",")
    return None if name in ARROW_TYPES else f"the type {name} is not in the portable subset; types are {', '.join(ARROW_TYPES)}"


def _placeholder(node: exp.Expr) -> str | None:
    typed = isinstance(node.parent, exp.Cast) and bool(node.this)
    return None if typed else f"the parameter {_text(node)} has no type; write CAST({_text(node)} AS …)"


def _limit(node: exp.Expr) -> str | None:
    return None if node.parent and node.parent.args.get("order") else "LIMIT without ORDER BY gives any rows"


def _ranking(node: exp.Expr) -> str | None:
    ordered = isinstance(node.parent, exp.Window) and node.parent.args.get("order")
    return None if ordered else f"{_text(node)} without ORDER BY gives any numbers"


def _union(node: exp.Expr) -> str | None:
    return "UNION without ALL; write UNION ALL, or SELECT DISTINCT around it" if node.args.get("distinct") else None


def _distinct(node: exp.Expr) -> str | None:
    return "DISTINCT ON keeps any row; use ROW_NUMBER() OVER (… ORDER BY …)" if node.args.get("on") else None


def _table(node: exp.Expr) -> str | None:
    return f"{_text(node)} names a schema; relations have plain names" if node.args.get("db") else None


def _join(node: exp.Expr) -> str | None:
    strange = node.args.get("method") or str(node.args.get("kind") or "").upper() not in ("", "INNER", "CROSS", "OUTER")
    return f"{_text(node)}: only inner, left, right, full and cross joins are in the portable subset" if strange else None


_CHECKS: dict[type[exp.Expr], Callable[[exp.Expr], str | None]] = {
    exp.Literal: _literal,
    exp.DataType: _data_type,
    exp.Placeholder: _placeholder,
    exp.Limit: _limit,
    exp.RowNumber: _ranking,
    exp.Rank: _ranking,
    exp.Union: _union,
    exp.Distinct: _distinct,
    exp.Table: _table,
    exp.Join: _join,
}


def _under_cast(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Coalesce | exp.Paren | exp.Filter | exp.Window):
        parent = parent.parent
    return isinstance(parent, exp.Cast)


def _kind(node: object) -> object:
    return node.type.this if isinstance(node, exp.Expr) and node.type is not None else None


def _narrow(node: exp.Expr) -> bool:
    """Whether it is a decimal of 18 digits at most: DuckDB keeps sums of two at 18 digits, Trino makes 19 of them."""
    if node.type is None or node.type.this != exp.DataType.Type.DECIMAL or node.find(exp.Sum):  # a sum has 38
        return False
    return not node.type.expressions or int(node.type.expressions[0].name) <= _DIGITS


def _text(node: exp.Expr) -> str:
    text = node.sql(dialect="trino")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
