"""Contracts: what a market's file must hold, read from an Avro schema (`.avsc`), the one place it is written down.

Beside Avro's own words a field may carry the rules its rows must keep, as attributes that Avro ignores:
`role` (`market`: the file's own market; `sku`: an active product; `measure`: the quantity that quarantine keeps), `above` and `atLeast`
(decimal text), `limit` and `window` (names of settings), `pattern` (a regular expression the whole text must match) with its `remedy`.
The record itself may carry `withoutRows`: why a file without any row cannot be meant, and what to do.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from procurement_platform.errors import ConfigurationError, InvalidFile

Kind = Literal["text", "integer", "decimal", "instant"]
Role = Literal["market", "sku", "measure"]
_INSTANTS = ("timestamp-micros", "timestamp-millis")


@dataclass(frozen=True)
class Field:
    """A field of a contract: its names, its kind, and the rules each row must keep.

    `precision` and `scale` are a decimal's; `above`/`at_least` bound a decimal from below; `limit` names the setting that bounds its size;
    `window` names the setting with the days before the run date an instant may lie in.
    """

    name: str
    kind: Kind
    doc: str
    optional: bool = False
    aliases: tuple[str, ...] = ()
    precision: int = 0
    scale: int = 0
    role: Role | None = None
    above: Decimal | None = None
    at_least: Decimal | None = None
    limit: str | None = None
    window: str | None = None
    pattern: str | None = None
    remedy: str | None = None

    @property
    def column(self) -> str:
        """The column of the lines table: instants are kept as UTC microseconds."""
        return f"{self.name}_us" if self.kind == "instant" else self.name

    @property
    def is_code(self) -> bool:
        """Whether a text has to be exactly what others know: the market's, a product's, or of a form."""
        return self.role is not None or self.pattern is not None


@dataclass(frozen=True)
class Contract:
    """The fields a feed's file holds, in order. `avsc` is the schema it was read from, as JSON text.

    `without_rows` is what its sender is told of a file that has no row; none: such a file is a file like any other.
    """

    name: str
    doc: str
    fields: tuple[Field, ...]
    avsc: str = field(repr=False)
    without_rows: str | None = None

    def by_role(self, role: Role) -> Field:
        return next(each for each in self.fields if each.role == role)

    @cached_property
    def market(self) -> Field:
        return self.by_role("market")

    @cached_property
    def sku(self) -> Field:
        return self.by_role("sku")

    @cached_property
    def measure(self) -> Field:
        return self.by_role("measure")

    def match(self, columns: Iterable[str]) -> dict[str, str]:
        """Which of a file's columns is which field: field name → column name; fields without a column are left out.

        A field takes the column of its own name; without one, a column of one of its other names, or of either without regard to case
        and surrounding blanks. A column serves one field at most.

        Raises:
            InvalidFile: several columns could be a field, and none has its very name.
        """
        exact = list(columns)
        of_their_own = {each.name for each in self.fields}.intersection(exact)
        found: dict[str, str] = {}
        for each in self.fields:
            if each.name in of_their_own:
                found[each.name] = each.name
                continue
            names = {name.casefold() for name in (each.name, *each.aliases)}
            could_be = [name for name in exact if name not in of_their_own and name.strip().casefold() in names]
            if len(could_be) > 1:
                several = ", ".join(repr(name[:40]) for name in could_be[:20])
                raise InvalidFile(f"each of the columns {several} could be {each.name}; give the one that is meant that very name")
            if could_be:
                found[each.name] = could_be[0]
        return found


def contract_from_avsc(text: str) -> Contract:
    """A contract from an Avro record schema's JSON text.

    Raises:
        ConfigurationError: a type that is no text, integer, decimal or instant, a role that is missing or given twice, or a name that
            two fields have.
    """
    schema = json.loads(text)
    fields = tuple(_field(each) for each in schema["fields"])
    contract = Contract(schema["name"], schema.get("doc", ""), fields, text, schema.get("withoutRows"))
    for role in ("market", "sku", "measure"):
        holders = [each.name for each in fields if each.role == role]
        if len(holders) != 1:
            raise ConfigurationError(f"contract {contract.name}: one field must have the role {role}, found {holders or 'none'}")
    names = [name for each in fields for name in {name.casefold() for name in (each.name, *each.aliases)}]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"contract {contract.name}: two fields may be called {', '.join(twice)}")
    return contract


def load_contract(path: Path) -> Contract:
    """A contract from an `.avsc` file."""
    return contract_from_avsc(path.read_text(encoding="utf-8"))


def _field(declared: Mapping[str, Any]) -> Field:
    branches = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    [branch] = [each for each in branches if each != "null"]
    kind, precision, scale = _kind(declared["name"], branch)
    return Field(
        name=declared["name"],
        kind=kind,
        doc=declared.get("doc", ""),
        optional="null" in branches,
        aliases=tuple(declared.get("aliases", ())),
        precision=precision,
        scale=scale,
        role=declared.get("role"),
        above=_decimal(declared.get("above")),
        at_least=_decimal(declared.get("atLeast")),
        limit=declared.get("limit"),
        window=declared.get("window"),
        pattern=declared.get("pattern"),
        remedy=declared.get("remedy"),
    )


def _kind(name: str, branch: Any) -> tuple[Kind, int, int]:
    if branch == "string":
        return "text", 0, 0
    if branch == "int":
        return "integer", 0, 0
    logical = branch.get("logicalType") if isinstance(branch, dict) else None
    if logical == "decimal":
        return "decimal", branch["precision"], branch["scale"]
    if logical in _INSTANTS:
        return "instant", 0, 0
    raise ConfigurationError(f"contract field {name}: {branch!r} is no string, int, decimal or timestamp")


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
