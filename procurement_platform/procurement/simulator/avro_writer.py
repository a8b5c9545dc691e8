"""Write Arrow tables as Avro object containers, columns at a time: a few million flat records a second, no row in Python.

The trick: each field becomes a byte matrix with a row per record, wide enough for its longest value, and a mask of the bytes that
count. Matrices side by side are the records with gaps; the masked bytes in row order are the block.
Avro 1.11 specification: "Binary Encoding", "Object Container Files", "Decimal".
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

import cramjam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Codec = Literal["null", "deflate", "snappy", "zstandard"]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_Array: TypeAlias = "pa.Array[Any]"

_Number = TypeVar("_Number", np.int32, np.int64, np.uint8)

_MAGIC = b"Obj\x01"
_AT_ONCE = 16_384  # records encoded together: their matrices stay in the processor's cache


class AvroWriter:
    """Appends tables to an Avro file as blocks of `rows_per_block` records.

    `schema` is a flat record: each field a string, int, long, boolean, timestamp or decimal on bytes, or a union of null and one of
    these. Tables have a column per field, of its name, with the schema's scale or unit. `sync` is the 16-byte marker.
    """

    def __init__(
        self, sink: BinaryIO, schema: Mapping[str, Any], sync: bytes, *, codec: Codec = "deflate", rows_per_block: int = 2048
    ) -> None:
        self._sink, self._sync, self._rows = sink, sync, rows_per_block
        self._fields = [_Field.of(declared) for declared in schema["fields"]]
        self._compress = _COMPRESS[codec]
        meta = {"avro.schema": json.dumps(schema, ensure_ascii=False).encode(), "avro.codec": codec.encode()}
        entries = b"".join(_prefixed(name.encode()) + _prefixed(value) for name, value in meta.items())
        sink.write(_MAGIC + varint(len(meta)) + entries + varint(0) + sync)

    def write(self, table: pa.Table) -> None:
        """Append the table's rows; blocks do not run over from one table to the next."""
        step = max(_AT_ONCE // self._rows, 1) * self._rows
        for start in range(0, table.num_rows, step):
            part = table.slice(start, step).combine_chunks()
            payload, lengths = encode(part, self._fields)
            ends = np.concatenate(([0], np.cumsum(lengths)))
            for first in range(0, part.num_rows, self._rows):
                last = min(first + self._rows, part.num_rows)
                self.write_block(last - first, payload[ends[first] : ends[last]].tobytes())

    def write_block(self, rows: int, payload: bytes) -> None:
        """Append a block of records that are encoded already (or, for tests, badly)."""
        block = self._compress(payload)
        self._sink.write(varint(rows) + varint(len(block)) + block + self._sync)


@dataclass(frozen=True)
class _Field:
    name: str
    encode: Callable[[_Array], tuple[Bytes, Mask]]
    null_at: int | None = None  # the null branch's place in the union

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> "_Field":
        kinds = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
        null_at = kinds.index("null") if "null" in kinds else None
        [kind] = [each for each in kinds if each != "null"]
        plain = kind if isinstance(kind, str) else kind["type"]
        if isinstance(kind, dict) and kind.get("logicalType") == "decimal" and plain == "bytes":
            return cls(declared["name"], _decimals, null_at)
        return cls(declared["name"], {"string": _strings, "int": _longs, "long": _longs, "boolean": _booleans}[plain], null_at)


def encode(table: pa.Table, fields: Sequence[_Field]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """The records' bytes one after the other, and each record's length."""
    pieces: list[tuple[Bytes, Mask]] = []
    for field in fields:
        array: _Array = pa.concat_arrays(table.column(field.name).chunks)
        values, mask = field.encode(array)
        if field.null_at is not None:
            present = np.asarray(array.is_valid())
            pieces.append(_certain(np.where(present, 2 * (1 - field.null_at), 2 * field.null_at).astype(np.uint8)[:, None]))
            mask = mask & present[:, None]
        elif array.null_count:
            raise ValueError(f"{field.name} has {array.null_count} NULLs, and its Avro type has none")
        pieces.append((values, mask))
    values = np.concatenate([piece for piece, _ in pieces], axis=1)
    mask = np.concatenate([piece for _, piece in pieces], axis=1)
    return values[mask], mask.sum(axis=1, dtype=np.int64)


def varint(number: int) -> bytes:
    """A long in Avro's zig-zag variable-length encoding."""
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:  # noqa: PLR2004
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _prefixed(content: bytes) -> bytes:
    return varint(len(content)) + content


def _certain(values: Bytes) -> tuple[Bytes, Mask]:
    return values, np.ones(values.shape, np.bool_)


def _varints(numbers: npt.NDArray[np.int64]) -> tuple[Bytes, Mask]:
    """A matrix of as many columns as the longest needs: 7 bits each, the lowest first, the high bit set while more follow."""
    rest = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    highest = int(rest.max(initial=0))
    width = max((highest.bit_length() + 6) // 7, 1)
    values = np.empty((len(numbers), width), np.uint8)
    mask = np.ones((len(numbers), width), np.bool_)
    for column in range(width):
        if column:
            mask[:, column] = rest > 0
        values[:, column] = (rest & 0x7F).astype(np.uint8)
        rest = rest >> np.uint64(7)
        values[:, column] |= (rest > 0).astype(np.uint8) << 7
    return values, mask


def _longs(array: _Array) -> tuple[Bytes, Mask]:
    whole = _buffer(array, 1, np.int32) if pa.types.is_int32(array.type) else _buffer(array, 1, np.int64)
    numbers = whole[array.offset : array.offset + len(array)].astype(np.int64)
    return _varints(_without_nulls(numbers, array))


def _booleans(array: _Array) -> tuple[Bytes, Mask]:
    return _certain(np.asarray(array.fill_null(False)).astype(np.uint8)[:, None])


def _strings(array: _Array) -> tuple[Bytes, Mask]:
    ends = _buffer(array, 1, np.int64) if pa.types.is_large_string(array.type) else _buffer(array, 1, np.int32)
    offsets = ends[array.offset : array.offset + len(array) + 1].astype(np.int64)
    content = _buffer(array, 2, np.uint8)
    lengths = np.diff(offsets)
    width = int(lengths.max(initial=0))
    prefix, prefix_mask = _varints(lengths)
    if len(array) and int(lengths.min()) == width:  # the usual case for codes: no byte need be looked for
        text = content[offsets[0] : offsets[-1]].reshape(len(array), width)
        mask = np.ones(text.shape, np.bool_)
    else:
        columns = np.arange(width)
        mask = columns < lengths[:, None]
        text = np.zeros(mask.shape, np.uint8)
        text[mask] = content[offsets[0] : offsets[-1]]
    return np.concatenate([prefix, text], axis=1), np.concatenate([prefix_mask, mask], axis=1)


def _decimals(array: _Array) -> tuple[Bytes, Mask]:
    """The unscaled integer, two's complement, big-endian, in as few bytes as hold it. At most 18 digits: Arrow's lower 64 bits."""
    words = _buffer(array, 1, np.int64).reshape(-1, 2)[array.offset : array.offset + len(array), 0]
    numbers = _without_nulls(words, array)
    magnitude = np.where(numbers < 0, ~numbers, numbers)
    width = int(magnitude.max(initial=0)).bit_length() // 8 + 1
    sizes = np.ones(len(numbers), np.int64)
    for size in range(1, width):
        sizes += magnitude >> (8 * size - 1) > 0
    values = numbers.astype(">i8").view(np.uint8).reshape(-1, 8)[:, 8 - width :]
    mask = np.arange(width, 0, -1) <= sizes[:, None]
    prefix = (2 * sizes).astype(np.uint8)[:, None]
    return np.concatenate([prefix, values], axis=1), np.concatenate([np.ones_like(prefix, np.bool_), mask], axis=1)


def _buffer(array: _Array, place: int, kind: type[_Number]) -> npt.NDArray[_Number]:
    memory: Any = array.buffers()[place]
    return np.frombuffer(memory, kind) if memory is not None else np.empty(0, kind)


def _without_nulls(numbers: npt.NDArray[np.int64], array: _Array) -> npt.NDArray[np.int64]:
    # What stands in the buffer where a value is NULL is anybody's guess, and would widen the matrix.
    return np.where(np.asarray(array.is_valid()), numbers, 0) if array.null_count else numbers


def _deflate(payload: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return packer.compress(payload) + packer.flush()


def _snappy(payload: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(payload)) + zlib.crc32(payload).to_bytes(4, "big")


_COMPRESS: dict[Codec, Callable[[bytes], bytes]] = {
    "null": lambda payload: payload,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": lambda payload: bytes(cramjam.zstd.compress(payload, 1)),
}
