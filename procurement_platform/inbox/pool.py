"""The decoding processes of one platform process: started when needed, reused, replaced when a file takes one down."""

import contextlib
import heapq
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Self, cast

from procurement_platform.errors import ProcurementError
from procurement_platform.inbox import words
from procurement_platform.inbox.identity import Format
from procurement_platform.inbox.intake import clear, give_up, short_of_memory, undecodable
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform.project import CHECKOUT

_KEPT_MIB = 240  # a process that grew beyond this over big files ends after them: what it holds is better used for what comes next
_WORTH_ANOTHER_BYTES = 8 * 1024 * 1024  # less than this is decoded sooner than another process starts
_SECONDS_TO_END = 5.0
_FAILURES_TAKEN = 3
_LAST_WORDS_BYTES = 4096
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)  # no file does this to its decoder: the kernel short of memory does, or a person
_NO_MEMORY = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)  # how libraries end that are refused memory
_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",  # one file, one processor: files are what runs side by side
    "OMP_NUM_THREADS": "1",
    "RUST_BACKTRACE": "0",
    # The other allocators reserve address space, which the memory limit would count; this one and polars' own are told to keep what they
    # will need again for the next batch: giving it back and faulting it in anew took a third of the time.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "16777216",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:2000,muzzy_decay_ms:-1",
}


# What a process needs to start and to find its libraries, its time zones and its temporary folder. Nothing else of the environment is
# given to one that reads what strangers wrote: it has passwords and addresses.
_GIVEN = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_GIVEN_PREFIXES = ("LC_", "PYTHON")


class DecoderPool:
    """Decodes files in up to `processes` processes, each of which may take `memory_mib` beyond what it holds when idle.

    One `run` at a time; another one waits for it. Processes end with `close`, and with this process however it ends.
    """

    def __init__(self, processes: int, memory_mib: int) -> None:
        self._processes = processes
        self._memory_mib = memory_mib
        self._idle: list[_Process] = []
        self._busy: list[_Process] = []
        self._anew: set[int] = set()  # the tasks for which a process has to be new
        self._failures = 0  # processes in a row that ended before they looked at a file
        self._lock = threading.Lock()

    def run(self, tasks: Iterable[DecodeTask]) -> Iterator[DecodeOutcome]:
        """Decodes the files, the biggest first; outcomes come in the order of the tasks, each as soon as those before it are there.

        A process that dies over a file rejects that file and no other. One that is killed, as the machine does when memory runs out, says
        nothing about its file: that is decoded once more, alone; killed then, too, it rejects the file, until another run tries again.
        Leaving the iterator early ends what is under way.

        Raises:
            ProcurementError: the machine, or a person, keeps a file from being decoded; nothing is known of the file then.
        """
        listed = list(tasks)
        with self._lock:
            try:
                yield from self._run(listed)
            finally:
                for process in self._busy:
                    process.kill()
                self._busy.clear()
                self._end_grown()

    def start(self, processes: int = 1) -> None:
        """Starts up to so many processes, to be ready by the time there is a file: a start takes longer than many a file does."""
        with self._lock:
            while len(self._idle) < min(processes, self._processes):
                self._idle.append(_Process(self._memory_mib))

    def close(self) -> None:
        """Ends the processes."""
        with self._lock:
            self._end_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, tasks: list[DecodeTask]) -> Iterator[DecodeOutcome]:
        sizes = [_size(task) for task in tasks]
        waiting = [(-size, index) for index, size in enumerate(sizes)]
        heapq.heapify(waiting)
        killed: list[int] = []
        self._anew.clear()
        done: dict[int, DecodeOutcome] = {}
        for index in range(len(tasks)):
            while index not in done:
                if self._busy or waiting:
                    self._hand_out(tasks, waiting)
                else:  # all that is left are files whose processes were killed
                    self._end_idle()
                    self._give(_Process(self._memory_mib), killed.pop(0), tasks, alone=True)
                done.update(self._collect(tasks, waiting, killed))
            yield done.pop(index)

    def _hand_out(self, tasks: list[DecodeTask], waiting: list[tuple[int, int]]) -> None:
        while waiting and len(self._busy) < self._processes:
            anew = waiting[0][1] in self._anew
            if anew and self._idle:
                self._idle.pop().close()
            worth = anew or not self._busy or sum(-size for size, _ in waiting) > _WORTH_ANOTHER_BYTES
            process = self._idle.pop() if self._idle and not anew else _Process(self._memory_mib) if worth else None
            if process is None:
                return
            _, index = heapq.heappop(waiting)
            self._give(process, index, tasks)

    def _give(self, process: "_Process", index: int, tasks: list[DecodeTask], *, alone: bool = False) -> None:
        process.give(index, tasks[index], alone=alone)
        self._busy.append(process)

    def _end_grown(self) -> None:
        for process in self._idle:
            if process.outcome is not None and process.outcome.peak_memory_mib > _KEPT_MIB:
                process.close()
        self._idle = [process for process in self._idle if not process.output.closed]

    def _end_idle(self) -> None:
        for process in self._idle:
            process.close()
        self._idle.clear()

    def _collect(self, tasks: list[DecodeTask], waiting: list[tuple[int, int]], killed: list[int]) -> dict[int, DecodeOutcome]:
        """Waits until a process has something to say; the outcomes that came of it, by task."""
        ready, _, _ = select.select([process.output for process in self._busy], [], [])
        outcomes: dict[int, DecodeOutcome] = {}
        for process in [each for each in self._busy if each.output in ready]:
            process.hear()
            if process.outcome is not None:
                self._busy.remove(process)
                self._idle.append(process)
                self._failures = 0
                outcomes[process.index] = process.outcome
            elif process.ended:
                self._busy.remove(process)
                task = tasks[process.index]
                if process.started and not process.was_ended and (other := process.another_try(task)):
                    clear(task)
                    tasks[process.index] = other
                    self._anew.add(process.index)
                    heapq.heappush(waiting, (-_size(task), process.index))
                    continue
                if process.started and (not process.was_ended or (process.alone and process.was_killed)):
                    outcomes[process.index] = give_up(task, process.cause(task.format))
                    continue
                if process.started:
                    self._was_ended(process, task)
                else:
                    self._never_started(process)
                if process.started or process.alone:
                    killed.append(process.index)
                else:
                    heapq.heappush(waiting, (-_size(task), process.index))
        return outcomes

    def _was_ended(self, process: "_Process", task: DecodeTask) -> None:
        """A process that somebody ended at work: nothing is left of what it did, and who ends it twice wants the run to end."""
        clear(task)
        if process.alone:
            raise ProcurementError(
                f"{task.feed} {task.run_date} {task.file_name}: the process that decodes it was ended twice from outside "
                f"({process.how()}); nothing was recorded: see who does that, then run again"
            )

    def _never_started(self, process: "_Process") -> None:
        """A process that ended before it looked at its file (say, its thread of origin ended): the file goes to another."""
        self._failures += 1
        if self._failures > _FAILURES_TAKEN + self._processes:
            raise ProcurementError(f"decoding processes do not start: {process.last_words()}; see `procurement doctor`")


class _Process:
    """One decoding process and the pipes to it. What it has said of its task is in `started`, `outcome`, `ended`."""

    def __init__(self, memory_mib: int) -> None:
        self._memory_mib = memory_mib
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the process
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "procurement_platform.inbox.worker", str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=_environment(),
            cwd=CHECKOUT,
            bufsize=0,
        )
        self._input, self.output = cast("IO[bytes]", self._popen.stdin), cast("IO[bytes]", self._popen.stdout)
        self._last_words, self._said_memory = "", False
        self._heard = b""
        self.index = -1
        self.started = self.ended = self.alone = self._others = self._used = self._made_to_end = False
        self.outcome: DecodeOutcome | None = None

    def give(self, index: int, task: DecodeTask, *, alone: bool) -> None:
        self._used = self.index >= 0
        self.index, self.started, self.outcome, self.alone, self._others = index, False, None, alone, False
        message = memoryview(replace(task, used=self._used).to_json().encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):  # that it ended is heard on the other pipe
            while message:
                message = message[os.write(self._input.fileno(), message) :]

    def hear(self) -> None:
        """Takes in what it has to say, of which there is something.

        Raises:
            ProcurementError: the machine, not the file, keeps it from working (a full disk, no right to write).
        """
        said = os.read(self.output.fileno(), 1 << 20)
        if not said:
            self.ended = True
            self.close()
            return
        *lines, self._heard = (self._heard + said).split(b"\n")
        for line in lines:
            word, _, text = line.partition(b" ")
            match word.decode():
                case words.STARTED:
                    self.started = True
                case words.OTHERS:
                    self._others = True
                case words.OUTCOME:
                    self.outcome = DecodeOutcome.from_json(text.decode())
                case words.FAILED:
                    raise ProcurementError(text.decode())

    def another_try(self, task: DecodeTask) -> DecodeTask | None:
        """What may end otherwise than its task, over which it died: the same in a new process, then without other columns."""
        if self._used and self._popen.returncode != -signal.SIGXCPU:
            return task
        return replace(task, plain=True) if self._others and task.may_be_plain else None

    def cause(self, form: Format) -> str:
        """Why a file's process died over it, to be said after the file's name."""
        if self._popen.returncode == -signal.SIGXCPU:
            remedy = "write it anew, as CSV or plain Avro (PROCUREMENT_DECODE_SECONDS)"
            return f"keeps the decoder busy far longer than its size allows: {remedy}"
        if self.was_killed:
            return (
                "took its decoding process down twice (SIGKILL), the second time with no other beside it, as the machine does when memory "
                "runs out: free memory or lower PROCUREMENT_DECODE_MEMORY_MIB, then run again; or split the file"
            )
        if self._popen.returncode in _NO_MEMORY or self._said_memory:
            return short_of_memory(form)
        return undecodable(self.how())

    @property
    def was_ended(self) -> bool:
        """Whether it ended by somebody else's hand."""
        return self._popen.returncode in _FROM_OUTSIDE and not self._made_to_end

    @property
    def was_killed(self) -> bool:
        """Whether it ended as the kernel ends processes when memory runs out."""
        return self.was_ended and self._popen.returncode == -signal.SIGKILL

    def how(self) -> str:
        """The signal it ended by, or its last words."""
        code = self._popen.returncode
        return signal.Signals(-code).name if code < 0 else self.last_words()

    def last_words(self) -> str:
        """The last line it wrote to stderr, or how it ended, once it is closed."""
        return self._last_words or f"exit code {self._popen.returncode}"

    def close(self) -> None:
        """Lets it end, makes it where it does not, and waits for it."""
        if self.output.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._made_to_end = True
            self._popen.kill()
            self._popen.wait()
        self.output.close()
        with self._words:
            size = self._words.seek(0, os.SEEK_END)
            self._words.seek(max(0, size - _LAST_WORDS_BYTES))
            lines = [line.strip() for line in self._words.read().decode("utf-8", "replace").splitlines() if line.strip()]
        self._last_words = lines[-1][:200] if lines else ""
        self._said_memory = any("MemoryError" in line for line in lines)

    def kill(self) -> None:
        self._popen.kill()
        self.close()


def _environment() -> dict[str, str]:
    """The environment of a decoding process."""
    return {name: value for name, value in os.environ.items() if name in _GIVEN or name.startswith(_GIVEN_PREFIXES)} | _ENVIRONMENT


def _size(task: DecodeTask) -> int:
    try:
        return Path(task.source).stat().st_size
    except OSError:
        return _WORTH_ANOTHER_BYTES
