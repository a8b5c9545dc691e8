"""What of an Avro schema polars reads: plain fields, each of one type or of it and null, and the schema that holds them alone.

A value may be anything its bytes can say, whatever its logical type promises: a date of the year 5,000,000, a decimal(4,1) of 30 digits.
So decimals are read with as many digits as polars has room for; `LARGEST` and its negative are the last of them.
"""

import io
from collections.abc import Mapping
from typing import Any

import polars as pl

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.container import Header, encode_header
from procurement_platform.texts import shorten

WIDTHS = {"boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}  # the least bytes of a value
DECIMAL_BYTES = 16  # that polars has for a decimal
_MAX_PRECISION = 38
LARGEST = 10**_MAX_PRECISION - 1
_LOGICAL = {
    *(("int", name) for name in ("date", "time-millis")),
    *(("long", f"{local}timestamp-{unit}") for local in ("", "local-") for unit in ("millis", "micros")),
    ("long", "time-micros"),
}


def flat(declared: Any) -> Any:
    """A field's type as polars reads it; None where it does not: nested, maps, wide unions, references, decimals it has no room for."""
    if not isinstance(declared, list):
        return _plain(declared)
    types = [branch if branch == "null" else _plain(branch) for branch in declared]
    return types if len(types) == 2 and types.count("null") == 1 and None not in types else None  # noqa: PLR2004  null and another


def value_type(declared: Any) -> Any:
    """The type of a flat field's values that are not null."""
    return next(branch for branch in declared if branch != "null") if isinstance(declared, list) else declared


def width(branch: Any) -> int:
    """The least bytes that a value of a flat type takes."""
    name = branch["type"] if isinstance(branch, dict) else branch
    return int(branch["size"]) if name == "fixed" else WIDTHS.get(name, 1)


def record(types: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of rows with these fields."""
    return {"type": "record", "name": "Row", "fields": [{"name": name, "type": declared} for name, declared in types.items()]}


def head(types: Mapping[str, Any], sync: bytes) -> bytes:
    """The header of a container of rows with these fields."""
    return encode_header(Header(record(types), "null", sync))


def dtypes(head: bytes) -> dict[str, pl.DataType]:
    """What polars makes of the columns of a container with this header.

    Raises:
        InvalidFile: polars cannot read its schema.
    """
    try:
        return dict(pl.read_avro(io.BytesIO(head)).schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise InvalidFile(f"has an Avro schema that cannot be read: {shorten(str(problem), 200)}") from problem


def is_decimal(declared: Any) -> bool:
    """Whether a flat field's values are decimals."""
    branch = value_type(declared)
    return isinstance(branch, dict) and branch.get("logicalType") == "decimal"


def bare(schema: Any, instead: Mapping[str, str] | None = None) -> Any:
    """A schema without its logical types, at any depth, or with others `instead`."""
    if isinstance(schema, list):
        return [bare(each, instead) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "logicalType"}
    logical = schema.get("logicalType")
    if instead and isinstance(logical, str) and logical in instead:
        kept["logicalType"] = instead[logical]
    return kept | {key: bare(kept[key], instead) for key in ("type", "items", "values", "fields") if key in kept}


def decimal_digits(branch: Mapping[str, Any]) -> tuple[int, int] | None:
    """Precision and scale of a decimal, None where they are none: then it is bytes, as the specification says."""
    precision, scale = branch.get("precision"), branch.get("scale", 0)
    if branch.get("logicalType") != "decimal" or type(precision) is not int or type(scale) is not int:
        return None
    return (precision, scale) if 0 <= scale <= precision and precision > 0 else None


def _plain(branch: Any) -> Any:
    """A type that polars reads, without a logical type that it does not."""
    if not isinstance(branch, dict):
        return branch if isinstance(branch, str) and branch in WIDTHS else None
    name, size, logical = branch.get("type"), branch.get("size"), branch.get("logicalType")
    plain = {key: branch[key] for key in ("type", "name", "namespace", "size", "symbols") if key in branch}
    if name == "enum":
        return plain if branch.get("symbols") else None
    sized = name == "fixed" and type(size) is int and size > 0
    if not sized and not (isinstance(name, str) and name in WIDTHS):
        return None
    if name in ("bytes", "fixed") and (digits := decimal_digits(branch)) is not None:
        precision, scale = digits
        fits = precision <= _MAX_PRECISION and (not sized or branch["size"] <= DECIMAL_BYTES)
        return {**plain, "logicalType": "decimal", "precision": _MAX_PRECISION, "scale": scale} if fits else None
    return {**plain, "logicalType": logical} if isinstance(logical, str) and (name, logical) in _LOGICAL else plain
