"""The pool against real processes: order, replacement, and who ends with whom."""

import hashlib
import json
import os
import re
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
from procurement_platform.inbox.identity import file_id
from procurement_platform.inbox.intake import unfinished
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform_tests.inbox.desk import DAY, Desk, avro, csv_bytes, order, parquet
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


def test_processes_started_before_there_is_a_file_take_the_files(own: Desk) -> None:
    with own.pool as pool:
        pool.start()
        [first] = pids(pool)
        pool.start(9)
        both = pids(pool)
        assert len(both) == 2, "no more than the pool may have"
        assert both[0] == first
        assert [outcome.accepted for outcome in pool.run([own.task(avro(ROWS), "avro", name=f"DE__{n}") for n in range(4)])] == [300] * 4
        assert sorted(pids(pool)) == sorted(both)


def test_a_second_process_for_much_work(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("procurement_platform.inbox.pool._KEPT_MIB", 10_000)  # they are counted afterwards
    with own.pool as pool:
        big = csv_bytes([*ROWS[1:], order(0, note="x" * 5_000_000)])
        outcomes = list(pool.run([own.task(big, "csv", name=f"DE__{number}") for number in range(3)]))
        assert [outcome.accepted for outcome in outcomes] == [300, 300, 300]
        assert len(pids(pool)) == 2


def test_a_process_that_grew_ends_with_its_files_and_others_stay(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with own.pool as pool:
        [outcome] = pool.run([own.task(csv_bytes(ROWS), "csv")])
        assert len(pids(pool)) == 1
        big = csv_bytes([*ROWS[1:], order(0, note="x" * 5_000_000)])
        monkeypatch.setattr("procurement_platform.inbox.pool._KEPT_MIB", outcome.peak_memory_mib + 5)
        [outcome] = pool.run([own.task(big, "csv")])
        assert outcome.accepted == 300
        assert pids(pool) == []
        [again] = pool.run([own.task(csv_bytes(ROWS), "csv")])
        assert again.accepted == 300
        assert len(pids(pool)) == 1


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


def slow() -> bytes:
    """A file that keeps the decoder busy for a while, so that a signal finds it at work."""
    schema = SCHEMA | {"fields": [{"name": "void", "type": {"type": "array", "items": "null"}}, *SCHEMA["fields"]]}
    return encode_header(Header(schema, "null", b"s" * 16)) + encode_block(1, encode_long(2**60) + bytes(200), b"s" * 16)


def end(pool: DecoderPool, task: DecodeTask, how: signal.Signals, times: int = 1) -> Callable[[], list[int]]:
    """Ends, with a signal, the first processes that are at work on the first task; the function returned waits, and tells which."""
    ended: list[int] = []

    def hit() -> None:
        def at_work() -> list[int]:
            # What is not yet whole is there only while a process is at the file, so that a kill never comes after it is done.
            busy = [each._popen.pid for each in pool._busy if each.started and each.index == 0 and each._popen.pid not in ended]
            return busy if unfinished(str(task.raw_folder), task).exists() else []

        for _ in range(times):
            found: list[int] = []
            assert until(lambda found=found: bool(found.extend(at_work()) or found))  # type: ignore[misc]
            os.kill(found[0], how)
            ended.append(found[0])

    thread = threading.Thread(target=hit)
    thread.start()

    def wait() -> list[int]:
        thread.join()
        return ended

    return wait


def test_a_good_file_survives_the_kill_of_its_process(own: Desk) -> None:
    """The kernel ends a process when the machine's memory runs out: that is no fault of the file."""
    header, row = csv_bytes([order()]).splitlines(keepends=True)
    with own.pool as pool:
        tasks = [
            own.task(header + row * 200_000, "csv", name="DE__big"),
            own.task(avro(ROWS), "avro", name="DE__fine"),
        ]
        wait = end(pool, tasks[0], signal.SIGKILL)
        outcomes = list(pool.run(tasks))
        [pid] = wait()
        assert [(outcome.status, outcome.accepted) for outcome in outcomes] == [("accepted", 200_000), ("accepted", 300)]
        assert gone(pid)
        assert not [name for name in own.left_behind() if name.endswith(".tmp")]


def test_a_file_whose_process_is_killed_twice_is_rejected_for_now(own: Desk) -> None:
    """As in a small container, whose kernel ends whatever takes too much, each time."""
    with own.pool as pool:
        tasks = [own.task(slow(), "avro", name="DE__slow"), own.task(avro(ROWS), "avro", name="DE__fine")]
        wait = end(pool, tasks[0], signal.SIGKILL, times=2)
        outcomes = list(pool.run(tasks))
        first, second = wait()
        assert first != second
        assert [(each.status, each.look_again) for each in outcomes] == [("rejected", True), ("accepted", False)]
        told = r"orders 2025-12-20 DE__slow\.avro took its decoding process down twice \(SIGKILL\), .* PROCUREMENT_DECODE_MEMORY_MIB"
        assert re.match(told, str(outcomes[0].reason))
        assert outcomes[0].raw_path
        assert Path(outcomes[0].raw_path).read_bytes() == slow()
        assert not [name for name in own.left_behind() if name.endswith(".tmp") or name.startswith(("lines/.", "lines/DE__slow"))]


def test_a_file_whose_process_a_person_ends_twice_fails_the_run(own: Desk) -> None:
    with own.pool as pool:
        tasks = [own.task(slow(), "avro", name="DE__slow"), own.task(avro(ROWS), "avro", name="DE__fine")]
        wait = end(pool, tasks[0], signal.SIGTERM, times=2)
        with pytest.raises(ProcurementError, match=r"DE__slow\.avro: .* ended twice from outside \(SIGTERM\).* nothing was recorded"):
            list(pool.run(tasks))
        wait()
        left = own.left_behind()
        assert not [
            name for name in left if name.endswith(".tmp") or name.startswith("rejected") or "slow" in name.removeprefix("inbox/DE__slow")
        ]
        assert [outcome.status for outcome in pool.run(tasks[1:])] == ["accepted"]


def test_an_error_of_a_decoder_is_told_as_what_it_is(own: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that nobody foresaw, wherever it comes from: memory is not to blame."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "sitecustomize.py").write_text(ODD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'odd'}:{os.environ.get('PYTHONPATH', '')}")
    with own.pool as pool:
        for name, told in ODD_ERRORS.items():
            task = own.task(avro(ROWS), "avro", name=f"DE__{name}")
            [outcome] = pool.run([task])
            assert (outcome.status, outcome.look_again) == ("rejected", True)
            assert str(outcome.reason).startswith(f"orders 2025-12-20 DE__{name}.avro {told}")
            assert ("PROCUREMENT_DECODE_MEMORY_MIB" in str(outcome.reason)) is ("emory" in told)
            assert Path(str(outcome.raw_path)).read_bytes() == avro(ROWS)
            assert not [each for each in own.left_behind() if each.startswith(("lines", "quarantine", "raw")) and name in each]
        assert [outcome.status for outcome in pool.run([own.task(avro(ROWS), "avro")])] == ["accepted"]


# What the decoding processes of one test do instead of looking at rows, by the file's name.
ODD = """
import polars as pl
from procurement_platform.inbox.check import Checker

right = Checker.check

def odd(checker, batch):
    match checker._task.name:
        case "DE__polars":
            pl.DataFrame({"a": [1]}).select("b")
        case "DE__panic":
            raise pl.exceptions.PanicException("index out of bounds")
        case "DE__deep":
            return odd(checker, batch)
        case "DE__memory":
            raise MemoryError
        case "DE__exit":
            raise SystemExit("out of order")
    return right(checker, batch)

Checker.check = odd
"""
ODD_ERRORS = {
    "polars": 'cannot be decoded (ColumnNotFoundError: unable to find column "b"',
    "panic": "cannot be decoded (PanicException: index out of bounds): send it again as CSV",
    "deep": "cannot be decoded (RecursionError: maximum recursion depth exceeded",
    "memory": "needs more memory than decoding one file may take",
    "exit": "cannot be decoded (out of order): send it again as CSV",
}


@pytest.mark.parametrize("how", [signal.SIGABRT, signal.SIGSEGV, signal.SIGXCPU])
def test_a_file_that_takes_its_process_down_is_rejected(own: Desk, how: signal.Signals) -> None:
    with own.pool as pool:
        tasks = [own.task(slow(), "avro", name="DE__slow"), own.task(avro(ROWS), "avro", name="DE__fine")]
        wait = end(pool, tasks[0], how)
        outcomes = list(pool.run(tasks))
        assert len(wait()) == 1
        assert [outcome.status for outcome in outcomes] == ["rejected", "accepted"]
        assert outcomes[0].reason
        assert (
            "longer than its size allows"
            if how is signal.SIGXCPU
            else "needs more memory than decoding one file may take: write it anew in smaller blocks"
        ) in outcomes[0].reason
        assert outcomes[0].look_again
        assert outcomes[0].raw_path
        assert Path(outcomes[0].raw_path).read_bytes() == slow()
        assert not [name for name in own.left_behind() if name.endswith(".tmp")]


@pytest.mark.parametrize(("name", "statuses"), [("once", "accepted"), ("always", "rejected")])
def test_of_parquet_it_is_decoded_once_more_without_the_columns_nobody_asked_for(
    own: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, statuses: str
) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "sitecustomize.py").write_text(ENDS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'odd'}:{os.environ.get('PYTHONPATH', '')}")
    rows = [{**order(1, sku="NONE"), "note": "x"}, {**order(2), "note": "y"}]
    with own.pool as pool:
        tasks = [own.task(parquet(rows), "parquet", name=f"DE__{name}"), own.task(avro(ROWS), "avro", name="DE__fine")]
        [outcome, fine] = pool.run(tasks)
    assert (outcome.status, fine.status) == (statuses, "accepted")
    if outcome.status == "accepted":
        [row] = own.quarantine(outcome)
        shown = json.loads(row["row"])
        assert (shown["order_id"], "note" in shown) == ("O-1", False)
        assert shown["(1 more column)"].startswith("(not shown: with them")
    else:
        assert "needs more memory than decoding one file may take" in str(outcome.reason)
    assert not [each for each in own.left_behind() if each.endswith(".tmp")]


@pytest.mark.parametrize(("form", "write"), [("csv", csv_bytes), ("parquet", parquet), ("avro", avro)])
@pytest.mark.parametrize("name", ["used", "short"])
def test_a_file_that_is_too_much_for_a_used_process_is_given_to_a_new_one(
    own: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str, write: Callable[[list[dict[str, object]]], bytes], name: str
) -> None:
    """What becomes of a file must not depend on what its process decoded before."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "sitecustomize.py").write_text(ENDS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'odd'}:{os.environ.get('PYTHONPATH', '')}")
    with own.pool as pool:
        large = [order(number, sku="NONE" if number == 1 else "SKU-1") for number in range(900)]
        tasks = [own.task(avro(large), "avro", name="DE__first"), own.task(write(large[:3]), form, name=f"DE__{name}")]
        outcomes = list(pool.run(tasks))
        assert [(each.status, each.accepted) for each in outcomes] == [("accepted", 899), ("accepted", 2)]
        assert "(not shown" not in own.quarantine(outcomes[1])[0]["row"]
        assert len(pids(pool)) == 1


# How the decoding processes of one test end, by the file's name.
ENDS = """
import os
from procurement_platform.inbox.check import Checker

right = Checker.check

def ends(checker, batch):
    task = checker._task
    if task.name == "DE__always" or (task.name == "DE__once" and not task.plain) or (task.name == "DE__used" and task.used):
        os.abort()
    if task.name == "DE__short" and task.used:
        raise MemoryError
    return right(checker, batch)

Checker.check = ends
"""


def test_a_file_that_keeps_the_decoder_turning_is_ended_by_the_setting(own: Desk) -> None:
    tasks = [own.task(slow(), "avro", name="DE__slow", decode_seconds=1), own.task(avro(ROWS), "avro", name="DE__fine")]
    with own.pool as pool:
        outcomes = list(pool.run(tasks))
    assert [outcome.status for outcome in outcomes] == ["rejected", "accepted"]
    assert "longer than its size allows" in str(outcomes[0].reason)
    assert "PROCUREMENT_DECODE_SECONDS" in str(outcomes[0].reason)


def test_names_that_differ_in_a_blank_do_not_meet(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their safe names are one; the files are large enough to be decoded side by side."""
    monkeypatch.setattr("procurement_platform.inbox.pool._KEPT_MIB", 10_000)  # the processes are counted afterwards
    header, row = csv_bytes([order(note="x" * 100)]).splitlines(keepends=True)
    with own.pool as pool:
        names = ["DE__a b", "DE__a+b", "DE__a,b"]
        tasks = [own.task(header + row * (60_000 + number) + b"x\n", "csv", name=name) for number, name in enumerate(names)]
        outcomes = list(pool.run(tasks))
        assert len(pids(pool)) == 2
        assert [(each.status, each.accepted, each.quarantined) for each in outcomes] == [("accepted", 60_000 + n, 1) for n in range(3)]
        assert [len(own.lines(outcome)) for outcome in outcomes] == [60_000, 60_001, 60_002]
        for folder in ("lines", "quarantine", "raw"):
            assert len([name for name in own.left_behind() if name.startswith(f"{folder}/")]) == 3


def test_a_file_that_may_not_be_read_is_rejected(own: Desk, tmp_path: Path) -> None:
    """Without root's right to read everything, which the child gives up for the processes it starts."""
    tasks = [own.task(avro(ROWS), "avro", name="DE__locked"), own.task(avro(ROWS), "avro", name="DE__fine")]
    Path(tasks[0].source).chmod(0)
    (tmp_path / "tasks").write_text("\n".join(task.to_json() for task in tasks))
    script = """
import ctypes, sys
from pathlib import Path
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeTask
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
tasks = [DecodeTask.from_json(line) for line in Path(sys.argv[1]).read_text().splitlines()]
with DecoderPool(1, 512) as pool:
    for outcome in (*pool.run(tasks), *pool.run(tasks)):
        print(outcome.to_json())
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "tasks")], capture_output=True, text=True, check=True)
    locked, fine, again, _ = map(DecodeOutcome.from_json, done.stdout.splitlines())
    assert (locked.status, fine.status) == ("rejected", "accepted")
    told = "orders 2025-12-20 DE__locked.avro cannot be read (Permission denied): give the platform read access"
    assert (locked.reason, locked.raw_path, locked.size) == (told, None, 0)
    assert locked.sha256 == hashlib.sha256(told.partition("avro ")[2].encode()).hexdigest()
    assert locked.file_id == file_id("orders", DAY, "DE__locked.avro", locked.sha256)
    assert (again.file_id, again.sha256) == (locked.file_id, locked.sha256)
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


def test_a_decoding_process_is_given_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It parses what strangers wrote; its environment is there for whoever takes it over."""
    secrets = ("PROCUREMENT_DATABASE_URL", "PROCUREMENT_ALERT_URLS", "AWS_SECRET_ACCESS_KEY", "MY_TOKEN", "PGPASSWORD")
    for name in secrets:
        monkeypatch.setenv(name, f"s3cret-{name}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with DecoderPool(1, 512) as pool:
        assert Desk(tmp_path, pool).decode(csv_bytes(ROWS), "csv").status == "accepted"
        (process,) = pool._idle
        told = Path(f"/proc/{process._popen.pid}/environ").read_bytes()
    assert b"s3cret" not in told
    names = {line.partition(b"=")[0].decode() for line in told.split(b"\0") if line}
    assert not names & set(secrets)
    assert {"PATH", "TMPDIR", "POLARS_MAX_THREADS"} <= names
