"""The contract, row by row: typed values, and for each row that breaks a rule the reasons in words.

Whole columns at a time: a cheap look says whether any row of a batch could break a field's rules; only then are they evaluated, and words
are made for bad rows alone.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import polars as pl

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.contracts import Contract, Field
from procurement_platform.inbox.decoders import Batch
from procurement_platform.inbox.task import DecodeTask
from procurement_platform.inbox.values import CONTROL, Reading, day_start_us, reading, typed
from procurement_platform.texts import first_few

INVALID_ROW, UNKNOWN_PRODUCT = "INVALID_ROW", "UNKNOWN_PRODUCT"
_FIRST_NON_BLANK = "!"  # every text that is empty or begins with a blank or an ASCII control character sorts before it
_FIRST_NON_ASCII = "\u0080"
# What pads a text to a column's width; line ends and tabs do not: they are control characters.
_BLANKS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_CONTROL_OR_PADDED = f"{CONTROL}|[{_BLANKS}]$"


@dataclass(frozen=True)
class Rule:
    """Where a field breaks a rule, and the reason in words; `name` is the rule's name in reports."""

    breaks: pl.Expr
    reason: pl.Expr
    name: str = INVALID_ROW


@dataclass(frozen=True)
class Checked:
    """A batch after the contract: `lines` has `row_number` and a column per field; `quarantine` what its table holds of a row.

    `quarantine` comes in parts, each made when it is asked for: rows as they were sent may be long.
    `own_market` counts the rows that name the file's market, `other_market` those that name another; `other` is the first such name.
    """

    lines: pl.DataFrame
    quarantine: Iterator[pl.DataFrame]
    own_market: int
    other_market: int
    other: str | None = None


class Checker:
    """Holds the rows of one file to its feed's contract. `products` are the SKUs that are active on the run date.

    Raises:
        InvalidFile: the file lacks a required column, or has one of a type that cannot be read exactly.
    """

    def __init__(self, contract: Contract, schema: Mapping[str, pl.DataType], task: DecodeTask, products: pl.Series) -> None:
        self.contract = contract
        self.columns = contract.match(schema)
        self._task = task
        self._products = products.implode()
        missing = [each.name for each in contract.fields if not each.optional and each.name not in self.columns]
        if missing:
            found = ", ".join(name[:40] for name in list(schema)[:20]) or "none"
            columns = "column" if len(missing) == 1 else "columns"
            raise InvalidFile(f"lacks the {columns} {', '.join(missing)} (it has: {found}); send every required column")
        fields = [each for each in contract.fields if each.name in self.columns]
        self._readings = {
            each.name: reading(each, self.columns[each.name], schema[self.columns[each.name]], task.timezone) for each in fields
        }
        self._looks = {name: self._look(each) for name, each in self._readings.items()}
        self._rules: dict[str, list[Rule]] = {}  # made when first needed: of most files most fields never are
        self.notes = self._notes(schema)

    def check(self, batch: Batch) -> Checked:
        """Splits a batch into typed lines and quarantined rows."""
        readings = self._readings.values()
        frame = batch.frame.select(
            batch.row_numbers.alias("row_number"),
            *(each.value.alias(each.target) for each in readings),
            *(pl.col(each.column).alias(each.source) for each in readings if each.converts),
        )
        suspects = frame.select(look.any().alias(name) for name, look in self._looks.items()).row(0, named=True)
        frame = frame.with_columns(
            self._tidy(each) for name, each in self._readings.items() if suspects[name] and each.field.kind == "text"
        )
        rules = [(name, rule) for name, each in self._readings.items() if suspects[name] for rule in self._rules_of(each)]
        broken = self._broken(batch)
        if not rules:
            return Checked(self._lines(frame), iter([broken]), frame.height, 0)
        flags = [f"!{index}" for index in range(len(rules))]
        frame = frame.with_columns(rule.breaks.fill_null(value=False).alias(flag) for flag, (_, rule) in zip(flags, rules, strict=True))
        bad = frame.select(pl.any_horizontal(flags).alias("bad")).to_series()
        if not bad.any():
            return Checked(self._lines(frame), iter([broken]), frame.height, 0)
        flagged = [(flag, name, rule) for flag, (name, rule) in zip(flags, rules, strict=True)]
        # The market's own rule is the last of its field's.
        market = [flag for flag, name, _ in flagged if name == self.contract.market.name][-1:]
        named = frame[self._readings[self.contract.market.name].target]
        return Checked(
            self._lines(frame.filter(~bad)),
            self._quarantine(frame.filter(bad), flagged, batch, bad.arg_true(), broken),
            int((named == self._task.market).sum()) if market else frame.height,
            int(frame[market[0]].sum()) if market else 0,
            next(iter(named.filter(frame[market[0]]).head(1)), None) if market else None,
        )

    def _lines(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select("row_number", *(self._line_column(each) for each in self.contract.fields))

    def _line_column(self, field: Field) -> pl.Expr:
        if field.name not in self._readings:
            return pl.lit(None, dtype=typed(field)).alias(field.column)
        return pl.col(self._readings[field.name].target).alias(field.column)

    def _tidy(self, each: Reading) -> pl.Expr:
        """A text without what pads it, unless it is a code, which has to be exact; an optional one that is blank was not sent."""
        value = pl.col(each.target)
        tidy = value if each.field.is_code else value.str.strip_chars(_BLANKS)
        return (pl.when(value.str.strip_chars() != "").then(tidy) if each.field.optional else tidy).alias(each.target)

    def _quarantine(
        self, bad: pl.DataFrame, flagged: list[tuple[str, str, Rule]], batch: Batch, positions: pl.Series, broken: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """The bad rows and those that could not be read, in their order."""
        at = 0
        for sent in batch.sent(positions):
            rows = self._rejected(bad.slice(at, len(sent)), flagged, sent)
            at += len(sent)
            before = int(broken["row_number"].search_sorted(rows["row_number"][-1]))
            yield pl.concat([rows, broken.head(before)]).sort("row_number") if before else rows
            broken = broken.slice(before)
        yield broken

    def _rejected(self, bad: pl.DataFrame, flagged: list[tuple[str, str, Rule]], sent: pl.Series) -> pl.DataFrame:
        invalid = [flag for flag, _, rule in flagged if rule.name == INVALID_ROW]
        return bad.select(
            "row_number",
            pl.when(pl.any_horizontal(invalid) if invalid else pl.lit(value=False))
            .then(pl.lit(INVALID_ROW))
            .otherwise(pl.lit(UNKNOWN_PRODUCT))
            .alias("rule"),
            pl.concat_str((pl.when(pl.col(flag)).then(rule.reason) for flag, _, rule in flagged), separator="; ", ignore_nulls=True).alias(
                "reasons"
            ),
            self._where_valid(self.contract.sku, invalid, flagged).alias("sku"),
            self._where_valid(self.contract.measure, invalid, flagged).alias("quantity"),
            sent.alias("row"),
        )

    def _where_valid(self, field: Field, invalid: list[str], flagged: list[tuple[str, str, Rule]]) -> pl.Expr:
        flags = [flag for flag, name, _ in flagged if name == field.name and flag in invalid]
        value = pl.col(self._readings[field.name].target)
        return pl.when(~pl.any_horizontal(flags)).then(value) if flags else value

    def _broken(self, batch: Batch) -> pl.DataFrame:
        # Cells may have slipped in a row that is broken: only what is a product is taken for one.
        sku = pl.Series([each.cells.get(self.columns[self.contract.sku.name]) for each in batch.broken], dtype=pl.String)
        return pl.DataFrame(
            {
                "row_number": [each.row_number for each in batch.broken],
                "rule": [INVALID_ROW] * len(batch.broken),
                "reasons": [each.reason for each in batch.broken],
                "sku": sku.set(~sku.is_in(self._products), None),
                "quantity": [None] * len(batch.broken),
                "row": [each.sent for each in batch.broken],
            },
            schema={
                "row_number": pl.Int64,
                "rule": pl.String,
                "reasons": pl.String,
                "sku": pl.String,
                "quantity": typed(self.contract.measure),
                "row": pl.String,
            },
        )

    def _look(self, each: Reading) -> pl.Expr:
        """True wherever a field may break one of its rules: never false where it does, and cheap."""
        field, value = each.field, pl.col(each.target)
        if field.role == "market":
            return value.ne_missing(self._task.market)
        if field.role == "sku":
            return ~value.is_in(self._products) | value.is_null()
        if field.kind == "text":
            if field.pattern:
                first = value.first()
                return value.ne_missing(first) | ~first.str.contains(f"^(?:{field.pattern})$")
            odd = (value < _FIRST_NON_BLANK) | (value >= _FIRST_NON_ASCII) | (value.str.len_bytes() > self._task.limits.max_cell_characters)
            look = odd | value.str.contains(_CONTROL_OR_PADDED)
        else:
            look = pl.lit(value=False)
            for breaks, _ in self._bounds(each):
                look = look | breaks
            if each.converts:
                look = look | (value.is_null() & pl.col(each.source).is_not_null())
        return look if field.optional else look | value.is_null()

    def _rules_of(self, each: Reading) -> list[Rule]:
        if each.field.name not in self._rules:
            self._rules[each.field.name] = list(self._made_rules(each))
        return self._rules[each.field.name]

    def _made_rules(self, each: Reading) -> Iterator[Rule]:
        field, limits, value = each.field, self._task.limits, pl.col(each.target)
        words = each.shown(self._task.timezone)
        if not field.optional:
            total = ", or remove the row if it holds a total" if field.role in ("market", "sku") else ""
            yield Rule(each.absent, pl.lit(f"{field.name} is empty: send it in every row{total}"))
        there = ~each.absent
        if field.kind != "text":
            if each.converts:
                expected = _decimal_expected(each) if field.kind == "decimal" else pl.lit(each.expected)
                yield Rule(there & value.is_null(), pl.concat_str(pl.lit(f"{field.name} "), words, pl.lit(" is not "), expected))
            for breaks, told in self._bounds(each):
                yield Rule(breaks, pl.concat_str(pl.lit(f"{field.name} "), words, pl.lit(told)))
            return
        length = value.str.len_chars()
        longer = there & (length > limits.max_cell_characters)
        yield Rule(
            longer,
            pl.concat_str(
                pl.lit(f"{field.name} has "),
                length.cast(pl.String),
                pl.lit(f" characters, more than {limits.max_cell_characters}: send the {field.name} alone"),
            ),
        )
        control = there & value.str.contains(CONTROL)
        yield Rule(control, pl.concat_str(pl.lit(f"{field.name} "), words, pl.lit(" holds control characters: send plain text")))
        fine = there & ~longer & ~control
        if field.pattern:
            told = f" is not of the form {field.pattern}: {field.remedy or 'send it so'}"
            yield Rule(fine & ~value.str.contains(f"^(?:{field.pattern})$"), pl.concat_str(pl.lit(f"{field.name} "), words, pl.lit(told)))
        if field.role == "market":
            told = (
                f", and the file is for {self._task.market}: write {self._task.market}, remove the row if it holds a total, "
                "or send the other market's rows in a file of its own"
            )
            yield Rule(fine & (value != self._task.market), pl.concat_str(pl.lit(f"{field.name} is "), words, pl.lit(told)))
        if field.role == "sku":
            told = f" is not an active product on {self._task.run_date}"
            remedy = f": correct the {field.name}, or load the product and run the day with --refresh-reference"
            meant = value.map_batches(self._meant, return_dtype=pl.String())
            meant = pl.concat_str(pl.lit(" ("), meant, pl.lit(" is)")).fill_null("")
            reason = pl.concat_str(words, pl.lit(told), meant, pl.lit(remedy))
            yield Rule(fine & ~value.is_in(self._products), reason, UNKNOWN_PRODUCT)

    def _meant(self, skus: pl.Series) -> pl.Series:
        """The products whose codes a spreadsheet or an export has made into these: no zeros in front, blanks around, another case."""
        bare = _bare(skus)
        meant = dict(self._by_bare.filter(pl.col("bare").is_in(bare.unique().implode())).iter_rows())
        return pl.Series([meant.get(each) for each in bare], dtype=pl.String)

    @cached_property
    def _by_bare(self) -> pl.DataFrame:
        products = self._products.explode()
        return pl.DataFrame({"bare": _bare(products), "sku": products}).unique("bare", keep="none")  # of several none is guessed at

    def _bounds(self, each: Reading) -> Iterator[tuple[pl.Expr, str]]:
        """The bounds of a number or an instant: where they are passed, and in which words."""
        field, limits, value = each.field, self._task.limits, pl.col(each.target)
        remedy = f": {field.remedy}" if field.remedy else ""
        if field.above is not None:
            yield value <= _exact(field.above, field), f" is not above {field.above}{remedy}"
        if field.at_least is not None:
            yield value < _exact(field.at_least, field), f" is below {field.at_least}{remedy}"
        if field.limit is not None:
            limit = limits.named(field.limit)
            yield (
                value > _exact(Decimal(limit), field),
                f" is more than {limit}, the largest that is taken (PROCUREMENT_{field.limit.upper()}){remedy}",
            )
        if field.window is not None:
            first = self._task.run_date - dt.timedelta(days=limits.named(field.window))
            start, end = (
                day_start_us(first, self._task.timezone),
                day_start_us(self._task.run_date + dt.timedelta(days=1), self._task.timezone),
            )
            yield (value < start) | (value >= end), f" is outside {first} … {self._task.run_date} ({self._task.timezone}){remedy}"

    def _notes(self, schema: Mapping[str, pl.DataType]) -> tuple[str, ...]:
        """What people are told about the columns: those kept out, and those found under another name."""
        taken = set(self.columns.values())
        extra = [name for name in schema if name not in taken]
        renamed = [f"{column!r} as {name}" for name, column in self.columns.items() if column != name]
        notes = []
        if extra:
            notes.append(f"columns kept out: {first_few([repr(name[:40]) for name in extra], 20)}")
        if renamed:
            notes.append(f"columns read: {', '.join(renamed)}")
        return tuple(notes)


def _decimal_expected(each: Reading) -> pl.Expr:
    """What is said to be expected of a decimal. A comma before three digits parts thousands in some countries, decimals in others."""
    text = each.text.str.strip_chars()
    either = pl.concat_str(
        pl.lit("a number: write "),
        text.str.replace_all(",", "", literal=True),
        pl.lit(" where the comma parts thousands, or "),
        text.str.replace(",", ".", literal=True),
        pl.lit(" where it is the decimal comma"),
    )
    return (
        pl.when(text.str.contains(r"^-?[1-9]\d{0,2},\d{3}$"))
        .then(either)
        .when(text.str.contains(r"^-?\d+,\d+$"))
        .then(pl.lit("a number: write a decimal point, as in 1.5"))
        .otherwise(pl.lit(each.expected))
    )


def _exact(bound: Decimal, field: Field) -> pl.Expr:
    return pl.lit(bound).cast(pl.Decimal(field.precision, field.scale))


def _bare(skus: pl.Series) -> pl.Series:
    return skus.str.strip_chars(_BLANKS).str.strip_chars_start("0").str.to_lowercase()
