"""Decoding for a lake that is not on this machine: the same outcomes, and every byte where the lake keeps it."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from procurement_platform.errors import LakeUnavailable
from procurement_platform.inbox import landing
from procurement_platform.inbox.landing import batches, decode
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform.lake.files import Lake
from procurement_platform_tests.inbox.desk import Desk, avro, csv_bytes, order
from procurement_platform_tests.inbox.test_as_sent import asking

ROWS = [order(number) for number in range(50)]


@pytest.fixture
def lake() -> Iterator[Lake]:
    """A lake in this process's memory: another file system than the local one, and a real one."""
    made = Lake(f"memory://landing-{uuid4().hex}")
    yield made
    made.remove_folder("")


def there(lake: Lake, task: DecodeTask, content: bytes) -> DecodeTask:
    """The desk's task, with all its places in the lake and its file there."""
    source = f"inbox/{task.feed}/{Path(task.source).name}"
    lake.write(source, content)
    lake.write("reference/products.parquet", Path(task.products).read_bytes())
    return replace(
        task,
        source=lake.path(source),
        raw_folder=lake.path("raw"),
        rejected_folder=lake.path("rejected"),
        lines_folder=lake.path("lines"),
        quarantine_folder=lake.path("quarantined"),
        products=lake.path("reference/products.parquet"),
    )


def done(pool: DecoderPool, lake: Lake, tmp_path: Path, *tasks: DecodeTask) -> list[DecodeOutcome]:
    found = list(decode(pool, lake, tasks, tmp_path / "scratch"))
    assert list((tmp_path / "scratch").iterdir()) == []
    return found


def rows_in(lake: Lake, url: str) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(lake.read(lake.relative(url)))).to_pylist()


def test_what_is_decoded_is_what_a_local_lake_gets(desk: Desk, lake: Lake, tmp_path: Path) -> None:
    content = avro([*ROWS, order(99, quantity=Decimal(-1)), order(98, sku="nonesuch")])
    near = desk.task(content, "avro", name="DE__near")
    (local,) = desk.pool.run([near])
    (far,) = done(desk.pool, lake, tmp_path, there(lake, desk.task(content, "avro", name="DE__near"), content))
    same = {"status", "sha256", "size", "file_id", "rows", "accepted", "quarantined", "accepted_quantity", "quarantined_quantity", "notes"}
    assert {name: getattr(far, name) for name in same} == {name: getattr(local, name) for name in same}
    for mine, theirs in ((far.lines_files, local.lines_files), (far.quarantine_files, local.quarantine_files)):
        assert [rows_in(lake, url) for url in mine] == [pq.read_table(path).to_pylist() for path in theirs]
        assert [url.rsplit("/", 1)[1] for url in mine] == [Path(path).name for path in theirs]
    assert far.raw_path == lake.path("raw", f"DE__near.{far.file_id}.avro")
    assert lake.read(lake.relative(far.raw_path)) == content
    assert lake.files("lines")
    assert lake.files("quarantined")


def test_a_rejected_file_keeps_its_bytes_and_nothing_else(desk: Desk, lake: Lake, tmp_path: Path) -> None:
    content = avro(ROWS)[:-30]
    (outcome,) = done(desk.pool, lake, tmp_path, there(lake, desk.task(content, "avro"), content))
    assert outcome.status == "rejected"
    assert outcome.raw_path == lake.path("rejected", f"DE.{outcome.file_id}.avro")
    assert lake.read(lake.relative(outcome.raw_path)) == content
    assert lake.files("raw") == lake.files("lines") == lake.files("quarantined") == []


def test_a_raw_copy_is_read_again_where_it_is(desk: Desk, lake: Lake, tmp_path: Path) -> None:
    content = csv_bytes(ROWS)
    task = replace(there(lake, desk.task(content, "csv"), content), raw_folder=None)
    (outcome,) = done(desk.pool, lake, tmp_path, task)
    assert (outcome.status, outcome.raw_path) == ("accepted", task.source)
    assert lake.files("raw") == []


def test_rows_that_are_asked_for_come_from_the_raw_copy_into_the_lake(desk: Desk, lake: Lake, tmp_path: Path) -> None:
    content = avro(ROWS)
    task = there(lake, desk.task(content, "avro"), content)
    (decoded,) = done(desk.pool, lake, tmp_path, task)
    asked = asking(desk, replace(task, source=str(decoded.raw_path)), decoded.file_id, [2, 50])
    lake.write("work/repeated.parquet", Path(asked.asked[0]).read_bytes())
    asked = replace(asked, lines_folder=lake.path("work/shown"), asked=(lake.path("work/repeated.parquet"),))
    (outcome,) = done(desk.pool, lake, tmp_path, asked)
    assert (outcome.status, outcome.raw_path, outcome.rows) == ("accepted", decoded.raw_path, 2)
    (url,) = outcome.lines_files
    assert lake.files("work/shown") == [url.rsplit("/", 1)[1]]
    assert [(row["row_number"], json.loads(row["row"])["order_id"]) for row in rows_in(lake, url)] == [(2, "O-1"), (50, "O-49")]


def test_each_file_is_answered_in_its_place(desk: Desk, lake: Lake, tmp_path: Path) -> None:
    contents = [csv_bytes(ROWS[: number + 1]) for number in range(7)]
    tasks = [there(lake, desk.task(content, "csv", name=f"DE__{n}"), content) for n, content in enumerate(contents)]
    lake.remove(lake.relative(tasks[2].source))  # went away since it was listed
    limited = replace(tasks[4], limits=replace(tasks[4].limits, max_file_bytes=10))
    outcomes = done(desk.pool, lake, tmp_path, *tasks[:4], limited, *tasks[5:])
    assert [outcome.status for outcome in outcomes] == ["accepted"] * 2 + ["unsettled", "accepted", "rejected"] + ["accepted"] * 2
    assert [outcome.rows for outcome in outcomes] == [1, 2, 0, 4, 0, 6, 7]
    large = outcomes[4]
    assert "more than 10: split it, the first part under this name (PROCUREMENT_MAX_FILE_BYTES)" in str(large.reason)
    assert (large.raw_path, large.sha256, large.size) == (None, hashlib.sha256(contents[4]).hexdigest(), len(contents[4]))


def test_a_file_that_changes_while_it_is_brought_is_left_for_later(
    desk: Desk, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = there(lake, desk.task(csv_bytes(ROWS), "csv"), csv_bytes(ROWS))
    fetch = Lake.download

    def and_grow(self: Lake, relative: str, local: Path) -> None:
        fetch(self, relative, local)
        if relative.startswith("inbox"):
            lake.write(relative, csv_bytes([*ROWS, order(77)]))

    monkeypatch.setattr(Lake, "download", and_grow)
    (outcome,) = done(desk.pool, lake, tmp_path, task)
    assert outcome.status == "unsettled"
    assert lake.files("raw") == lake.files("lines") == []


def test_no_more_than_some_bytes_lie_here_at_once(desk: Desk, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = csv_bytes(ROWS)
    monkeypatch.setattr(landing, "NEAR_BYTES", 2 * len(content))
    tasks = [there(lake, desk.task(content, "csv", name=f"DE__{n}"), content) for n in range(5)]
    held = []
    fetch = Lake.download

    def counted(self: Lake, relative: str, local: Path) -> None:
        fetch(self, relative, local)
        held.append(len(list(local.parents[2].glob("files/*/sent/*"))) if relative.startswith("inbox") else 0)

    monkeypatch.setattr(Lake, "download", counted)
    assert [outcome.status for outcome in done(desk.pool, lake, tmp_path, *tasks)] == ["accepted"] * 5
    assert max(held) <= 2


def test_batches_hold_what_fits_and_a_larger_file_alone() -> None:
    sizes = {"a": 3, "b": 3, "c": 5, "d": 20, "e": 1}
    groups = batches(list(sizes), sizes.__getitem__, 10)
    assert list(groups) == [["a", "b"], ["c"], ["d"], ["e"]]


def test_the_scratch_of_a_killed_run_goes(desk: Desk, lake: Lake, tmp_path: Path) -> None:
    left = tmp_path / "scratch" / "landing-999999999-x" / "files"
    left.mkdir(parents=True)
    content = csv_bytes(ROWS)
    assert done(desk.pool, lake, tmp_path, there(lake, desk.task(content, "csv"), content))[0].rows == 50


def test_a_lake_that_fails_leaves_decoding_processes_that_can_be_closed(
    desk: Desk, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = there(lake, desk.task(csv_bytes(ROWS), "csv"), csv_bytes(ROWS))

    def away(self: Lake, local: Path, relative: str) -> None:
        raise LakeUnavailable(f"{relative}: the lake went away")

    monkeypatch.setattr(Lake, "upload", away)
    pool = DecoderPool(1, 512)
    with pytest.raises(LakeUnavailable, match="went away") as remembered:
        list(decode(pool, lake, [task], tmp_path / "scratch"))
    closing = threading.Thread(target=pool.close, daemon=True)
    closing.start()
    closing.join(30)
    assert not closing.is_alive(), f"kept open by {remembered.value!r}"
