"""The framing of Avro object container files, with a limit on everything that a file declares about itself.

Readers trust the sizes a file declares and unpack blocks without bound; this one checks first. Source: Apache Avro 1.12 specification,
"Object Container Files".
"""

import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Self

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox.decoders import Wanted, not_utf8
from procurement_platform.inbox.task import SPLIT, Limits

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_HEADER_BYTES = 1024 * 1024
_MAX_VARINT_BYTES = 10
_CONTINUES = 0x80


@dataclass(frozen=True)
class Header:
    """A file's schema as parsed JSON, its codec and its sync marker."""

    schema: Any
    codec: str
    sync: bytes


@dataclass(frozen=True)
class Block:
    """A block, unpacked. `number` counts from 1, `first_row` too; `data` are `rows` encoded records one after the other."""

    number: int
    first_row: int
    rows: int
    data: bytes

    def __str__(self) -> str:
        return f"block {self.number} (rows {self.first_row} to {self.first_row + self.rows - 1})"


def read_header(file: IO[bytes]) -> Header:
    """Reads a container's header; the file then stands at its first block.

    Raises:
        InvalidFile: no Avro container, or a header that is cut, damaged or larger than 1 MiB.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidFile("is no Avro file: it does not begin with Obj\\x01; export it as an Avro object container file")
    metadata: dict[str, bytes] = {}
    size = 0
    while (count := _varint(file, "the header")) != 0:
        if count < 0:  # a negative count is followed by the size in bytes, which nothing here needs
            _varint(file, "the header")
        for _ in range(abs(count)):
            key, value = (_header_bytes(file) for _ in range(2))
            size += len(key) + len(value)
            if size > MAX_HEADER_BYTES:
                raise InvalidFile(f"has an Avro header of more than {MAX_HEADER_BYTES} bytes; send the file without extra metadata")
            metadata[key.decode("utf-8", "replace")] = value
    sync = file.read(SYNC_BYTES)
    if len(sync) < SYNC_BYTES:
        raise InvalidFile("is cut off within its Avro header; send it again")
    try:
        schema = json.loads(metadata["avro.schema"])
    except UnicodeDecodeError as problem:
        raise InvalidFile(not_utf8(problem.object[problem.start], "its Avro schema")) from None
    except (KeyError, ValueError, RecursionError):
        raise InvalidFile("has no readable schema in its Avro header; send it again") from None
    codec = metadata.get("avro.codec", b"null").decode("ascii", "replace")
    if codec not in CODECS:
        raise InvalidFile(f"is packed with the codec {codec[:40]!r}; use one of {', '.join(CODECS)}")
    return Header(schema, codec, sync)


@dataclass(frozen=True)
class Bounds:
    """What blocks may hold. `least_row_bytes` is the least a row of the schema takes: more rows than fit are refused."""

    least_row_bytes: int
    max_block_bytes: int
    max_bytes: int
    max_rows: int

    @classmethod
    def of(cls, limits: Limits, least_row_bytes: int = 0) -> Self:
        return cls(least_row_bytes, limits.max_block_bytes, limits.max_decoded_bytes, limits.max_rows_per_file)


def blocks(file: IO[bytes], header: Header, bounds: Bounds, some: Wanted | None = None) -> Iterator[Block]:
    """The blocks after a header, unpacked one at a time. Where only `some` rows are wanted, blocks without any are left out, and packed.

    Raises:
        InvalidFile: cut off, damaged, or larger than a limit; the text names the block and its rows.
    """
    number, row, total = 0, 1, 0
    while first := file.read(1):
        number += 1
        where = f"block {number} (from row {row})"
        rows = _varint(file, where, first)
        packed = _packed(file, header, rows, bounds, where)
        if some is not None and not some(row, row + rows - 1):
            row += rows
            continue
        data = _unpacked(packed, header.codec, bounds.max_block_bytes, where)
        total += len(data)
        if total > bounds.max_bytes:
            raise OverLimit(f"unpacks to more than {bounds.max_bytes} bytes by {where}; {SPLIT} (PROCUREMENT_MAX_DECODED_BYTES)")
        if rows * bounds.least_row_bytes > len(data) or (rows == 0 and data):
            raise InvalidFile(f"is damaged at {where}: it declares {rows} rows in {len(data)} bytes; send it again")
        if row - 1 + rows > bounds.max_rows:
            raise OverLimit(f"has more than {bounds.max_rows} rows by {where}; {SPLIT} (PROCUREMENT_MAX_ROWS_PER_FILE)")
        if rows:
            yield Block(number, row, rows, data)
        row += rows


def _packed(file: IO[bytes], header: Header, rows: int, bounds: Bounds, where: str) -> bytes:
    """A block's bytes as they are in the file, with the sync marker after them checked."""
    size = _varint(file, where)
    if rows < 0 or size < 0:
        raise InvalidFile(f"is damaged at {where}: it declares {rows} rows in {size} bytes; send it again")
    if size > bounds.max_block_bytes:
        limit = bounds.max_block_bytes
        raise OverLimit(f"has {size} bytes in {where}, more than {limit}; write smaller blocks (PROCUREMENT_MAX_BLOCK_BYTES)")
    packed = file.read(size)
    sync = file.read(SYNC_BYTES)
    if len(packed) < size or len(sync) < SYNC_BYTES:
        raise InvalidFile(f"is cut off within {where}; send it again")
    if sync != header.sync:
        raise InvalidFile(f"is damaged in or after {where}: its sync marker is wrong; send it again")
    return packed


def _unpacked(packed: bytes, codec: str, limit: int, where: str) -> bytes:
    try:
        return CODECS[codec](packed, limit)
    except _TooLarge:
        raise OverLimit(f"unpacks to more than {limit} bytes in {where}; write smaller blocks (PROCUREMENT_MAX_BLOCK_BYTES)") from None
    except MemoryError:
        raise  # the limit's doing, and not the file's
    except ModuleNotFoundError as problem:  # bz2, lzma and zstd are left out of a Python that is compiled where their libraries are missing
        raise OSError(f"{sys.executable} was compiled without {codec} ({problem}); make setup with another Python") from problem
    except Exception as problem:  # each codec has errors of its own
        raise InvalidFile(f"is damaged in {where}: {codec} cannot unpack it; send it again") from problem


def encode_long(value: int) -> bytes:
    """A long as Avro writes it: zig-zag, seven bits a byte."""
    rest = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while rest >= _CONTINUES:
        encoded.append(rest & 0x7F | _CONTINUES)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def encode_bytes(value: bytes) -> bytes:
    """Bytes or text as Avro writes them."""
    return encode_long(len(value)) + value


def encode_header(header: Header) -> bytes:
    """The header of an uncompressed container with this schema and sync marker."""
    schema = encode_bytes(b"avro.schema") + encode_bytes(json.dumps(header.schema).encode())
    codec = encode_bytes(b"avro.codec") + encode_bytes(b"null")
    return MAGIC + encode_long(2) + schema + codec + encode_long(0) + header.sync


def encode_block(rows: int, data: bytes, sync: bytes) -> bytes:
    """An uncompressed block."""
    return b"".join((encode_long(rows), encode_long(len(data)), data, sync))


class _TooLarge(Exception):
    """A block unpacks to more than the limit."""


def _varint(file: IO[bytes], where: str, first: bytes = b"") -> int:
    result = shift = 0
    for _ in range(_MAX_VARINT_BYTES):
        byte = first or file.read(1)
        first = b""
        if not byte:
            raise InvalidFile(f"is cut off within {where}; send it again")
        result |= (byte[0] & 0x7F) << shift
        if byte[0] < _CONTINUES:
            return (result >> 1) ^ -(result & 1)
        shift += 7
    raise InvalidFile(f"is damaged at {where}: a number has more than {_MAX_VARINT_BYTES} bytes; send it again")


def _header_bytes(file: IO[bytes]) -> bytes:
    size = _varint(file, "the header")
    if not 0 <= size <= MAX_HEADER_BYTES:
        raise InvalidFile(f"has {size} bytes of metadata in its Avro header; send it again")
    value = file.read(size)
    if len(value) < size:
        raise InvalidFile("is cut off within its Avro header; send it again")
    return value


def _stored(packed: bytes, _: int) -> bytes:
    return packed


def _bounded(machine: Any, packed: bytes, limit: int) -> bytes:
    """Unpacks with a decompressor of the standard library's kind: `decompress(data, max_length)`, `eof`."""
    data: bytes = machine.decompress(packed, limit + 1)
    if len(data) > limit:
        raise _TooLarge
    if not machine.eof:
        raise ValueError("the packed data ends early")
    return data


def _deflate(packed: bytes, limit: int) -> bytes:
    return _bounded(zlib.decompressobj(-15), packed, limit)


def _snappy(packed: bytes, limit: int) -> bytes:
    import cramjam

    body, checksum = packed[:-4], packed[-4:]
    # The size is declared first, as seven bits a byte, the lowest first.
    declared = shift = 0
    for byte in body[:5]:
        declared |= (byte & 0x7F) << shift
        shift += 7
        if byte < _CONTINUES:
            break
    if declared > limit:
        raise _TooLarge
    data = bytes(cramjam.snappy.decompress_raw(body))
    if zlib.crc32(data).to_bytes(4, "big") != checksum:
        raise ValueError("the checksum is wrong")
    return data


def _zstandard(packed: bytes, limit: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return _bounded(zstd.ZstdDecompressor(), packed, limit)


def _bzip2(packed: bytes, limit: int) -> bytes:
    import bz2

    return _bounded(bz2.BZ2Decompressor(), packed, limit)


def _xz(packed: bytes, limit: int) -> bytes:
    import lzma

    return _bounded(lzma.LZMADecompressor(memlimit=256 * 1024 * 1024), packed, limit)


CODECS: dict[str, Callable[[bytes, int], bytes]] = {
    "null": _stored,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _bzip2,
    "xz": _xz,
}
