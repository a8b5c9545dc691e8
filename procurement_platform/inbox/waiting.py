"""Whether a day's last run saw a file that lies in the inbox: by size and time; where only the time differs, by content."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from procurement_platform.inbox.ledger import IN_USE, LedgerFile
from procurement_platform.inbox.scan import FoundFile, UnfitFile

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

HASHED_BYTES = 64 * 1024 * 1024  # a larger file that was touched counts as changed: a run finds out more cheaply than a look every tick
_Key = tuple[str, str, str]


class Seen:
    """A day's files as the ledger has them, in whatever state. `digest` reads a file's hash, or tells None where that is not worth it."""

    def __init__(self, known: Iterable[LedgerFile], digest: "Callable[[FoundFile], str | None] | None" = None) -> None:
        self._digest = digest or _small_digest
        self._versions: dict[_Key, list[LedgerFile]] = defaultdict(list)  # of one identity, under whatever file name
        for version in known:
            self._versions[version.feed, version.market, version.name].append(version)

    def has(self, file: FoundFile | UnfitFile) -> bool:
        """Whether the day's last run saw the file as it is now. What it did not see waits for the next one."""
        return self.state(file) is not None

    def state(self, file: FoundFile | UnfitFile) -> str | None:
        """What became of the file as it is now; None where it came, or came again, since the day's last run."""
        versions = [version for version in self._versions[_key(file)] if version.file_name == name_of(file)]
        rivals = [version for version in self._versions[_key(file)] if version.file_name != name_of(file)]
        found = _version(file, versions, self._digest)
        if found is None:
            # Superseded by a rival it lies there as it was; where another version of its own name counted since, it was sent again.
            beside = any(map(_stands, rivals)) and not any(map(_stands, versions))
            return "superseded" if beside and any(_looks_like(file, version) for version in versions) else None
        # A file in use that lies there although a correction of that very name was rejected was sent again since: the next run lets it take
        # that place. A rejected rival may lie beside it all the time: there, and wherever rivals are, the time tells.
        corrected = found.state == "accepted" and any(version.state == "rejected" for version in versions)
        return None if corrected or (rivals and found.sent_at != file.modified_at) else found.state


def name_of(file: FoundFile | UnfitFile) -> str:
    """A file's name as sent."""
    return file.identity.file_name if isinstance(file, FoundFile) else file.file_name


def is_readable(path: str) -> bool:
    """Whether the platform may read a local file; what is elsewhere is taken to be readable."""
    if "://" in path:
        return True
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False


def _version(file: FoundFile | UnfitFile, versions: Sequence[LedgerFile], digest: "Callable[[FoundFile], str | None]") -> LedgerFile | None:
    """Which of the ledger's versions, those superseded left out, the file is as it lies there; None where it is another."""
    # Of versions that look alike a rejected one counts as seen: no run would find anything new.
    standing = sorted((v for v in versions if v.state != "superseded"), key=lambda v: v.state == "accepted")
    if any(_looks_like(file, v) for v in versions):
        return next((v for v in standing if _looks_like(file, v)), None)
    # What is no file, or could not be read, stands in the ledger with size 0. Once it may be read, a run can take it: its time is the same.
    unread = next((v for v in standing if v.sent_at == file.modified_at and v.size_bytes == 0), None)
    if unread is not None and (isinstance(file, UnfitFile) or not is_readable(file.path)):
        return unread
    same_size = [v for v in standing if v.size_bytes == file.size]
    sha256 = digest(file) if same_size and isinstance(file, FoundFile) else None
    return next((v for v in same_size if v.sha256 == sha256), None)


def _stands(version: LedgerFile) -> bool:
    return version.state in IN_USE


def _looks_like(file: FoundFile | UnfitFile, version: LedgerFile) -> bool:
    return version.sent_at == file.modified_at and version.size_bytes == file.size


def _small_digest(file: FoundFile) -> str | None:
    return None if file.size > HASHED_BYTES or "://" in file.path else _sha256(file.path, file.size, file.modified_at)


@lru_cache(maxsize=1024)
def _sha256(path: str, _size: int, _modified_at: "dt.datetime") -> str | None:
    """A file's hash, read once for each size and time; None where it went away."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _key(file: FoundFile | UnfitFile) -> _Key:
    if isinstance(file, FoundFile):
        return file.identity.feed, file.identity.market, file.identity.name
    return file.feed, "", file.file_name
