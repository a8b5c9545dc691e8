import io
import json
import sys

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.container import (
    CODECS,
    Block,
    Bounds,
    Header,
    blocks,
    encode_block,
    encode_header,
    encode_long,
    read_header,
)

SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}
SYNC = b"0123456789abcdef"
WIDE = Bounds(1, 10**6, 10**7, 10**6)


def written(numbers: list[int], codec: str = "null", sync_interval: int = 100) -> bytes:
    target = io.BytesIO()
    fastavro.writer(target, SCHEMA, [{"n": number} for number in numbers], codec=codec, sync_interval=sync_interval, sync_marker=SYNC)
    return target.getvalue()


def read(content: bytes, bounds: Bounds = WIDE) -> list[Block]:
    file = io.BytesIO(content)
    return list(blocks(file, read_header(file), bounds))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200), st.sampled_from(sorted(CODECS)))
def test_reads_what_fastavro_writes(numbers: list[int], codec: str) -> None:
    found = read(written(numbers, codec))
    assert b"".join(block.data for block in found) == b"".join(map(encode_long, numbers))
    assert sum(block.rows for block in found) == len(numbers)
    row = 1
    for number, block in enumerate(found, 1):
        assert (block.number, block.first_row) == (number, row)
        row += block.rows


@given(st.integers(1, 300), st.sets(st.integers(1, 300)))
def test_blocks_without_a_wanted_row_are_left_out(rows: int, wanted: set[int]) -> None:
    content = written(list(range(rows)), "deflate", 20)
    file = io.BytesIO(content)
    found = list(blocks(file, read_header(file), WIDE, lambda first, last: not wanted.isdisjoint(range(first, last + 1))))
    every = [(block, range(block.first_row, block.first_row + block.rows)) for block in read(content)]
    assert found == [block for block, own in every if not wanted.isdisjoint(own)]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=200))
def test_fastavro_reads_what_is_encoded_here(numbers: list[int]) -> None:
    head = encode_header(Header(SCHEMA, "null", SYNC))
    content = head + encode_block(len(numbers), b"".join(map(encode_long, numbers)), SYNC)
    assert list(fastavro.reader(io.BytesIO(content))) == [{"n": number} for number in numbers]


@given(st.binary(max_size=300), st.integers(0, 400))
def test_damage_is_told_and_nothing_else_happens(noise: bytes, at: int) -> None:
    content = bytearray(written(list(range(300)), "deflate"))
    content[at : at + len(noise)] = noise
    try:
        found = read(bytes(content))
    except InvalidFile as problem:
        assert "\n" not in str(problem)  # noqa: PT017  both ends are right
    else:
        assert all(block.rows <= len(block.data) for block in found)


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_every_cut_is_noticed(cut: int) -> None:
    content = written(list(range(50)), sync_interval=10_000)
    with pytest.raises(InvalidFile, match=r"cut off|no Avro file"):
        read(content[:-cut] if cut < len(content) else b"")


@pytest.mark.parametrize("codec", sorted(set(CODECS) - {"null"}))
def test_a_block_unpacks_to_the_limit_and_no_further(codec: str) -> None:
    content = written([0] * 5000, codec, sync_interval=100_000)
    assert [block.rows for block in read(content, Bounds(1, 5000, 5000, 5000))] == [5000]
    with pytest.raises(InvalidFile, match="MAX_BLOCK_BYTES"):
        read(content, Bounds(1, 4999, 10**6, 10**6))


@pytest.mark.parametrize(("codec", "module"), [("bzip2", "bz2"), ("xz", "lzma")])
def test_a_python_without_a_codec_is_not_the_files_fault(codec: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = written([0] * 10, codec)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OSError, match=f"compiled without {codec} .*; make setup with another Python"):
        read(content)


def test_all_blocks_together_have_limits() -> None:
    content = written(list(range(1000)))
    with pytest.raises(InvalidFile, match="MAX_ROWS_PER_FILE"):
        read(content, Bounds(1, 1000, 10**6, 999))
    with pytest.raises(InvalidFile, match="MAX_DECODED_BYTES"):
        read(content, Bounds(1, 1000, 1000, 10**6))


def test_a_header_has_limits() -> None:
    huge = b"Obj\x01" + encode_long(1) + encode_long(2**40)
    with pytest.raises(InvalidFile, match="bytes of metadata"):
        read(huge)
    many = b"Obj\x01" + encode_long(2**40) + (encode_long(1) + b"k" + encode_long(500_000) + bytes(500_000)) * 4
    with pytest.raises(InvalidFile, match="header of more than"):
        read(many)


def test_unknown_codecs_are_named() -> None:
    schema = json.dumps(SCHEMA).encode()
    parts = [b"avro.schema", schema, b"avro.codec", b"lz9"]
    content = b"Obj\x01" + encode_long(2) + b"".join(encode_long(len(part)) + part for part in parts) + encode_long(0) + SYNC
    with pytest.raises(InvalidFile, match="codec 'lz9'; use one of null, deflate"):
        read(content)
