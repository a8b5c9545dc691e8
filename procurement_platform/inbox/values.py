"""How a file's column becomes a field's exact value: which types are read as what, and in which words a value is shown."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import polars as pl

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.contracts import Field

CONTROL = r"[\x00-\x1f\x7f\u{80}-\u{9f}]"
SHOWN_CHARACTERS = 60

# Milliseconds of the years 1 to 9999: beyond them neither calendar arithmetic nor people can follow.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_A_MS = {"ms": 1, "us": 1000, "ns": 1_000_000}
_DAY_MS = 86_400_000
_LONG_DECIMAL = 38
_INSTANT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-5][0-9](?:\.[0-9]{1,6}0{0,3})?)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?$"
)


@dataclass(frozen=True)
class Reading:
    """How a field is read from a column of one file.

    `value` turns the file's column into the field's type, null where it cannot; `converts` says whether that may happen, and then the
    column as sent is kept under `source`, of the type `sent_as`. `absent` (nothing was sent), `text` and `shown` (the value in a
    reason) refer to `source`; `expected` says what would have been right.
    """

    field: Field
    column: str
    value: pl.Expr
    converts: bool
    expected: str = ""
    blank_is_absent: bool = False
    sent_as: pl.DataType | None = None

    @property
    def target(self) -> str:
        return f"={self.field.name}"

    @property
    def source(self) -> str:
        return f"?{self.field.name}" if self.converts else self.target

    @property
    def absent(self) -> pl.Expr:
        source = pl.col(self.source)
        return source.is_null() | (source.str.strip_chars() == "") if self.blank_is_absent else source.is_null()

    @property
    def text(self) -> pl.Expr:
        return as_text(pl.col(self.source), self.sent_as)

    def shown(self, zone: str) -> pl.Expr:
        if self.field.kind == "instant" and not self.converts:
            return local_time(pl.col(self.source), zone)
        return shown(self.text)


def reading(field: Field, column: str, dtype: pl.DataType, zone: str) -> Reading:
    """How to read a field from a column of this type; `zone` is where times without an offset are.

    Raises:
        InvalidFile: the type has no exact meaning for the field (floats for decimals, plain numbers for instants, …).
    """
    source = pl.col(column)
    if dtype == pl.Null:
        return Reading(field, column, source.cast(typed(field)), converts=False)
    if dtype == pl.Categorical or isinstance(dtype, pl.Enum):
        source, dtype = source.cast(pl.String), pl.String()
    value, expected, remedy = _KINDS[field.kind](field, source, dtype, zone)
    if value is None:
        raise InvalidFile(f"has the column {column[:80]} of the type {_in_words(dtype)}: {remedy}")
    # Where the value is the column itself or a cast that always succeeds, nothing needs to be kept to tell what was sent.
    converts = field.kind != "text" and dtype != typed(field) and not (isinstance(dtype, pl.Datetime) and _plain(dtype))
    return Reading(field, column, value, converts, expected, field.kind == "text" or dtype == pl.String, dtype)


def shown(text: pl.Expr) -> pl.Expr:
    """A text as it stands in a reason: short, in one line; in quotes where it has blanks that nobody would see."""
    clean = text.str.replace_all(CONTROL, "\N{REPLACEMENT CHARACTER}")
    clean = pl.when(clean == clean.str.strip_chars()).then(clean).otherwise(pl.concat_str(pl.lit("'"), clean, pl.lit("'")))
    cut = pl.concat_str(clean.str.slice(0, SHOWN_CHARACTERS), pl.lit("…"))
    return pl.when(clean.str.len_chars() > SHOWN_CHARACTERS).then(cut).otherwise(clean).fill_null("nothing")


def local_time(micros: pl.Expr, zone: str) -> pl.Expr:
    """UTC microseconds as local time with its offset, in words."""
    ordinary = micros.is_between(_FIRST_MS * 1000, _LAST_MS * 1000)
    local = pl.from_epoch(pl.when(ordinary).then(micros), time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return pl.when(ordinary).then(local.dt.to_string("%Y-%m-%dT%H:%M:%S%:z")).otherwise(micros.cast(pl.String)).fill_null("nothing")


def as_text(column: pl.Expr, dtype: pl.DataType | None) -> pl.Expr:
    """A column's values as text. A date or timestamp that no calendar holds is the number that was sent: polars would fail on it."""
    if isinstance(dtype, pl.Time):
        return column.dt.to_string("iso")
    if not isinstance(dtype, pl.Datetime | pl.Date):
        return column.cast(pl.String)
    number, first, last = column.to_physical(), _FIRST_MS, _LAST_MS
    if isinstance(dtype, pl.Datetime):
        first, last = first * _A_MS[dtype.time_unit], last * _A_MS[dtype.time_unit]
    else:
        first, last = first // _DAY_MS, last // _DAY_MS
    ordinary = number.is_between(first, last)
    return pl.when(ordinary).then(pl.when(ordinary).then(column).dt.to_string("iso")).otherwise(number.cast(pl.String))


def day_start_us(day: dt.date, zone: str) -> int:
    """When a day begins in a zone, in UTC microseconds; where clocks skip midnight, at the first moment after it."""
    start = dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    return (start - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def typed(field: Field) -> pl.DataType:
    """The type a field's values have here; instants are UTC microseconds."""
    match field.kind:
        case "text":
            return pl.String()
        case "integer":
            return pl.Int32()
        case "decimal":
            return pl.Decimal(field.precision, field.scale)
        case "instant":
            return pl.Int64()


def _text(_: Field, source: pl.Expr, dtype: pl.DataType, __: str) -> tuple[pl.Expr | None, str, str]:
    value = source if dtype == pl.String else source.cast(pl.String) if dtype.is_integer() else None
    return value, "text", "send it as text"


def _integer(_: Field, source: pl.Expr, dtype: pl.DataType, __: str) -> tuple[pl.Expr | None, str, str]:
    value: pl.Expr | None = None
    if dtype.is_integer():
        value = source if dtype == pl.Int32 else source.cast(pl.Int32, strict=False)
    elif dtype == pl.String:
        value = pl.when(source.str.contains(r"^\s*-?[0-9]{1,9}\s*$")).then(source.str.strip_chars().cast(pl.Int32, strict=False))
    return value, "a whole number of at most 9 digits", "send it as a whole number"


def _decimal(field: Field, source: pl.Expr, dtype: pl.DataType, _: str) -> tuple[pl.Expr | None, str, str]:
    exact, whole = typed(field), field.precision - field.scale
    value: pl.Expr | None = None
    if dtype == exact:
        value = source
    elif dtype.is_integer():
        value = source.cast(exact, strict=False)
    elif isinstance(dtype, pl.Decimal):
        value = source.cast(exact, strict=False)
        if dtype.scale > field.scale:  # only where no digit is lost
            wide = pl.Decimal(_LONG_DECIMAL, dtype.scale)
            value = pl.when(value.cast(wide, strict=False) == source.cast(wide)).then(value)
    elif dtype == pl.String:
        # Digits beyond the scale are zeros, so that nothing is rounded.
        digits = rf"^\s*-?0*[0-9]{{1,{whole}}}(?:\.[0-9]{{1,{field.scale}}}0*)?\s*$"
        value = pl.when(source.str.contains(digits)).then(source.str.strip_chars().cast(exact, strict=False))
    return (
        value,
        f"a plain number with at most {whole} digits before and {field.scale} after the decimal point",
        f"send decimal({field.precision},{field.scale}), a whole number or text: floating point is not exact",
    )


def _instant(_: Field, source: pl.Expr, dtype: pl.DataType, zone: str) -> tuple[pl.Expr | None, str, str]:
    value: pl.Expr | None = None
    if isinstance(dtype, pl.Datetime):
        value = _micros(source, dtype, zone)
    elif dtype == pl.String:
        value = _parsed(source, zone)
    return (
        value,
        f"a time such as 2025-12-20T14:03:00+01:00, or without an offset one that exists in {zone}",
        "send a timestamp (Avro: timestamp-micros or -millis) or ISO 8601 text",
    )


_KINDS = {"text": _text, "integer": _integer, "decimal": _decimal, "instant": _instant}


def _plain(dtype: pl.Datetime) -> bool:
    """Whether every value of the type is an instant."""
    return dtype.time_zone is not None and dtype.time_unit != "ms"


def _micros(source: pl.Expr, dtype: pl.Datetime, zone: str) -> pl.Expr:
    """UTC microseconds of timestamps. Without a zone they are the market's own time.

    Of an hour that comes twice, when clocks go back, the first is meant; a time that is skipped, when they go forward, is null.
    """
    if dtype.time_unit == "ms":
        source = pl.when(source.to_physical().is_between(_FIRST_MS, _LAST_MS)).then(source)
    if dtype.time_zone is None:
        within = source.dt.cast_time_unit("us")
        ordinary = within.to_physical().is_between(_FIRST_MS * 1000, _LAST_MS * 1000)
        source = pl.when(ordinary).then(within).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return source.dt.cast_time_unit("us").to_physical()


def _parsed(source: pl.Expr, zone: str) -> pl.Expr:
    """UTC microseconds of ISO 8601 text, null where it is none."""
    return source.map_batches(lambda texts: _parse(texts, zone), return_dtype=pl.Int64())


def _parse(texts: pl.Series, zone: str) -> pl.Series:
    # Step by step on purpose: as one expression each step would be computed once for every time it is named.
    text, offset, moment = pl.col("text"), pl.col("offset"), pl.col("moment")
    frame = pl.DataFrame({"text": texts.str.strip_chars().str.to_uppercase()})
    frame = frame.select(pl.when(text.str.contains(_INSTANT)).then(text))
    frame = frame.with_columns(
        pl.when(text.str.ends_with("Z"))
        .then(pl.lit("Z"))
        .when(text.str.slice(-6, 1).is_in(["+", "-"]))
        .then(text.str.slice(-6))
        .when(text.str.slice(-5, 1).is_in(["+", "-"]))
        .then(text.str.slice(-5))
        .when(text.str.slice(-3, 1).is_in(["+", "-"]))
        .then(text.str.slice(-3))
        .alias("offset")
    )
    time = text.str.slice(11, text.str.len_bytes() - 11 - offset.str.len_bytes().fill_null(0))
    frame = frame.with_columns(time.alias("time"))
    seconds = pl.when(pl.col("time").str.len_bytes() == len("14:03")).then(pl.lit(":00")).otherwise(pl.lit(""))
    whole = pl.concat_str(text.str.slice(0, 10), pl.lit("T"), pl.col("time"), seconds)
    frame = frame.select("offset", whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).alias("moment"))
    hours, minutes = (part.cast(pl.Int64, strict=False) for part in (offset.str.slice(1, 2), offset.str.slice(3).str.strip_prefix(":")))
    east = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1) * (hours * 60 + minutes.fill_null(0))
    shift = pl.when(offset == "Z").then(0).otherwise(east) * 60_000_000
    if frame["offset"].null_count() == 0:
        return frame.select(moment.to_physical() - shift).to_series()
    local = _micros(moment, pl.Datetime("us"), zone)
    return frame.select(pl.when(offset.is_null()).then(local).otherwise(moment.to_physical() - shift)).to_series()


def _in_words(dtype: pl.DataType) -> str:
    names = {"Float32": "float", "Float64": "double", "Binary": "bytes", "Int64": "long", "Int32": "int"}
    text = str(dtype)
    return names.get(text, text.lower() if len(text) < 40 else text.split("(", maxsplit=1)[0].lower())  # noqa: PLR2004  a nested type's name grows long
