"""Columns that the contract does not ask for: shown of rejected rows, and of nobody's concern otherwise."""

import datetime as dt
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procurement_platform.inbox import decoders
from procurement_platform.inbox.decoders import parquet_others
from procurement_platform.inbox.decoders.parquet import ParquetDecoder
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import Limits
from procurement_platform.settings import Settings
from procurement_platform_tests.inbox.desk import NOON, WRITERS, Desk, order

UTC = dt.UTC
LIMITS = Limits.of(Settings(_env_file=None))
NEEDS_MEMORY = "(not shown: it needs more memory than decoding one file may take (PROCUREMENT_DECODE_MEMORY_MIB))"


def sent(columns: dict[str, Any], rows: int, bad: Callable[[int], bool] = lambda row: True, **options: Any) -> bytes:
    """Orders of which some name a product that is none, with columns of no contract beside, before and between the contract's."""
    own = {
        "order_id": pa.array([f"O-{row}" for row in range(rows)]),
        "market": pa.array(["DE"] * rows),
        "sku": pa.array(["NONE" if bad(row) else "SKU-1" for row in range(rows)]),
        "quantity": pa.array([Decimal(1)] * rows, pa.decimal128(18, 4)),
        "unit_price": pa.array([Decimal(2)] * rows, pa.decimal128(18, 4)),
        "ordered_at": pa.array([NOON] * rows, pa.timestamp("us", "UTC")),
    }
    half = len(columns) // 2
    table = pa.table(dict([*list(columns.items())[:half], *own.items(), *list(columns.items())[half:]]))
    target = io.BytesIO()
    pq.write_table(table, target, **options)
    return target.getvalue()


def shown(desk: Desk, content: bytes) -> dict[int, dict[str, Any]]:
    """The rows in quarantine, by their numbers."""
    outcome = desk.decode(content, "parquet")
    assert outcome.status == "accepted", outcome.reason
    return {row["row_number"]: json.loads(row["row"]) for row in desk.quarantine(outcome)}


def one(desk: Desk, value: "pa.Array[Any]") -> Any:
    return shown(desk, sent({"extra": value}, len(value)))[1]["extra"]


def test_a_rejected_row_has_all_the_files_columns_in_their_order(desk: Desk) -> None:
    rows = shown(desk, sent({"first": pa.array([7, 8, 9]), "Bemerkung": pa.array(["eilig", None, 'a "b"'])}, 3, lambda row: row > 0))
    assert [list(row) for row in rows.values()] == [
        ["first", "order_id", "market", "sku", "quantity", "unit_price", "ordered_at", "Bemerkung"],
    ] * 2
    assert {number: (row["first"], row["order_id"], row["Bemerkung"]) for number, row in rows.items()} == {
        2: (8, "O-1", None),
        3: (9, "O-2", 'a "b"'),
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pa.array([True]), True),
        (pa.array([200], pa.uint8()), 200),
        (pa.array([1.5]), "1.5"),
        (pa.array([float("nan")]), "NaN"),
        (pa.array([Decimal("1.5")], pa.decimal128(38, 10)), "1.5000000000"),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 2)), "1.50"),
        (pa.array(["text"], pa.large_string()), "text"),
        (pa.array(["often"]).dictionary_encode(), "often"),
        (pa.array([None, "seldom"]).dictionary_encode(), None),
        (pa.array([None], pa.string()).dictionary_encode(), None),
        (pa.array([b"\xff\x00"]), "ff00"),
        (pa.array([b"ab"], pa.binary(2)), "6162"),
        (pa.nulls(1), None),
        (pa.array([dt.date(2025, 12, 20)]), "2025-12-20"),
        (pa.array([2**31 - 1], pa.date32()), "2147483647"),
        (pa.array([dt.datetime(2025, 12, 20, 9, tzinfo=UTC)]), "2025-12-20 09:00:00.000000+00:00"),
        (pa.array([2**62], pa.timestamp("us", "UTC")), "4611686018427387904"),
        (pa.array([0], pa.timestamp("us", "+05:30")), "1970-01-01 05:30:00+05:30"),
        (pa.array([2**62], pa.timestamp("us", "+05:30")), "(not shown: it has a value that no calendar holds)"),
        (pa.array([dt.time(1, 2, 3)]), "01:02:03"),
        (pa.array([dt.time(1, 2, 3, 4)]), "01:02:03.000004"),
        (pa.array([0], pa.timestamp("us", "Mars/Phobos")), "(not shown: it has a value that no calendar holds)"),
        (pa.array(["view"], pa.string_view()), "view"),
        (pa.array([b"\xfe"], pa.binary_view()), "fe"),
        (pa.array([86_400], pa.time32("s")), "(not shown: it has a value that no calendar holds)"),
        (pa.array([-1], pa.time64("us")), "(not shown: it has a value that no calendar holds)"),
        (pa.array([86_399_999_999_999], pa.time64("ns")), "23:59:59.999999999"),
        (pa.array([None, 0], pa.time64("ns")), None),
        (pa.array([dt.timedelta(1)]), "1 day, 0:00:00"),
        (pa.array([[1, None]]), "[1,null]"),
        (pa.array([[b"\xff"]]), "[\"b'\\\\xff'\"]"),
        (pa.array([["view"]], pa.list_(pa.string_view())), '["view"]'),
        (pa.array([[0], [2**31 - 1]], pa.list_(pa.date32())), '["1970-01-01"]'),
        (pa.array([[2**31 - 1], [0]], pa.list_(pa.date32())), "(not shown: it has a value that no calendar holds)"),
        (pa.array([None, [1]]), None),
        (pa.array([{"a": 1, "b": "x"}]), '{"a":1,"b":"x"}'),
        (pa.array([[{"v": 1}]]), '[{"v":1}]'),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), '{"k":1}'),
        (pa.array([[{"a": Decimal("1.1")}]]), '[{"a":"1.1"}]'),
        (pa.array(["y" * 3000]), "y" * 1000 + "… (3000 characters)"),
        (pa.array([["y" * 3000]]), '["' + "y" * 998 + "… (3004 characters)"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_values_of_any_type_are_shown(desk: Desk, value: "pa.Array[Any]", expected: object) -> None:
    assert one(desk, value) == expected


def of_bytes(*values: bytes) -> "pa.Array[Any]":
    """Texts that nobody looked at."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(list(values)).buffers())


def test_bytes_that_are_no_text_are_shown_as_bytes_and_concern_nobody(desk: Desk) -> None:
    odd = of_bytes(b"ok", b"\xe4", b"x")
    lists: pa.Array[Any] = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), odd)
    rows = shown(desk, sent({"odd": odd, "lists": lists}, 3))
    assert [row["odd"] for row in rows.values()] == ["ok", "\\xe4", "x"]
    assert [row["lists"] for row in rows.values()] == ['["ok"]', "(not shown: a text in it is not UTF-8)", '["x"]']


def test_columns_keep_their_names(desk: Desk) -> None:
    columns = {"a.b": pa.array([1]), "a": pa.array([{"b": 2}]), "": pa.array(["nameless"]), "value": pa.array([3])}
    [row] = shown(desk, sent(columns, 1)).values()
    assert {name: row[name] for name in columns} == {"a.b": 1, "a": '{"b":2}', "": "nameless", "value": 3}


def test_names_that_libraries_take_for_patterns_are_names(desk: Desk) -> None:
    columns = {"*": pa.array([1]), "^sku$": pa.array(["x"]), "^.*$": pa.array([[2]])}
    [row] = shown(desk, sent(columns, 1)).values()
    assert list(row) == ["*", "order_id", "market", "sku", "quantity", "unit_price", "ordered_at", "^sku$", "^.*$"]
    assert {name: row[name] for name in columns} == {"*": 1, "^sku$": "x", "^.*$": "[2]"}
    assert row["sku"] == "NONE"


def texts(rows: int, form: int) -> "pa.Array[Any]":
    """Texts all different, or some of them often, or none."""
    forms: list[list[str | None]] = [
        [f"text {row}" for row in range(rows)],
        [f"text {row % 3}" if row % 7 else None for row in range(rows)],
        [None] * rows,
    ]
    return pa.array(forms[form], pa.string())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 300),
    group=st.integers(1, 120),
    page=st.sampled_from([64, 1024, 1024 * 1024]),
    seed=st.integers(0, 2**32),
    often=st.sampled_from([1, 3, 50]),
    form=st.integers(0, 2),
)
def test_of_any_rows_in_any_row_group_the_columns_are_those_of_the_row(
    desk: Desk, rows: int, group: int, page: int, seed: int, often: int, form: int
) -> None:
    def bad(row: int) -> bool:
        return (row * 2_654_435_761 + seed) % often == 0

    columns = {"number": pa.array(range(rows)), "text": texts(rows, form)}
    found = shown(desk, sent(columns, rows, bad, row_group_size=group, data_page_size=page, write_batch_size=16))
    assert sorted(found) == [row + 1 for row in range(rows) if bad(row)]
    kept = columns["text"].to_pylist()
    for number, row in found.items():
        assert (row["order_id"], row["number"], row["text"]) == (f"O-{number - 1}", number - 1, kept[number - 1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 300), group=st.integers(1, 120), cells=st.integers(1, 60), size=st.integers(1, 4000), data=st.data())
def test_however_little_is_held_at_once_the_columns_are_those_of_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, group: int, cells: int, size: int, data: st.DataObject
) -> None:
    """Readers that are closed and opened again, dictionaries, slices that grow and shrink: all of it with a few rows."""
    large, held = data.draw(st.integers(1, 3000)), data.draw(st.sampled_from([0, 2000, 2**30]))
    for name, value in {"_PIECE_BYTES": size, "_PIECE_ROWS": 16, "_LARGE_BYTES": large, "_HELD_BYTES": held, "_NESTED_BYTES": size}.items():
        monkeypatch.setattr(parquet_others, name, value)
    for name, value in {"_SHOWN_CELLS": cells, "_MOST_SHOWN_CELLS": 4 * cells, "_SHOWN_BYTES": size, "_JSON_BYTES": size}.items():
        monkeypatch.setattr(decoders, name, value)
    columns = {
        "number": pa.array(range(rows)),
        "text": texts(rows, 0),
        "often": texts(rows, 1),
        "list": pa.array([[n] for n in range(rows)]),
    }
    path = tmp_path / "DE.parquet"
    path.write_bytes(sent(columns, rows, row_group_size=group))
    wanted = data.draw(st.sets(st.integers(0, rows - 1)))
    found, at = [], 0
    for batch in ParquetDecoder(path, LIMITS).batches(["sku"]):
        positions = [n - at for n in sorted(wanted) if at <= n < at + batch.frame.height]
        found += [json.loads(row) for part in batch.sent(pl.Series(positions, dtype=pl.UInt32)) for row in part]
        at += batch.frame.height
    kept = columns["often"].to_pylist()
    assert [(row["order_id"], row["number"], row["text"], row["often"]) for row in found] == [
        (f"O-{n}", n, f"text {n}", kept[n]) for n in sorted(wanted)
    ]
    most = "(not shown: it is too long)"
    assert all(row["list"] in {f"[{row['number']}]", *([most] if size < 400 else [])} for row in found)


def test_more_rows_than_are_shown_at_once_keep_their_order(desk: Desk) -> None:
    rows = 70_000  # of more than one batch, too
    found = shown(desk, sent({"number": pa.array(range(rows)), "text": texts(rows, 0)}, rows, row_group_size=40_000))
    assert list(found) == [*range(1, rows + 1)]
    assert all(row["number"] == number - 1 and row["text"] == f"text {number - 1}" for number, row in found.items())


def often(value: str, rows: int) -> "pa.Array[Any]":
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))


def test_a_text_that_is_repeated_does_not_expand(desk: Desk) -> None:
    """A hundred gigabytes, if each row had its own."""
    content = sent({"extra": often("a" * 1_000_000, 100_000)}, 100_000, lambda row: row % 1000 == 0, compression="zstd")
    assert len(content) < 1_000_000
    rows = shown(desk, content)
    assert len(rows) == 100
    assert {row["extra"] for row in rows.values()} == {"a" * 1000 + "… (1000000 characters)"}


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_column_that_needs_too_much_memory_says_so_and_the_others_are_shown(tmp_path: Path, dictionary: bool) -> None:
    columns = {"small": pa.array([1, 2, 3]), "large": pa.array(["a" * 400_000_000, "b", "c"]), "after": pa.array(["x", "y", "z"])}
    with DecoderPool(1, 300) as pool:
        rows = shown(Desk(tmp_path, pool), sent(columns, 3, lambda row: row > 0, use_dictionary=dictionary, compression="zstd"))
    assert [(row["small"], row["large"], row["after"]) for row in rows.values()] == [(2, NEEDS_MEMORY, "y"), (3, NEEDS_MEMORY, "z")]


def values_of_many(kind: str) -> tuple[int, dict[str, Any]]:
    """Rows, and columns that take little in the file and much as text."""
    match kind:
        case "flags in every row":
            return 3500, {"extra": pa.array([[True] * 6000] * 3500)}
        case "flags in one row":
            return 3, {"extra": pa.array([[True], [True] * 20_000_000, [False]])}
        case "structs":
            one = pa.array([[{f"f{k}": 1 for k in range(8)}] * 900] * 10, pa.list_(pa.struct([(f"f{k}", pa.int8()) for k in range(8)])))
            return 1000, {"extra": pa.chunked_array([one] * 100)}
        case "control characters":
            return 3000, {f"extra{k}": pa.array([chr(1 + row % 9) * 1000 for row in range(3000)]) for k in range(10)}
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["flags in every row", "flags in one row", "structs", "control characters"])
def test_values_that_are_long_as_text_reject_no_file(desk: Desk, kind: str) -> None:
    rows, columns = values_of_many(kind)
    found = shown(desk, sent(columns, rows, compression="zstd"))
    assert [(number, row["order_id"]) for number, row in found.items()] == [(number + 1, f"O-{number}") for number in range(rows)]
    begins = {"[true", "[false", '[{"f0":1', *(chr(1 + n) for n in range(9)), "(not shown: "}
    # All of them, or, where that is too much for the process, one for all.
    others = [[row[name] for name in row if name in columns or "more column" in name] for row in found.values()]
    assert all(cells and all(cell.startswith(tuple(begins)) for cell in cells) for cells in others)


def test_a_file_that_needs_too_much_memory_with_its_other_columns_counts_without_them(tmp_path: Path) -> None:
    rows, columns = values_of_many("control characters")
    with DecoderPool(1, 300) as pool:
        desk = Desk(tmp_path, pool)
        found = shown(desk, sent(columns, rows))
        assert len(found) == rows
        told = {"(10 more columns)": "(not shown: with them the file needs more memory or time than decoding one may take)"}
        assert all(list(row)[-1:] == list(told) and row | told == row and not row.keys() & columns.keys() for row in found.values())
        assert [row["order_id"] for row in found.values()] == [f"O-{number}" for number in range(rows)]
        assert [name.split("/")[0] for name in desk.left_behind()] == ["inbox", "quarantine", "raw"]


def test_names_take_memory_too(tmp_path: Path) -> None:
    columns = {f"{'n' * 300}{k}": pa.array(["x"] * 3000) for k in range(190)}
    with DecoderPool(1, 400) as pool:
        found = shown(Desk(tmp_path, pool), sent(columns, 3000))
    assert len(found) == 3000
    assert all(row[name] == "x" for row in found.values() for name in columns)


def test_what_is_shown_does_not_depend_on_what_the_process_decoded_before(tmp_path: Path) -> None:
    content = sent({f"extra{k}": often(chr(97 + k) * 5000, 14_000) for k in range(20)}, 14_000, compression="zstd")
    rows = []
    for other in (None, "csv"):
        with DecoderPool(1, 450) as pool:
            desk = Desk(tmp_path / str(other), pool)
            desk.root.mkdir()
            if other:
                desk.decode(
                    WRITERS[other]([order(number, sku="NONE", note="y" * 99) for number in range(20_000)]), other, name="DE__before"
                )
            rows.append(shown(desk, content))
    assert rows[0] == rows[1]


def test_a_column_that_is_damaged_says_so_and_the_others_are_shown(desk: Desk) -> None:
    columns = {"before": pa.array(range(9)), "hurt": pa.array([f"some text {row}" for row in range(9)]), "after": pa.array(["x"] * 9)}
    content = bytearray(sent(columns, 9, lambda row: row == 5, use_dictionary=False, compression="zstd"))
    chunk = next(
        chunk
        for chunk in (pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(number) for number in range(9))
        if chunk.path_in_schema == "hurt"
    )
    start = chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    [(number, row)] = shown(desk, bytes(content)).items()
    assert (number, row["before"], row["hurt"], row["after"]) == (6, 5, "(not shown: it cannot be read)", "x")


def test_nobody_reads_a_column_that_is_damaged_where_no_row_is_rejected(desk: Desk) -> None:
    content = bytearray(sent({"hurt": pa.array(["some text"] * 9)}, 9, lambda row: False, use_dictionary=False))
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(6)
    content[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    assert desk.decode(bytes(content), "parquet").accepted == 9
