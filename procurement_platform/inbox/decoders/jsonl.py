"""JSON lines: an object per line. Numbers are read as their text, never as floats. Row numbers are line numbers; empty lines are skipped.

Each bad line is a broken row of its own. Columns are the keys of all lines together, so the file is read twice.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.decoders import SHOWN_CHARACTERS, Batch, BrokenRow
from procurement_platform.inbox.decoders.streams import pieces, whole_lines
from procurement_platform.inbox.task import Limits


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
        for _, line in self._lines():
            row = self._read(line)
            if isinstance(row, dict) and not row.keys() <= keys.keys():
                keys.update(dict.fromkeys(row))
                if len(keys) > limits.max_columns:
                    raise InvalidFile(
                        f"has more than {limits.max_columns} different keys; send only those asked for (PROCUREMENT_MAX_COLUMNS)"
                    )
        if not keys:
            raise InvalidFile("holds no JSON object in any line; send one per row")
        self.schema: dict[str, pl.DataType] = {key: pl.String() for key in keys}

    def batches(self, columns: Collection[str]) -> Iterator[Batch]:
        wanted = [key for key in self.schema if key in columns]
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        broken: list[BrokenRow] = []
        lines: list[bytes] = []
        size = 0
        for number, line in self._lines():
            row = self._read(line)
            reason = row if isinstance(row, str) else _unusable(row, wanted)
            if reason is not None:
                broken.append(BrokenRow(number, reason, json.dumps({"line": line.decode("utf-8", "backslashreplace")[:SHOWN_CHARACTERS]})))
            elif isinstance(row, dict):
                rows.append(row)
                numbers.append(number)
                lines.append(line)
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

    def _read(self, line: bytes) -> dict[str, Any] | str:
        """A line's object, or what is wrong with it."""
        try:
            row = self._decode(line)
        except UnicodeDecodeError as problem:
            return f"is not UTF-8: it has the byte 0x{line[problem.start]:02x}; export the file as UTF-8"
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            return f"is no JSON ({str(problem)[:120]}): send one object per line"
        if not isinstance(row, dict):
            return "is no JSON object: send one per line, with a key per column"
        # Two quotes per key and per text: where there are more, a key may be there twice, which readers settle by dropping one.
        texts = sum(1 for value in row.values() if type(value) is str)
        if line.count(b'"') != 2 * (len(row) + texts):
            seen: list[str] = []
            json.loads(line, object_pairs_hook=lambda pairs: seen.clear() or seen.extend(key for key, _ in pairs))  # type: ignore[func-returns-value]
            if len(set(seen)) < len(seen):
                twice = next(key for key in seen if seen.count(key) > 1)
                return f"has the key {twice[:60]!r} twice: send it once"
        return row

    def _batch(
        self, rows: list[dict[str, Any]], numbers: list[int], lines: list[bytes], broken: list[BrokenRow], wanted: list[str]
    ) -> Batch:
        frame = pl.DataFrame([pl.Series(key, [_text(row.get(key)) for row in rows], pl.String) for key in wanted])

        def whole(positions: pl.Series) -> pl.DataFrame:
            sent = [self._decode(lines[position]) for position in positions]
            keys = [key for key in self.schema if any(key in row for row in sent)]
            return pl.DataFrame([pl.Series(key, [_text(row.get(key)) for row in sent], pl.String) for key in keys])

        return Batch(frame, 1, whole, pl.Series(numbers, dtype=pl.Int64), broken)


_ROW_BYTES = 1000  # what a row's objects take beside its text, roughly
_BATCH_BYTES = 32 * 1024 * 1024


def _unusable(row: dict[str, Any], wanted: list[str]) -> str | None:
    for key in wanted:
        value = row.get(key)
        if isinstance(value, dict | list | bool):
            kind = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "true or false"
            return f"{key} is {kind}: send text or a number"
    return None


def _text(value: Any) -> str | None:
    """A cell as text; an empty one is absent."""
    if value is None or type(value) is str:
        return value or None
    if isinstance(value, dict | list | bool):
        return json.dumps(value, default=str)[: 2 * SHOWN_CHARACTERS]
    return str(value)
