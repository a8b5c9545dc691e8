"""Bytes of text formats, piece by piece: unpacked where they are packed, and never more than the limits say."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox.task import SPLIT, Limits

PIECE_BYTES = 1024 * 1024
_GZIP = 31  # zlib's number for "with a gzip header"
BOM = b"\xef\xbb\xbf"


def pieces(path: Path, limits: Limits, *, packed: bool) -> Iterator[bytes]:
    """A file's bytes in pieces of at most 1 MiB.

    Raises:
        InvalidFile: damaged or cut off gzip, or more bytes than `max_decoded_bytes`.
    """
    total = 0
    with path.open("rb", buffering=0) as file:
        for piece in _unpacked(file) if packed else iter(lambda: file.read(PIECE_BYTES), b""):
            total += len(piece)
            if total > limits.max_decoded_bytes:
                raise OverLimit(f"unpacks to more than {limits.max_decoded_bytes} bytes; {SPLIT} (PROCUREMENT_MAX_DECODED_BYTES)")
            yield piece


def whole_lines(source: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Pieces that end where lines end; the last one as it is. A byte order mark at the start is left out.

    Raises:
        InvalidFile: a line longer than `max_line_bytes`; the text names it.
    """
    carried, line = b"", 1
    first = True
    for piece in source:
        data = carried + piece
        if first:
            data, first = data.removeprefix(BOM), False
        end = data.rfind(b"\n") + 1
        carried = data[end:]
        if end:
            line += data.count(b"\n")
            yield data[:end]
        if len(carried) > limits.max_line_bytes:
            raise OverLimit(
                f"has more than {limits.max_line_bytes} bytes in line {line}; send a row per line "
                f"(a quarter of PROCUREMENT_MAX_BLOCK_BYTES, which is {limits.max_block_bytes})"
            )
    if carried:
        yield carried


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    machine = zlib.decompressobj(_GZIP)
    begun = False
    packed = b""
    try:
        while packed := packed or file.read(PIECE_BYTES // 8):
            begun = True
            if piece := machine.decompress(packed, PIECE_BYTES):
                yield piece
            packed = machine.unconsumed_tail
            if machine.eof:  # gzip files may be several, one after the other
                packed = machine.unused_data.lstrip(b"\x00")
                machine, begun = zlib.decompressobj(_GZIP), False
    except zlib.error as problem:
        raise InvalidFile("is damaged: gzip cannot unpack it; send it again") from problem
    if begun:
        raise InvalidFile("is cut off: its gzip data ends early; send it again")
