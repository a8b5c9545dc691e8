"""The servers' programs: fetched by Maven, held to their SHA-256, kept in the user's cache folder.

Each of `deploy/stack/*.xml` names artifacts and why these; the `.sha256` beside it lists every file that Maven must bring, no more and
no fewer. What is in the cache was checked and is whole: its folder is renamed into place, and has the list's own hash in its name.
"""

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procurement_platform.errors import StackUnavailable
from procurement_platform.project import project_file

TRINO_PLUGINS = ("geospatial", "hive", "iceberg", "memory", "postgresql", "tpch")  # geospatial: the postgresql plug-in needs it
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Artifacts:
    """One list of `deploy/stack`: the files Maven brings by their SHA-256, and which of Trino's plug-ins are kept."""

    name: str
    size: str
    keep_plugins: tuple[str, ...] = ()

    @property
    def pom(self) -> Path:
        return project_file("deploy", "stack", f"{self.name}.xml")

    @property
    def sums(self) -> Path:
        return project_file("deploy", "stack", f"{self.name}.sha256")

    def hashes(self) -> dict[str, str]:
        """File name → SHA-256."""
        lines = self.sums.read_text(encoding="utf-8").split("\n")
        return {name: value for value, _, name in (line.partition("  ") for line in lines if line)}

    def folder(self, cache: Path) -> Path:
        """Where they are, or will be."""
        text = self.sums.read_bytes() + " ".join(self.keep_plugins).encode()
        return cache / f"{self.name}-{hashlib.sha256(text).hexdigest()[:12]}"


ARTIFACTS = {
    each.name: each
    for each in (
        Artifacts("hadoop", "70 MB"),
        Artifacts("metastore", "27 MB"),
        Artifacts("trino", "821 MB", TRINO_PLUGINS),
        Artifacts("kafka", "120 MB"),
        Artifacts("registry", "158 MB"),
    )
}


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's cache folder for the programs (XDG_CACHE_HOME, else `.cache` in the user's home)."""
    given = environment.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "procurement-platform" / "stack"


def provide(artifacts: Artifacts, cache: Path, bring: Callable[[Path], None], tell: Callable[[str], None]) -> Path:
    """The folder of the programs. Where they are not there yet, `bring` fills a new folder first, and that is checked and unpacked.

    Raises:
        StackUnavailable: no Maven, no network, or a file that is not what the list says.
    """
    folder = artifacts.folder(cache)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{artifacts.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two homes may fetch at once: the second waits for the first, and finds them
        if not folder.is_dir():
            _fetch(artifacts, folder, bring, tell)
    return folder


def _fetch(artifacts: Artifacts, folder: Path, bring: Callable[[Path], None], tell: Callable[[str], None]) -> None:
    for left in folder.parent.glob(f"{folder.name}.*.new"):  # of a fetch that was killed: the lock is ours
        shutil.rmtree(left)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.", suffix=".new"))
    try:
        tell(f"{artifacts.name}: fetching {artifacts.size}, once, to {folder.parent}")
        bring(new)
        tell(f"{artifacts.name}: checking")
        check(artifacts, new)
        for archive in sorted(new.glob("*.tar.gz")):
            tell(f"{artifacts.name}: unpacking")
            unpack(archive, new, artifacts.keep_plugins)
        new.chmod(0o755)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def check(artifacts: Artifacts, folder: Path) -> None:
    """Holds a folder to the list.

    Raises:
        StackUnavailable: a file is missing, is not on the list, or has other bytes.
    """
    wanted, found = artifacts.hashes(), {path.name: path for path in folder.iterdir()}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise StackUnavailable(f"Maven did not bring {name}, which {artifacts.pom.with_suffix('.sha256').name} lists: nothing is used")
        if name not in wanted:
            raise StackUnavailable(
                f"Maven brought {name}, which {artifacts.pom.with_suffix('.sha256').name} does not list: nothing is used"
            )
        has = sha256(found[name])
        if has != wanted[name]:
            raise StackUnavailable(
                f"{name} has SHA-256 {has}, not {wanted[name]}: nothing is used; remove it from Maven's local repository and try again"
            )


def sha256(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Python knows filters from 3.11.4 on; what they refuse is refused before, too.
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _check_members(archive: str, tar: tarfile.TarFile, folder: Path) -> None:
    """Raises StackUnavailable where an archive would write outside its folder, or anything but files, folders and links within it."""
    for member in tar:
        path = folder / member.name
        places = [path]
        if member.issym():
            places.append(path.parent / member.linkname)
        elif member.islnk():
            places.append(folder / member.linkname)
        elif not (member.isfile() or member.isdir()):
            raise StackUnavailable(f"{archive} holds {member.name}, which is no file: nothing is used")
        if not all(Path(os.path.normpath(place)).is_relative_to(folder) for place in places):
            raise StackUnavailable(f"{archive} would write {member.name} outside its folder: nothing is used")


def unpack(archive: Path, folder: Path, keep_plugins: tuple[str, ...] = ()) -> None:
    """Replaces an archive by what is in it, without the one folder that it has at its top.

    Trino's plug-ins share files by hard links, also with those not kept: all are unpacked, then the others removed.
    """
    with tarfile.open(archive) as tar:
        inside = folder / "archive"
        _check_members(archive.name, tar, inside)
        tar.extractall(inside, **_FILTER)  # noqa: S202  checked above
    archive.unlink()
    tops = list(inside.iterdir())
    top = tops[0] if len(tops) == 1 and tops[0].is_dir() else inside
    for path in list(top.iterdir()):
        path.rename(folder / path.name)
    shutil.rmtree(inside)
    if keep_plugins:
        for plugin in list((folder / "plugin").iterdir()):
            if plugin.name not in keep_plugins:
                shutil.rmtree(plugin)
