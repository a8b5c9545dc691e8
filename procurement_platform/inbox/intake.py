"""Taking a file in: its bytes hashed and copied once, so that what is decoded, kept and named by its hash is the same thing."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from procurement_platform.errors import OverLimit
from procurement_platform.inbox.identity import Format, file_id, safe_name
from procurement_platform.inbox.task import SPLIT, DecodeOutcome, DecodeTask

_PIECE = 4 * 1024 * 1024


class NotTaken(Exception):
    """A file whose bytes could not be had."""

    def outcome(self, task: DecodeTask) -> DecodeOutcome:
        raise NotImplementedError


class Unsettled(NotTaken):
    """The file changed or went away while it was read."""

    def outcome(self, task: DecodeTask) -> DecodeOutcome:
        return DecodeOutcome("unsettled", f"{task.file_name} changed while it was read")


class Unreadable(NotTaken):
    """The platform may not read the file."""

    def outcome(self, task: DecodeTask) -> DecodeOutcome:
        """A rejection. Of content nobody knows the reason's own hash stands for the content's, so that every run gives the same id."""
        reason = f"cannot be read ({self}): give the platform read access"
        sha256 = hashlib.sha256(reason.encode()).hexdigest()
        identifier = file_id(task.feed, task.run_date, task.file_name, sha256)
        return DecodeOutcome("rejected", f"{task.feed} {task.run_date} {task.file_name} {reason}", sha256, 0, identifier)


@dataclass(frozen=True)
class Taken:
    """A file's bytes in hand: `path` is where they are (None: larger than the limit, hashed only)."""

    path: Path | None
    sha256: str
    size: int
    file_id: str

    def accept(self, task: DecodeTask) -> str | None:
        """Puts the bytes among the raw files; returns where."""
        return self._move(task, task.raw_folder)

    def reject(self, task: DecodeTask, reason: str, *, look_again: bool = False) -> DecodeOutcome:
        """Puts the bytes among the rejected files; `reason` begins with a verb, the file's name is set before it."""
        kept = self._move(task, None if task.raw_folder is None else task.rejected_folder)
        # Names of columns come from outside.
        told = f"{task.feed} {task.run_date} {task.file_name} {_in_a_line(reason)}"
        return DecodeOutcome("rejected", told, self.sha256, self.size, self.file_id, kept, look_again=look_again)

    def _move(self, task: DecodeTask, folder: str | None) -> str | None:
        if self.path is None or folder is None:
            return None if self.path is None else str(self.path)
        target = Path(folder) / f"{task.name}.{self.file_id}.{task.format}"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)
        return str(target)


def take(task: DecodeTask) -> Taken:
    """Hashes a task's source and copies it beside its place among the raw files (where it already is one, it is only hashed).

    Raises:
        Unsettled: it changed meanwhile, is gone, or is no regular file any more.
        Unreadable: the platform has no right to read it.
    """
    digest = hashlib.sha256()
    size = 0
    copy = None if task.raw_folder is None else unfinished(task.raw_folder, task)
    with _opened(task.source) as (source, declared):
        if declared > task.limits.max_file_bytes:
            copy = None
        if copy is not None:
            copy.parent.mkdir(parents=True, exist_ok=True)
        with (copy or Path(os.devnull)).open("wb", buffering=0) as target:
            while piece := source.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                if size > declared:
                    break
                target.write(piece)
            if copy is not None:
                os.fsync(target.fileno())
    if size != declared:
        if copy is not None:
            copy.unlink(missing_ok=True)
        raise Unsettled
    too_large = declared > task.limits.max_file_bytes
    path = None if too_large else copy or Path(task.source)
    sha256 = digest.hexdigest()
    return Taken(path, sha256, size, file_id(task.feed, task.run_date, task.file_name, sha256))


def unfinished(folder: str, task: DecodeTask) -> Path:
    """The name under which something for a task stands in a folder until it is whole: one of its own for each file name."""
    exact = hashlib.sha256(task.file_name.encode()).hexdigest()[:16]  # `a b` and `a+b` are alike as safe names
    return Path(folder) / f".{safe_name(task.file_name)}.{exact}.tmp"


def clear(task: DecodeTask) -> None:
    """Removes what a decoding process that died left half done."""
    for folder in (task.raw_folder, task.lines_folder, task.quarantine_folder):
        if folder is not None:
            unfinished(folder, task).unlink(missing_ok=True)


def give_up(task: DecodeTask, reason: str) -> DecodeOutcome:
    """Rejects a file whose decoding process died: the bytes are kept, what it left half done is removed. Another time it may not die."""
    clear(task)
    try:
        return take(task).reject(task, reason, look_again=True)
    except NotTaken as problem:
        return problem.outcome(task)


def undecodable(why: str) -> str:
    """The reason for rejecting a file whose decoding ended in an error that nobody foresaw."""
    return f"cannot be decoded ({why}): send it again as CSV or plain Avro"


def short_of_memory(form: Format) -> str:
    """The reason for rejecting a file that takes too much memory: the same, however its process ended and wherever it was in the file."""
    anew = "write it anew in smaller blocks" if form in ("avro", "parquet") else "shorten its longest rows"
    return f"needs more memory than decoding one file may take: {anew}, or {SPLIT} (PROCUREMENT_DECODE_MEMORY_MIB)"


def _in_a_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


@contextmanager
def _opened(source: str) -> Iterator[tuple[IO[bytes], int]]:
    """A source and its size; raises NotTaken where it is not there, not ours to read, or changed by the time the caller is done."""
    if "://" in source:
        import fsspec

        files, path = fsspec.core.url_to_fs(source)
        try:
            try:
                size = int(files.size(path))
                opened = files.open(path, "rb", cache_type="none")
            except PermissionError as problem:
                raise Unreadable(problem.strerror or "no permission") from problem
            with opened as file:
                yield file, size
        except FileNotFoundError:
            raise Unsettled from None
        return
    try:
        # A link put in the file's place since the scan is not followed, and a pipe does not block.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as problem:
        raise Unreadable(problem.strerror) from problem
    except OSError as problem:
        raise Unsettled from problem
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unsettled
        yield file, before.st_size
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Unsettled


def too_large(taken: Taken, task: DecodeTask) -> OverLimit:
    """The error for a file that was hashed and not kept."""
    limit = task.limits.max_file_bytes
    return OverLimit(f"has {taken.size} bytes, more than {limit}: {SPLIT} (PROCUREMENT_MAX_FILE_BYTES)")
