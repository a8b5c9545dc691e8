"""Functions the SQL files may call that no engine has: each is written once per engine, so that both give the same value.

DuckDB types decimal(18,3) × decimal(18,4) as decimal(18,7), which overflows; Trino types it decimal(36,7), which holds every product
(https://trino.io/docs/current/functions/decimal.html). A cast to a smaller scale rounds half away from zero in both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

Dialect = Literal["duckdb", "trino"]
Arguments = list[exp.Expr]

QUANTITY, PRICE, PRODUCT, MONEY = "decimal(38,3)", "decimal(38,4)", "decimal(18,7)", "decimal(38,4)"
# Below these limits a product fits decimal(18,7), and DuckDB multiplies in 64 bits: eight times faster than in 128.
SMALL_QUANTITY, SMALL_PRICE = "100000", "1000000"


@dataclass(frozen=True)
class Helper:
    """A helper: how many arguments it takes (`most` None: any number), and how each engine writes it."""

    least: int
    most: int | None
    expand: Callable[[Dialect, Arguments], exp.Expr]

    def accepts(self, arguments: int) -> bool:
        return self.least <= arguments and (self.most is None or arguments <= self.most)


def _multiply_money(dialect: Dialect, arguments: Arguments) -> exp.Expr:
    """Quantity × price, rounded half up to 4 places: decimal(38,4)."""
    quantity, price = arguments
    if dialect == "duckdb":
        quantity, price = _cast(quantity, QUANTITY), _cast(price, PRICE)
    return _cast(exp.Mul(this=_wrapped(quantity), expression=_wrapped(price)), MONEY)


def _sum_money(dialect: Dialect, arguments: Arguments) -> exp.Expr:
    """The sum of quantity × price, each product rounded half up to 4 places: decimal(38,4), 0 where there is none."""
    product = _multiply_money(dialect, [a.copy() for a in arguments])
    if dialect == "trino":
        return exp.Coalesce(this=exp.Sum(this=product), expressions=[_zero()])
    quantity, price = arguments
    small = exp.and_(*(_within(side.copy(), limit) for side, limit in ((quantity, SMALL_QUANTITY), (price, SMALL_PRICE))))
    narrow = exp.Mul(this=_wrapped(quantity.copy()), expression=_wrapped(price.copy()))
    fast = exp.case().when(small, _cast(_cast(narrow, PRODUCT), "decimal(18,4)"))
    slow = exp.case().when(exp.not_(exp.paren(small.copy())), product)
    sums = [exp.Coalesce(this=exp.Sum(this=part), expressions=[_zero()]) for part in (fast, slow)]
    return _cast(exp.Add(this=sums[0], expression=sums[1]), MONEY)


def _key_hash(dialect: Dialect, arguments: Arguments) -> exp.Expr:
    """64 bits of a key, NULL counted as a value. Finds candidates: its values differ by engine and version, and may collide."""
    if dialect == "duckdb":
        return exp.Anonymous(this="hash", expressions=arguments)
    texts: Arguments = [exp.Coalesce(this=_cast(argument, "varchar"), expressions=[exp.Literal.string("\x1e")]) for argument in arguments]
    joined = texts[0]
    for text in texts[1:]:
        joined = exp.DPipe(this=exp.DPipe(this=joined, expression=exp.Literal.string("\x1f")), expression=text)
    octets = exp.Anonymous(this="to_utf8", expressions=[joined])
    return exp.Anonymous(this="from_big_endian_64", expressions=[exp.Anonymous(this="xxhash64", expressions=[octets])])


def _round_up(_dialect: Dialect, arguments: Arguments) -> exp.Expr:
    """The least multiple of pack that is at least quantity; pack > 0: decimal(38,3). By remainder: division is not exact."""
    quantity, pack = (_cast(argument, QUANTITY) for argument in arguments)
    remainder = exp.Mod(this=_wrapped(quantity), expression=_wrapped(pack))
    missing = exp.case().when(exp.EQ(this=exp.paren(remainder), expression=exp.Literal.number(0)), exp.Literal.number(0))
    missing = missing.else_(exp.Sub(this=_wrapped(pack.copy()), expression=exp.paren(remainder.copy())))
    return exp.paren(exp.Add(this=_wrapped(quantity.copy()), expression=missing))


def _add_days(dialect: Dialect, arguments: Arguments) -> exp.Expr:
    """The date so many days later: a date."""
    day, days = arguments
    if dialect == "duckdb":
        return _cast(exp.paren(exp.Add(this=_wrapped(day), expression=_cast(days, "integer"))), "date")
    return _cast(exp.Anonymous(this="date_add", expressions=[exp.Literal.string("day"), days, day]), "date")


def _shorten(_dialect: Dialect, arguments: Arguments) -> exp.Expr:
    """The text, or as many of its words as so many characters hold with an ellipsis after them, as `texts.shorten`."""
    text, limit = arguments
    start = exp.Substring(this=text.copy(), start=exp.Literal.number(1), length=limit.copy())
    words = exp.Anonymous(this="regexp_replace", expressions=[start, exp.Literal.string(" +[^ ]*$"), exp.Literal.string("")])
    none = exp.EQ(this=words, expression=exp.Literal.string(""))
    source = exp.case().when(none, text.copy()).else_(words.copy())
    room = exp.Sub(this=limit.copy(), expression=exp.Literal.number(1))
    kept = exp.Substring(this=source, start=exp.Literal.number(1), length=room)
    fits = exp.LTE(this=exp.Length(this=text.copy()), expression=limit.copy())
    whole = exp.case().when(fits, text).else_(exp.DPipe(this=exp.paren(kept), expression=exp.Literal.string("…")))
    return _cast(whole, "varchar")


def _within(side: exp.Expr, limit: str) -> exp.Expr:
    below = exp.LT(this=_wrapped(side), expression=exp.Literal.number(limit))
    return exp.and_(below, exp.GT(this=_wrapped(side.copy()), expression=exp.Neg(this=exp.Literal.number(limit))))


def _cast(node: exp.Expr, to: str) -> exp.Cast:
    # Not exp.cast: that leaves out a cast to the same type of another scale.
    return exp.Cast(this=node, to=exp.DataType.build(to, dialect="trino"))


def _zero() -> exp.Expr:
    return _cast(exp.Literal.number(0), MONEY)


def _wrapped(node: exp.Expr) -> exp.Expr:
    return node if isinstance(node, exp.Column | exp.Cast | exp.Paren | exp.Literal) else exp.paren(node)


HELPERS = {
    "multiply_money": Helper(2, 2, _multiply_money),
    "sum_money": Helper(2, 2, _sum_money),
    "key_hash": Helper(1, None, _key_hash),
    "round_up": Helper(2, 2, _round_up),
    "add_days": Helper(2, 2, _add_days),
    "shorten": Helper(2, 2, _shorten),
}


def expand(tree: exp.Query, dialect: Dialect) -> None:
    """Replaces every call of a helper by the engine's own words, the innermost first."""
    for call in reversed(list(tree.find_all(exp.Anonymous))):
        helper = HELPERS.get(call.name.lower())
        if helper:
            call.replace(helper.expand(dialect, [argument.copy() for argument in call.expressions]))
