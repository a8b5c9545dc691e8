"""Published days: one row in `control.published_days` makes a day visible to buyers, and names every file that belongs to it."""

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.types.json import Jsonb

from procurement_platform.database.connect import Database
from procurement_platform.errors import InputGone
from procurement_platform.lake.files import Lake, pieces_of
from procurement_platform.lake.stable import CURRENT, link, switch

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
TRANSFERS = 8


@dataclass(frozen=True)
class ManifestFile:
    """A file that buyers read: its run's own copy never changes; `stable` is the path that always has the day's newest."""

    path: str
    stable: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True)
class PublishedDay:
    """A day as buyers see it. `tables` says which run each table's rows are from."""

    domain: str
    run_date: dt.date
    run_id: str
    tables: Mapping[str, str]
    manifest: tuple[ManifestFile, ...]
    inputs: Mapping[str, object]
    published_at: dt.datetime


class Days:
    """Writes and reads published days, and keeps the stable paths as the manifest says."""

    def __init__(self, database: Database, lake: Lake) -> None:
        self._database, self._lake = database, lake

    def put(self, run_path: str, stable: str, pieces: Iterable[bytes], rows: int) -> ManifestFile:
        """Writes a file into its run's folder, of pieces, whatever its size. Nobody reads it before the day that names it is published."""
        digest, size = self._lake.write_pieces(run_path, pieces)
        return ManifestFile(run_path, stable, digest, size, rows)

    def put_all(self, files: Iterable[tuple[str, str, bytes, int]]) -> list[ManifestFile]:
        """Writes files (path in the run's folder, stable path, bytes, rows), put on disk together, which is faster for many."""

        def put(file: tuple[str, str, bytes, int]) -> ManifestFile:
            run_path, stable, data, rows = file
            self._lake.write(run_path, data, lasting=False)
            return ManifestFile(run_path, stable, hashlib.sha256(data).hexdigest(), len(data), rows)

        described = self._each(put, files)
        self._lake.sync(self._lake.path(file.path) for file in described)
        return described

    def describe(self, run_path: str, stable: str, rows: int) -> ManifestFile:
        """A file that an earlier step put into its run's folder, for the manifest."""
        return ManifestFile(run_path, stable, self._lake.sha256(run_path), self._lake.size(run_path), rows)

    def publish(
        self,
        domain: str,
        run_date: dt.date,
        run_id: str,
        tables: Mapping[str, str],
        manifest: Sequence[ManifestFile],
        inputs: Mapping[str, object],
        guard: Callable[[], None],
        also: Callable[[psycopg.Connection], None] = lambda _: None,
    ) -> PublishedDay:
        """Makes the day visible, by one row. Until the stable paths follow (`link`, `settle`) readers have the manifest's own paths.

        `also` is done in the same transaction, before the row.
        """
        files = tuple(sorted(manifest, key=lambda f: f.stable))
        with self._database.transaction() as connection:
            also(connection)
            guard()
            row = connection.execute(
                """
                INSERT INTO control.published_days (domain, run_date, run_id, tables, manifest, inputs, published_at)
                VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp())
                ON CONFLICT (domain, run_date) DO UPDATE SET run_id = EXCLUDED.run_id, tables = EXCLUDED.tables,
                    manifest = EXCLUDED.manifest, inputs = EXCLUDED.inputs, published_at = EXCLUDED.published_at
                RETURNING published_at
                """,
                (domain, run_date, run_id, Jsonb(dict(tables)), Jsonb([asdict(f) for f in files]), Jsonb(dict(inputs))),
            ).fetchone()
        published_at = row[0] if row else dt.datetime.now(dt.UTC)
        return PublishedDay(domain, run_date, run_id, dict(tables), files, dict(inputs), published_at)

    def get(self, domain: str, run_date: dt.date) -> PublishedDay | None:
        found = self._select(domain, run_date, run_date)
        return found[0] if found else None

    def between(self, domain: str, first: dt.date, last: dt.date) -> list[PublishedDay]:
        """The published days of a range, in order."""
        return self._select(domain, first, last)

    def times(self, domain: str) -> dict[dt.date, dt.datetime]:
        """When each day was published last."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT run_date, published_at FROM control.published_days WHERE domain = %s", (domain,)).fetchall()
        return {row[0]: row[1] for row in rows}

    def latest(self, domain: str) -> dt.date | None:
        """The newest published run date."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT max(run_date) FROM control.published_days WHERE domain = %s", (domain,)).fetchone()
        return row[0] if row else None

    def check(self, file: ManifestFile) -> None:
        """Holds a published file to its manifest.

        Raises:
            InputGone: the file is gone or changed.
        """
        try:
            digest = self._lake.sha256(file.path)
        except FileNotFoundError:
            raise InputGone(f"{file.path} is gone: run the day again") from None
        if digest != file.sha256:
            raise InputGone(f"{file.path} is not what was published (its SHA-256 differs): run the day again")

    def read(self, file: ManifestFile) -> bytes:
        """A published file's bytes, whole; see `pieces`."""
        return b"".join(self.pieces(file))

    def pieces(self, file: ManifestFile) -> Iterator[bytes]:
        """A published file's bytes in pieces, as its manifest promises them: the first comes once all of them were checked.

        Raises:
            InputGone: the file is gone or changed.
        """
        self.check(file)
        with self._lake.open(file.path) as opened:
            yield from pieces_of(opened)

    def settle(self, day: PublishedDay, folder: str) -> list[str]:
        """Makes a stable folder hold exactly the manifest's files, as copies: missing or changed ones are written, stale ones removed.

        Each file changes in one step, but not all of them in one. Folders below it (the runs') are left alone.
        Returns the stable paths that were mended.
        """
        wanted = {file.stable: file for file in _of(day, folder)}

        def mend(file: ManifestFile) -> str | None:
            if self._same(file):
                return None
            self._lake.write_pieces(file.stable, self.pieces(file), lasting=False)  # what a power cut takes, the next run mends
            return file.stable

        mended = [path for path in self._each(mend, wanted.values()) if path is not None]
        for name in self._lake.files(folder):
            stale = f"{folder}/{name}"
            if stale not in wanted:
                self._lake.remove(stale)
                mended.append(stale)
        return mended

    def link(self, day: PublishedDay, folder: str, run_folder: str, with_those_of: str | None = None) -> list[str]:
        """Makes a stable folder hold exactly the manifest's files, as links that change all at once (`stable.switch`).

        `run_folder` is the sub-folder where the run has put all of them, each by its stable name. Files of the folder `with_those_of` that
        lead through this one (`lead_through`) change in the same step.
        Returns the stable paths that were mended.

        Raises:
            InputGone: a run's copy is gone or changed. Nothing was switched.
        """
        own, others = _of(day, folder), _of(day, with_those_of) if with_those_of else []
        for file in (*own, *others):
            self.check(file)
        for file in others:
            self._link(f"{folder}/{run_folder}/{_hidden(file)}", file.path)
        names = [file.stable.removeprefix(f"{folder}/") for file in own]
        return [f"{folder}/{name}" for name in switch(Path(self._lake.path(folder)), run_folder, names)]

    def lead_through(self, day: PublishedDay, folder: str, linked: str) -> list[str]:
        """Makes a stable folder hold exactly the manifest's files, as links that lead where the folder `linked` is switched to (`link`).

        Returns the stable paths that were mended.
        """
        wanted = {file.stable: f"{linked}/{CURRENT}/{_hidden(file)}" for file in _of(day, folder)}
        stale = [path for name in self._lake.files(folder) if (path := f"{folder}/{name}") not in wanted]
        for path in stale:
            self._lake.remove(path)
        return [*(path for path, target in wanted.items() if self._link(path, target)), *stale]

    def _link(self, path: str, target: str) -> bool:
        here = Path(self._lake.path(path))
        here.parent.mkdir(parents=True, exist_ok=True)
        return link(here, os.path.relpath(self._lake.path(target), here.parent))

    def _each(self, work: Callable[[_Given], _Made], files: Iterable[_Given]) -> list[_Made]:
        """What came of each file, in order. On a lake elsewhere several at once: a small file there is mostly waiting."""
        if self._lake.local:
            return [work(file) for file in files]
        with ThreadPoolExecutor(TRANSFERS) as transfers:
            return list(transfers.map(work, files))

    def _same(self, file: ManifestFile) -> bool:
        if not self._lake.exists(file.stable) or self._lake.size(file.stable) != file.bytes:
            return False
        return self._lake.sha256(file.stable) == file.sha256

    def _select(self, domain: str, first: dt.date, last: dt.date) -> list[PublishedDay]:
        with self._database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT domain, run_date, run_id, tables, manifest, inputs, published_at FROM control.published_days
                WHERE domain = %s AND run_date BETWEEN %s AND %s ORDER BY run_date
                """,
                (domain, first, last),
            ).fetchall()
        return [PublishedDay(r[0], r[1], r[2], r[3], tuple(ManifestFile(**f) for f in r[4]), r[5], r[6]) for r in rows]


def _hidden(file: ManifestFile) -> str:
    """What a file of another folder is called among a run's own: hidden, so that nobody takes it for one of them."""
    return f".{file.stable.rpartition('/')[2]}"


def _of(day: PublishedDay, folder: str) -> list[ManifestFile]:
    return [file for file in day.manifest if file.stable.rpartition("/")[0] == folder]
