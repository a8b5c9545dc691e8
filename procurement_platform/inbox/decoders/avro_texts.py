"""Values of nested Avro fields and wide unions as text: exact, in people's words where they have some, as they are where they have none."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fastavro.read import LOGICAL_READERS

from procurement_platform.inbox.decoders import SHOWN_CHARACTERS
from procurement_platform.inbox.decoders.avro_schema import decimal_digits

_SHOWN_BYTES = SHOWN_CHARACTERS // 2  # as hexadecimal digits


def as_text(value: Any) -> str | None:
    """A value as it is shown in a row."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=_plain)[: 2 * SHOWN_CHARACTERS]


def _plain(value: Any) -> str:
    return value[:_SHOWN_BYTES].hex() if isinstance(value, bytes) else str(value)


def _decimal(value: bytes, schema: Mapping[str, Any], _: Any = None) -> Any:
    digits = decimal_digits({**schema, "logicalType": "decimal"})
    if digits is None:
        return value
    if len(value) > _SHOWN_BYTES:
        return f"0x{_plain(value)}"
    return format(Decimal(f"{int.from_bytes(value, 'big', signed=True)}e-{digits[1]}"), "f")


def _moment(unit: str, shown: Callable[[dt.datetime], str]) -> Callable[..., Any]:
    """Reads a time since 1970; one that no calendar holds is its number."""

    def read(value: int, _: Any = None, __: Any = None) -> Any:
        try:
            return shown(dt.datetime(1970, 1, 1) + dt.timedelta(**{unit: value}))  # noqa: DTZ001  the zone is in the words
        except OverflowError:
            return value

    return read


_READERS: dict[str, Callable[..., Any]] = {
    "bytes-decimal": _decimal,
    "fixed-decimal": _decimal,
    "int-date": _moment("days", lambda moment: moment.date().isoformat()),
    "long-timestamp-millis": _moment("milliseconds", lambda moment: f"{moment.isoformat()}+00:00"),
    "long-timestamp-micros": _moment("microseconds", lambda moment: f"{moment.isoformat()}+00:00"),
    "long-local-timestamp-millis": _moment("milliseconds", dt.datetime.isoformat),
    "long-local-timestamp-micros": _moment("microseconds", dt.datetime.isoformat),
}
LOGICAL_READERS.update({f"{name}-as-text": read for name, read in _READERS.items()})
AS_TEXT = {name: f"{name}-as-text" for name in (each.partition("-")[2] for each in _READERS)}  # by the names in schemas
