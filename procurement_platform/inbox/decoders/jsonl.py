"""JSON lines: an object per line. Numbers are read as their text, never as floats. Row numbers are line numbers; empty lines are skipped.

Each bad line is a broken row of its own. Columns are the keys of all lines together, so the file is read twice.
"""

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any, cast

import msgspec
import polars as pl

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox.decoders import SHOWN_CHARACTERS, Batch, BrokenRow, Wanted, not_utf8
from procurement_platform.inbox.decoders.streams import pieces, whole_lines
from procurement_platform.inbox.task import Limits
from procurement_platform.texts import shorten


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class JsonLinesDecoder:
    """Reads a JSON lines file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._decode = msgspec.json.Decoder(float_hook=_Number).decode
        keys: dict[str, None] = {}
        first = ""
        for number, line in self._lines():
            row = self._object(line)
            if isinstance(row, str):
                first = first or f" (row {number} {row})"
            elif not row.keys() <= keys.keys():
                keys.update(dict.fromkeys(row))
                if len(keys) > limits.max_columns:
                    raise OverLimit(
                        f"has more than {limits.max_columns} different keys; send only those asked for (PROCUREMENT_MAX_COLUMNS)"
                    )
        if not keys:
            raise InvalidFile(f"holds no JSON object in any line; send one per row{first}")
        self.schema: dict[str, pl.DataType] = {key: pl.String() for key in keys}

    def batches(self, columns: Collection[str], some: Wanted | None = None) -> Iterator[Batch]:  # noqa: ARG002  lines are read to be counted
        wanted = [key for key in self.schema if key in columns]
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        broken: list[BrokenRow] = []
        lines: list[bytes] = []
        size = 0
        for number, line in self._lines():
            row = self._object(line)
            cells: dict[str, str] = {}
            try:
                reason = row if isinstance(row, str) else _unusable(row, line, wanted)
                if reason is not None and isinstance(row, dict):
                    cells = _cells(row, line, wanted)
            except RecursionError:  # the one reader goes a little deeper than the other
                reason = _TOO_DEEP
            if reason is None:
                rows.append(cast("dict[str, Any]", row))
                numbers.append(number)
                lines.append(line)
            else:
                sent = json.dumps({"line": line[: 4 * SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")[:SHOWN_CHARACTERS]})
                broken.append(BrokenRow(number, reason, sent, cells))
            size += len(line) + _ROW_BYTES
            if size > _BATCH_BYTES:
                yield self._batch(rows, numbers, lines, broken, wanted)
                rows, numbers, lines, broken, size = [], [], [], [], 0
        if rows or broken:
            yield self._batch(rows, numbers, lines, broken, wanted)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        for piece in whole_lines(pieces(self._path, self._limits, packed=False), self._limits):
            for line in piece.split(b"\n"):
                number += 1
                if line and not line.isspace():
                    yield number, line
            if piece.endswith(b"\n"):
                number -= 1  # what follows the last line's end begins the next piece

    def _object(self, line: bytes) -> dict[str, Any] | str:
        """A line's object, or what is wrong with it."""
        try:
            row = self._decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            try:
                line.decode()
            except UnicodeDecodeError as cause:
                return not_utf8(line[cause.start])
            return f"is no JSON ({shorten(str(problem), 120)}): send one object per line"
        return row if isinstance(row, dict) else "is no JSON object: send one per line, with a key per column"

    def _batch(
        self, rows: list[dict[str, Any]], numbers: list[int], lines: list[bytes], broken: list[BrokenRow], wanted: list[str]
    ) -> Batch:
        frame = pl.DataFrame([_column(key, [row.get(key) for row in rows]) for key in wanted])

        def sent(positions: pl.Series) -> Iterator[pl.Series]:
            for part in positions.to_frame().iter_slices(_SHOWN_ROWS):
                with _as_deep_as_before():
                    rows = [self._decode(lines[position]) for position in part.to_series()]
                yield pl.Series([_as_sent(row) for row in rows], dtype=pl.String)

        return Batch(frame, 1, sent, pl.Series(numbers, dtype=pl.Int64), broken)


@contextmanager
def _as_deep_as_before() -> Iterator[None]:
    """What was read once can be read again, although by a caller that is a few calls deeper down, which count against the same limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + _CALLS_DEEPER)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


_CALLS_DEEPER = 100
_TOO_DEEP = "is nested too deep: send one plain object per line"
_NO_TEXT = {dict, list, bool}
_SHOWN_ROWS = 1000  # at once
_ROW_BYTES = 1000  # what a row's objects take beside its text, roughly
_BATCH_BYTES = 32 * 1024 * 1024


def _unusable(row: dict[str, Any], line: bytes, wanted: list[str]) -> str | None:
    """What keeps a line's object from being a row: a key that is there twice, or no text or number where the contract has a field."""
    kinds = list(map(type, row.values()))
    # Two quotes per key and per text: where there are more, a key may be there twice, which readers settle by dropping one.
    if line.count(b'"') != 2 * (len(kinds) + kinds.count(str)) and (twice := _twice(line)):
        return f"has the key {twice[:60]!r} twice: send it once"
    if not _NO_TEXT.isdisjoint(kinds):
        for key in wanted:
            kind = type(row.get(key))
            if kind in _NO_TEXT:
                return f"{key} is {'an object' if kind is dict else 'a list' if kind is list else 'true or false'}: send text or a number"
    return None


def _cells(row: dict[str, Any], line: bytes, wanted: list[str]) -> dict[str, str]:
    """What an unusable object has of the columns; nothing where a key is there twice, since nobody can say which one is meant."""
    return {} if _twice(line) else {key: text for key in wanted if (text := _text(row.get(key)))}


def _twice(line: bytes) -> str | None:
    levels: list[list[tuple[str, Any]]] = []
    json.loads(line, object_pairs_hook=levels.append)
    keys = [key for key, _ in levels[-1]]  # the outermost object is finished last
    return next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None


def _column(key: str, values: list[Any]) -> pl.Series:
    """A column as text; empty texts are absent."""
    if not set(map(type, values)) <= {str, NoneType}:
        values = [_text(value) for value in values]
    return pl.select(pl.when((column := pl.lit(pl.Series(key, values, pl.String))) != "").then(column).alias(key)).to_series()


def _as_sent(row: dict[str, Any]) -> str:
    """A line's object as it is shown: with its own keys, and cells as other formats have them."""
    return json.dumps({key: _cut(_whole(value)) or None for key, value in row.items()}, ensure_ascii=False, separators=(",", ":"))


def _cut(text: str | None) -> str | None:
    longer = text is not None and len(text) > SHOWN_CHARACTERS
    return f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)" if text is not None and longer else text


def _text(value: Any) -> str | None:
    text = _whole(value)
    return text[: 2 * SHOWN_CHARACTERS] if text and isinstance(value, dict | list) else text


def _whole(value: Any) -> str | None:
    if isinstance(value, dict | list | bool):
        try:
            return json.dumps(value, default=str)
        except RecursionError:
            return f"({_TOO_DEEP})"
    return None if value is None else str(value)
