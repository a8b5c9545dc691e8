"""How the Avro files of a day are read together: one reader's schema for a table's columns, which the files' own schemas must fit.

Measured with Trino 476: it takes a file's field by the reader's name for it, letter case included; a field that a file does not have is
NULL; an alias is not looked at; a decimal of another scale, and a time of another unit, come out as other values without an error; a
field of another type fails the query. So a column that a day's files do not agree on is shown empty for that day, and said to be.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from procurement_platform.errors import ProcurementError
from procurement_platform.inbox.contracts import Contract, Field
from procurement_platform.texts import shorten

MOST_COLUMNS = 300  # of a table; what markets add beyond is not shown
_NAME = 100  # characters
_PLAIN = {"string": "string", "int": "bigint", "long": "bigint", "float": "double", "double": "double", "boolean": "boolean"}
_READ_AS = {"string": "string", "bigint": "long", "double": "double", "boolean": "boolean"}
MICROS = "timestamp-micros"


@dataclass(frozen=True)
class RawColumn:
    """A column of a raw table. `type` is Hive's; instants are their microseconds since 1970 in UTC, as `bigint`."""

    name: str
    type: str
    doc: str = ""
    instant: bool = False

    @property
    def avro(self) -> Any:
        """The Avro type it is read as."""
        if self.type.startswith("decimal("):
            precision, scale = _digits(self.type)
            return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
        return _READ_AS[self.type]

    def takes(self, declared: Any) -> bool:
        """Whether a file's field of this Avro type is read right."""
        if self.instant and MICROS not in {_logical(each) for each in _branches(declared)}:
            return False
        found = hive_type(declared)
        if found is None or not found.startswith("decimal(") or not self.type.startswith("decimal("):
            return found == self.type
        (precision, scale), (ours, our_scale) = _digits(found), _digits(self.type)
        return scale == our_scale and precision <= ours


@dataclass(frozen=True)
class Reading:
    """A reader's schema as JSON text, and what it does not show: a line for each column."""

    schema: str
    notes: tuple[str, ...]


def contract_columns(contract: Contract) -> list[RawColumn]:
    """The columns that every raw table of a feed has, in the contract's order."""
    return [RawColumn(each.name, _contract_type(each), _doc(each), each.kind == "instant") for each in contract.fields]


def added_columns(known: Sequence[RawColumn], schemas: Mapping[str, Any]) -> list[RawColumn]:
    """The columns of files (name → Avro schema) that are not known yet and can be shown: plain ones, of one type in all the files."""
    names = {column.name for column in known} | {"run_date"}
    found: dict[str, set[str | None]] = {}
    for schema in schemas.values():
        for name, declared in _fields(schema):
            if name.lower() not in names and len(name) <= _NAME and any(letter.isalpha() for letter in name):
                found.setdefault(name.lower(), set()).add(hive_type(declared))
    plain = [RawColumn(name, next(iter(types)) or "") for name, types in sorted(found.items()) if len(types) == 1 and types != {None}]
    return plain[: max(0, MOST_COLUMNS - len(known))]


def reading(columns: Sequence[RawColumn], schemas: Mapping[str, Any]) -> Reading:
    """Reads files (name → Avro schema) as these columns.

    Raises:
        ProcurementError: a column cannot be shown empty, because files have its name in every way to write it.
    """
    fields: list[dict[str, Any]] = []
    notes: list[str] = []
    sent: dict[str, list[tuple[str, str, Any]]] = {column.name: [] for column in columns}
    for file, schema in sorted(schemas.items()):
        for name, declared in _fields(schema):
            if name.lower() in sent:
                sent[name.lower()].append((name, file, declared))
    for column in columns:
        name, note = _field(column, sent[column.name])
        fields.append({"name": name, "type": ["null", column.avro], "default": None})
        notes += note
    return Reading(_schema(fields), tuple(notes))


def with_columns(schema: str, columns: Sequence[RawColumn]) -> str:
    """A reader's schema with columns that came later: none of its files has them."""
    fields = json.loads(schema)["fields"]
    there = {each["name"].lower() for each in fields}
    fields += [{"name": c.name, "type": ["null", c.avro], "default": None} for c in columns if c.name not in there]
    return _schema(fields)


def hive_type(declared: Any) -> str | None:
    """Hive's type for an Avro type, or a union of it with null; None where Trino does not read it right, or it is nested."""
    branches = _branches(declared)
    if len(branches) != 1:
        return None
    [branch] = branches
    plain, logical = (branch.get("type"), branch.get("logicalType")) if isinstance(branch, dict) else (branch, None)
    if plain == "bytes" and logical == "decimal":
        precision, scale = branch.get("precision"), branch.get("scale", 0)
        fits = isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision <= 38 and precision > 0  # noqa: PLR2004
        return f"decimal({precision},{scale})" if fits else None
    return _PLAIN.get(plain) if isinstance(plain, str) else None


def _field(column: RawColumn, sent: Sequence[tuple[str, str, Any]]) -> tuple[str, list[str]]:
    """The name by which a column is read, and what to say of it."""
    if not sent:
        return column.name, []
    spellings = Counter(name for name, _, _ in sent)
    chosen = max(spellings, key=lambda name: (name == column.name, spellings[name], name))
    unfit = [(file, declared) for name, file, declared in sent if name == chosen and not column.takes(declared)]
    if unfit:
        file, declared = unfit[0]
        kind = "timestamp-micros" if column.instant else column.type
        note = f"{column.name} is shown empty: {file} has it as {shorten(json.dumps(declared), 100)}, which is not read as {kind}"
        return _unused(column.name, spellings), [note]
    others = sorted({file for name, file, _ in sent if name != chosen})
    return chosen, [f"{column.name} of {others[0]} is shown empty: other files write it {chosen}"] if others else []


def _unused(name: str, used: Mapping[str, int]) -> str:
    """Another way to write a column's name: Trino takes it for the column, and no file's field for it."""
    for written in _ways(name):
        if written not in used:
            return written
    raise ProcurementError(f"the files write {name} in every way there is: see what they hold")


def _ways(name: str) -> Iterator[str]:
    return map("".join, itertools.product(*({letter: None, letter.upper(): None} for letter in name)))


def _fields(schema: Any) -> Iterator[tuple[str, Any]]:
    for each in schema["fields"]:
        yield each["name"], each["type"]


def _branches(declared: Any) -> list[Any]:
    return [each for each in (declared if isinstance(declared, list) else [declared]) if each not in ("null", {"type": "null"})]


def _logical(branch: Any) -> str | None:
    return branch.get("logicalType") if isinstance(branch, dict) else None


def _digits(hive: str) -> tuple[int, int]:
    precision, scale = hive.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)


def _contract_type(field: Field) -> str:
    plain = {"text": "string", "integer": "bigint", "instant": "bigint"}
    return plain.get(field.kind) or f"decimal({field.precision},{field.scale})"


def _doc(field: Field) -> str:
    return f"{field.doc} Microseconds since 1970-01-01 UTC." if field.kind == "instant" else field.doc


def _schema(fields: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"type": "record", "name": "Row", "fields": fields})
