"""The decoding process: one file per task, in bounded memory, tasks and outcomes as lines of JSON over stdin and stdout.

Files come from outside: a process of its own holds whatever they do to the decoder. It ends with its parent, may take a declared amount of
memory and processor time, and leaves nothing behind for a file it rejects but the file's own bytes.
"""

import ctypes
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import polars as pl
import pyarrow as pa

from procurement_platform.errors import InvalidFile, OverLimit
from procurement_platform.inbox import words
from procurement_platform.inbox.as_sent import write_rows_as_sent
from procurement_platform.inbox.check import Checker
from procurement_platform.inbox.contracts import Contract, contract_from_avsc
from procurement_platform.inbox.decoders import NOT_UTF8, BrokenRow, open_decoder
from procurement_platform.inbox.identity import safe_name
from procurement_platform.inbox.intake import NotTaken, Taken, short_of_memory, take, too_large, undecodable, unfinished
from procurement_platform.inbox.output import ParquetOutput
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.inbox.task import NO_USE, SPLIT, UNDER_ANOTHER_NAME, DecodeOutcome, DecodeTask
from procurement_platform.texts import shorten

MIB = 1024 * 1024
_PR_SET_PDEATHSIG = 1
_BYTES_A_SECOND = 250_000  # a tenth of the slowest reader's speed


def decode(task: DecodeTask, has_others: Callable[[], object] = lambda: None) -> DecodeOutcome:
    """Takes one file in and reads it whole: hash, raw copy, rows, contract, Parquet. Or shows those of its rows that are asked for.

    `has_others` is called where the file has columns beyond the contract.

    Raises:
        MemoryError: it may end otherwise in another process, or without those columns.
        OSError: the machine, not the file, keeps it from being decoded.
    """
    begun = time.perf_counter()
    try:
        taken = take(task)
    except NotTaken as problem:
        return problem.outcome(task)
    taken_at = time.perf_counter()
    reading: _Pass | None = None
    try:
        if task.asked:
            outcome = write_rows_as_sent(task, taken, _contract(task.contract))
        else:
            reading = _Pass(task, taken)
            if reading.has_others:
                has_others()
            outcome = reading.run()
    except InvalidFile as problem:
        outcome = taken.reject(task, str(problem), look_again=isinstance(problem, OverLimit))
    except MemoryError:
        if task.used or (task.may_be_plain and reading and reading.has_others):
            raise
        outcome = taken.reject(task, short_of_memory(task.format), look_again=True)
    except OSError:
        raise  # the machine's fault, not the file's: decoders turn theirs into InvalidFile
    except (Exception, pl.exceptions.PanicException) as problem:  # noqa: BLE001  what nobody foresaw says what it is
        said = f"{type(problem).__name__}: {shorten(' '.join(str(problem).split()), 160)}"
        outcome = taken.reject(task, undecodable(said), look_again=True)
    seconds = {"take": taken_at - begun, **outcome.seconds, "all": time.perf_counter() - begun}
    return replace(outcome, seconds=seconds, peak_memory_mib=_peak_mib())


class _Pass:
    """The pass over one file's rows."""

    def __init__(self, task: DecodeTask, taken: Taken) -> None:
        if taken.path is None:
            raise too_large(taken, task)
        if taken.size == 0:
            raise InvalidFile("is empty, without even a header: send it again")
        self._task = task
        self._taken = taken
        self._seconds: dict[str, float] = {}
        self._clock = time.perf_counter()
        self._contract = _contract(task.contract)
        self._decoder = open_decoder(taken.path, task.format, task.limits, plain=task.plain, strict=task.used)
        self._checker = Checker(self._contract, self._decoder.schema, task, _active_products(task.products, task.run_date.isoformat()))
        self.has_others = len(self._decoder.schema) > len(self._checker.columns)
        name = f"{safe_name(task.file_name)}.{taken.file_id}.parquet"
        known = {"run_date": task.run_date, "file_id": taken.file_id}
        told = {**known, "feed": task.feed, "market": task.market, "file": task.file_name}
        self._lines = ParquetOutput(
            Path(task.lines_folder) / name,
            unfinished(task.lines_folder, task),
            task.columns,
            known | {self._contract.market.column: task.market},
        )
        folder = task.quarantine_folder
        self._quarantine = ParquetOutput(Path(folder) / name, unfinished(folder, task), QUARANTINE.sql_types, told)
        self._quantity = [Decimal(0), Decimal(0)]
        self._read = self._blank = self._own_market = self._other_market = 0
        self._other: str | None = None
        self._unread: BrokenRow | None = None

    def run(self) -> DecodeOutcome:
        try:
            self._rows()
            rows = self._read  # as read, and not as kept: whoever adds them up must come to the same
            self._has_rows(rows)
            self._has_own_market()
            lines_files, quarantine_files = self._lines.keep(), self._quarantine.keep()
        except BaseException:
            self._lines.discard()
            self._quarantine.discard()
            raise
        self._tick("write")
        raw_path = self._taken.accept(self._task)
        return DecodeOutcome(
            status="accepted",
            sha256=self._taken.sha256,
            size=self._taken.size,
            file_id=self._taken.file_id,
            raw_path=raw_path,
            rows=rows,
            accepted=self._lines.rows,
            quarantined=self._quarantine.rows,
            accepted_quantity=str(self._quantity[0]),
            quarantined_quantity=str(self._quantity[1]),
            lines_files=lines_files,
            quarantine_files=quarantine_files,
            notes=tuple(self._notes(rows)),
            seconds=self._seconds,
        )

    def _notes(self, rows: int) -> Iterator[str]:
        yield from self._checker.notes
        if self._blank:
            yield f"rows left out that have no value at all: {self._blank}"
        if rows and not self._lines.rows:
            yield NO_USE

    def _has_rows(self, rows: int) -> None:
        if not rows and self._contract.without_rows:
            raise InvalidFile(f"has columns and no rows, {self._contract.without_rows}")

    def _has_own_market(self) -> None:
        """Rows that name no market, or cannot be read at all, say nothing about whose file it is."""
        if self._other_market and not self._own_market:
            rows, unnamed = self._other_market, self._lines.rows + self._quarantine.rows - self._other_market
            remedy = "send it under its own market's name"
            if unnamed:
                why = f": row {self._unread.row_number} {self._unread.reason}" if self._unread else ""
                remedy = f"{remedy} ({unnamed} more name none that can be read{why})"
            other = shorten(self._other or "", 20)
            raise InvalidFile(
                f"has no row for {self._task.market}: all {rows} rows name another market, such as {other!r}; {remedy}{UNDER_ANOTHER_NAME}"
            )

    def _rows(self) -> None:
        limit, measure = self._task.limits.max_rows_per_file, self._contract.measure.column
        for batch in self._decoder.batches(set(self._checker.columns.values())):
            self._tick("decode")
            self._read += batch.rows
            self._blank += batch.blank
            if not batch.rows:
                continue
            checked = self._checker.check(batch)
            self._unread = _first_unread([*([self._unread] if self._unread else []), *batch.broken])
            self._own_market += checked.own_market
            self._other_market += checked.other_market
            self._other = self._other or checked.other
            self._quantity[0] += _total(checked.lines[measure])
            self._tick("check")
            self._lines.add(checked.lines)
            for rejected in checked.quarantine:
                self._quantity[1] += _total(rejected["quantity"])
                self._quarantine.add(rejected)
            self._tick("write")
            if self._lines.rows + self._quarantine.rows > limit:
                raise OverLimit(f"has more than {limit} rows: {SPLIT} (PROCUREMENT_MAX_ROWS_PER_FILE)")
        self._tick("decode")

    def _tick(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._clock
        self._clock = now


def main() -> None:
    """Serves tasks until stdin ends. Its one argument is the memory in MiB it may take beyond what it holds when idle."""
    _end_with_parent()
    memory_mib = int(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else may write among the answers
    _warm_up()
    _limit_memory(memory_mib)
    gc.freeze()  # the libraries' own objects stay: going through them would take longer than a small file does
    gc.disable()  # rows make millions of objects and no cycles; what else there is goes between files
    for line in sys.stdin:
        task = DecodeTask.from_json(line)
        _limit_time(task)
        print(words.STARTED, file=answers, flush=True)
        try:
            outcome = decode(task, lambda: print(words.OTHERS, file=answers, flush=True))
            print(words.OUTCOME, outcome.to_json(), file=answers, flush=True)
            gc.collect()
            gc.freeze()  # what is left are libraries and caches that the file was the first to need
        except MemoryError:
            sys.exit(1)
        except OSError as problem:
            print(words.FAILED, f"{task.file_name} cannot be taken in: {' '.join(str(problem).split())}", file=answers, flush=True)


@lru_cache(maxsize=8)
def _contract(avsc: str) -> Contract:
    return contract_from_avsc(avsc)


@lru_cache(maxsize=4)
def _active_products(path: str, run_date: str) -> pl.Series:
    """The SKUs active on a date; both ends of a product's time are inclusive, and an empty one is open."""
    day = pl.lit(run_date).str.to_date()
    products = pl.read_parquet(path, columns=["sku", "active_from", "active_to"], memory_map=False, glob=False)
    active = (pl.col("active_from").is_null() | (pl.col("active_from") <= day)) & (
        pl.col("active_to").is_null() | (pl.col("active_to") >= day)
    )
    return products.filter(active)["sku"].unique().sort()


def _first_unread(broken: list[BrokenRow]) -> BrokenRow | None:
    """Of rows that cannot be read the one to tell of: bytes that are no UTF-8 concern a whole file."""
    return min(broken, key=lambda row: (not row.reason.startswith(NOT_UTF8), row.row_number), default=None)


def _total(quantities: pl.Series) -> Decimal:
    """An exact sum: polars adds in 128 bits, which no number of rows within the limits exceeds."""
    total = quantities.cast(pl.Decimal(38, 3)).sum()
    return total if isinstance(total, Decimal) else Decimal(0)


def _end_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _warm_up() -> None:
    """Starts the libraries' threads, so that their stacks count as held when idle."""
    pl.DataFrame({"a": [1, 2]}).lazy().filter(pl.col("a") > 1).collect()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _peak_mib() -> int:
    """The most memory this process ever held, in MiB. The `ru_maxrss` of the kernel's accounts would count that of its parent, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _limit_memory(memory_mib: int) -> None:
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + memory_mib * MIB,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(task: DecodeTask) -> None:
    """A file that makes a decoder turn for ever ends the process, which its parent then sees."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        size = Path(task.source).stat().st_size
    except OSError:  # a URL, or gone, or not ours to look at: what comes of it is seen when it is read
        size = task.limits.max_file_bytes
    seconds = int(used.ru_utime + used.ru_stime) + task.limits.decode_seconds + size // _BYTES_A_SECOND
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
