"""The pool against real processes: order, replacement, and who ends with whom."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from procurement_platform.errors import ProcurementError
from procurement_platform.inbox.container import Header, encode_block, encode_header, encode_long
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform_tests.inbox.desk import Desk, avro, csv_bytes, order
from procurement_platform_tests.inbox.test_hostile_files import SCHEMA

ROWS = [order(number) for number in range(300)]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def pids(pool: DecoderPool) -> list[int]:
    return [process._popen.pid for process in (*pool._idle, *pool._busy)]


@pytest.fixture
def own(tmp_path: Path) -> Desk:
    return Desk(tmp_path, DecoderPool(2, 512))


def test_outcomes_come_in_the_order_of_the_tasks(own: Desk) -> None:
    with own.pool as pool:
        tasks = [own.task(csv_bytes(ROWS[: number * 7 + 1]), "csv", name=f"DE__{number}") for number in range(12)]
        assert [outcome.rows for outcome in pool.run(tasks)] == [number * 7 + 1 for number in range(12)]
        assert len(pids(pool)) == 1, "small files are not worth a second process"


def test_processes_start_when_needed_and_end_with_close(own: Desk) -> None:
    pool = own.pool
    assert pids(pool) == []
    assert list(pool.run([])) == []
    assert pids(pool) == []
    list(pool.run([own.task(avro(ROWS), "avro")]))
    first = pids(pool)
    list(pool.run([own.task(avro(ROWS), "avro")]))
    assert pids(pool) == first
    pool.close()
    assert until(lambda: all(map(gone, first)))


def test_a_second_process_for_much_work(own: Desk) -> None:
    with own.pool as pool:
        big = csv_bytes([*ROWS[1:], order(0, note="x" * 5_000_000)])
        outcomes = list(pool.run([own.task(big, "csv", name=f"DE__{number}") for number in range(3)]))
        assert [outcome.accepted for outcome in outcomes] == [300, 300, 300]
        assert len(pids(pool)) == 2


def test_an_idle_process_that_was_killed_is_replaced_unnoticed(own: Desk) -> None:
    with own.pool as pool:
        list(pool.run([own.task(avro(ROWS), "avro")]))
        [pid] = pids(pool)
        os.kill(pid, signal.SIGKILL)
        [outcome] = pool.run([own.task(avro(ROWS), "avro")])
        assert outcome.status == "accepted"
        assert pids(pool) != [pid]


def test_a_process_started_by_a_thread_that_ended_is_replaced(own: Desk) -> None:
    with own.pool as pool:
        thread = threading.Thread(target=lambda: list(pool.run([own.task(avro(ROWS), "avro")])))
        thread.start()
        thread.join()
        [outcome] = pool.run([own.task(avro(ROWS), "avro")])
        assert outcome.status == "accepted"


def test_a_process_killed_over_a_file_rejects_that_file(own: Desk) -> None:
    # A file that keeps the decoder busy for a while, so that the kill finds it at work.
    schema = SCHEMA | {"fields": [{"name": "void", "type": {"type": "array", "items": "null"}}, *SCHEMA["fields"]]}
    slow = encode_header(Header(schema, "null", b"s" * 16)) + encode_block(1, encode_long(2**60) + bytes(200), b"s" * 16)
    with own.pool as pool:
        tasks = [own.task(slow, "avro", name="DE__slow"), own.task(avro(ROWS), "avro", name="DE__fine")]

        def at_the_slow_one() -> list[int]:
            return [process._popen.pid for process in pool._busy if process.started and process.index == 0]

        def kill() -> None:
            assert until(lambda: bool(at_the_slow_one()))
            os.kill(at_the_slow_one()[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        outcomes = list(pool.run(tasks))
        killer.join()
        assert [outcome.status for outcome in outcomes] == ["rejected", "accepted"]
        assert outcomes[0].reason
        assert "SIGKILL" in outcomes[0].reason
        assert outcomes[0].raw_path
        assert Path(outcomes[0].raw_path).read_bytes() == slow
        assert not [name for name in own.left_behind() if name.endswith(".tmp")]


def test_leaving_early_ends_what_is_under_way(own: Desk) -> None:
    with own.pool as pool:
        results = pool.run([own.task(avro(ROWS), "avro", name=f"DE__{number}") for number in range(4)])
        assert next(results).status == "accepted"
        busy = [process._popen.pid for process in pool._busy]
        results.close()  # type: ignore[attr-defined]
        assert all(map(gone, busy))
        assert [outcome.status for outcome in pool.run([own.task(avro(ROWS), "avro")])] == ["accepted"]


def test_processes_end_with_their_parent_however_it_ends(own: Desk, tmp_path: Path) -> None:
    task = own.task(avro(ROWS), "avro")
    (tmp_path / "task.json").write_text(task.to_json())
    script = """
import sys
from pathlib import Path
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeTask
pool = DecoderPool(1, 512)
print([each.status for each in pool.run([DecodeTask.from_json(Path(sys.argv[1]).read_text())])], flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "task.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "['accepted']\n"
        workers = children(parent.pid)
        assert len(workers) == 1
        parent.kill()
        assert until(lambda: all(map(gone, workers)))


def test_works_with_stdin_closed(own: Desk, tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text(own.task(avro(ROWS), "avro").to_json())
    script = """
import os, sys
os.close(0)
from pathlib import Path
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeTask
with DecoderPool(1, 512) as pool:
    print([each.rows for each in pool.run([DecodeTask.from_json(Path(sys.argv[1]).read_text())])])
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "task.json")], capture_output=True, text=True, check=True)
    assert done.stdout == "[300]\n"


def test_a_fault_of_the_machine_is_no_fault_of_the_file(own: Desk) -> None:
    with own.pool as pool:
        task = own.task(avro(ROWS), "avro", lines_folder="/proc/no/such/place")
        with pytest.raises(ProcurementError, match=r"DE\.avro cannot be taken in"):
            list(pool.run([task]))
        assert [outcome.status for outcome in pool.run([own.task(avro(ROWS), "avro")])] == ["accepted"]


def test_a_file_that_went_away_is_unsettled(own: Desk) -> None:
    with own.pool as pool:
        task = own.task(avro(ROWS), "avro")
        Path(task.source).unlink()
        [outcome] = pool.run([task])
        assert outcome.status == "unsettled"


def test_a_link_in_a_files_place_is_not_followed(own: Desk) -> None:
    with own.pool as pool:
        task = own.task(avro(ROWS), "avro")
        source = Path(task.source)
        target = source.rename(source.with_name("elsewhere"))
        source.symlink_to(target)
        [outcome] = pool.run([task])
        assert outcome.status == "unsettled"
        assert own.left_behind() == ["inbox/DE.avro", "inbox/elsewhere"]
