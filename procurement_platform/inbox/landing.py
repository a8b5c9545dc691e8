"""Decoding on this machine's disk for a lake that is elsewhere: files are brought near, and what became of them is brought to the lake.

A local lake needs none of it: the decoding processes read and write its folders themselves.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from procurement_platform.inbox.identity import file_id, safe_name
from procurement_platform.inbox.intake import NotTaken, Taken, Unreadable, Unsettled, too_large
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import sha256_of
from procurement_platform.scratch import make_scratch

T = TypeVar("T")
NEAR_BYTES = 1 << 30  # of files as sent that lie on this machine's disk at once
TRANSFERS = 8  # at once: a small file's transfer is mostly waiting for the other side


def decode(decoders: DecoderPool, lake: Lake, tasks: Sequence[DecodeTask], scratch: Path) -> Iterator[DecodeOutcome]:
    """Decodes files of any lake, as `DecoderPool.run` does those of a local one; `scratch` is where folders for that may be made.

    An outcome's paths are the lake's, and its files are there: raw bytes first, so that nothing decoded is ever without them.

    Raises:
        ProcurementError: the machine keeps a file from being decoded; nothing is known of the file then.
    """
    if lake.local:
        yield from decoders.run(tasks)
        return
    near = make_scratch("landing", scratch)
    try:
        with ThreadPoolExecutor(TRANSFERS) as transfers:
            landing = _Landing(lake, near, {url for task in tasks for url in (task.products, *task.asked)})
            for batch in batches(tasks, landing.size, NEAR_BYTES):
                fetched = list(transfers.map(landing.fetch, range(len(batch)), batch))
                # To its end: one left halfway keeps the decoding processes from being closed, as long as an error remembers it.
                decoded = iter(list(decoders.run([each.near for each in fetched if each.outcome is None])))
                outcomes = [(each, each.outcome or next(decoded)) for each in fetched]
                yield from transfers.map(landing.land, outcomes)
                landing.clear()
    finally:
        shutil.rmtree(near, ignore_errors=True)


def batches(tasks: Iterable[T], size: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """The tasks in their order, in groups of files with at most `most` bytes; a larger file is a group of its own."""
    group: list[T] = []
    held = 0
    for task in tasks:
        bytes_ = size(task)
        if group and held + bytes_ > most:
            yield group
            group, held = [], 0
        group.append(task)
        held += bytes_
    if group:
        yield group


@dataclass(frozen=True)
class _Fetched:
    """A task as asked, and as its decoding process gets it; or what became of it where its file could not be brought."""

    task: DecodeTask
    near: DecodeTask
    outcome: DecodeOutcome | None = None


class _Landing:
    """The folder where one call's files lie while they are decoded."""

    def __init__(self, lake: Lake, folder: Path, shared: Collection[str]) -> None:
        self._lake, self._folder = lake, folder
        self._shared = {url: folder / f"shared-{number}.parquet" for number, url in enumerate(sorted(shared))}
        for url, path in self._shared.items():
            lake.download(lake.relative(url), path)

    def size(self, task: DecodeTask) -> int:
        try:
            size, _ = self._lake.info(self._lake.relative(task.source))
        except (FileNotFoundError, PermissionError):  # told by what becomes of it
            return 0
        return size

    def fetch(self, number: int, task: DecodeTask) -> _Fetched:
        """Brings a file near, with what its decoding process needs beside it."""
        place = self._folder / "files" / str(number)
        near = replace(
            task,
            source=str(place / "sent" / safe_name(task.file_name)),
            raw_folder=None,  # it stays where it is: `land` brings it to its place
            lines_folder=str(place / "lines"),
            quarantine_folder=str(place / "quarantine"),
            products=str(self._shared[task.products]),
            asked=tuple(str(self._shared[url]) for url in task.asked),
        )
        for folder in (Path(near.source).parent, Path(near.lines_folder), Path(near.quarantine_folder)):
            folder.mkdir(parents=True)
        try:
            return _Fetched(task, near, self._bring(task, Path(near.source)))
        except NotTaken as problem:
            return _Fetched(task, near, problem.outcome(task))

    def land(self, done: tuple[_Fetched, DecodeOutcome]) -> DecodeOutcome:
        """Brings what became of a file to the lake."""
        fetched, outcome = done
        task = fetched.task
        if fetched.outcome is not None:
            return outcome
        return replace(
            outcome,
            raw_path=self._raw(fetched, outcome),
            lines_files=tuple(self._upload(path, task.lines_folder) for path in outcome.lines_files),
            quarantine_files=tuple(self._upload(path, task.quarantine_folder) for path in outcome.quarantine_files),
        )

    def clear(self) -> None:
        shutil.rmtree(self._folder / "files")

    def _bring(self, task: DecodeTask, target: Path) -> DecodeOutcome | None:
        """Copies a file to this machine; the outcome where it is larger than one may be, or is not of one piece.

        Raises:
            NotTaken: it is not there, not ours to read, or changed meanwhile.
        """
        relative = self._lake.relative(task.source)
        try:
            before = self._lake.info(relative)
            if before[0] > task.limits.max_file_bytes:
                digest = sha256_of(self._lake, task.source)
                taken = Taken(None, digest, before[0], file_id(task.feed, task.run_date, task.file_name, digest))
                return taken.reject(task, str(too_large(taken, task)), look_again=True)
            self._lake.download(relative, target)
            if self._lake.info(relative) != before or target.stat().st_size != before[0]:
                raise Unsettled
        except FileNotFoundError:
            raise Unsettled from None
        except PermissionError as problem:
            raise Unreadable(problem.strerror or "no permission") from problem
        return None

    def _raw(self, fetched: _Fetched, outcome: DecodeOutcome) -> str | None:
        task = fetched.task
        if task.raw_folder is None:
            return task.source
        if outcome.raw_path is None or outcome.status == "unsettled":
            return outcome.raw_path
        folder = task.raw_folder if outcome.status == "accepted" else task.rejected_folder
        return self._upload(outcome.raw_path, folder, f"{task.name}.{outcome.file_id}.{task.format}")

    def _upload(self, path: str, folder: str, name: str | None = None) -> str:
        target = f"{folder}/{name or PurePosixPath(path).name}"
        self._lake.upload(Path(path), self._lake.relative(target))
        return target
