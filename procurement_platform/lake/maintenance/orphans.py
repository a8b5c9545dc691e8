"""Files of run dates that nothing names: no run in the registry, no published day, no table, no file of the ledger.

A date's folders are listed and held against what the database names for that date. Only where something is left over is the day's lock
taken, everything looked at again, and the table's metadata asked. A run announces its folders before their first byte, so that what is
listed before the registry is read and is not in it is nobody's; the grace period is for those who write or read outside the rules.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock
from procurement_platform.errors import DayBusy
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Entry, Line, Weight, entries, remove, weigh
from procurement_platform.lake.maintenance.snapshots import has_metadata
from procurement_platform.lake.tables import Table

HOLDER = "procurement maintain orphans"


@dataclass(frozen=True)
class Place:
    """A folder with a folder per run date below it, each named by the date after `prefix`.

    `table`: the one whose data files lie there. `of_ledger`: files as sent, which the ledger names. `kept`: only what never became whole
    goes, at any depth.
    """

    folder: str
    prefix: str = ""
    table: Table | None = None
    of_ledger: bool = False
    kept: bool = False

    def of(self, run_date: dt.date) -> str:
        return f"{self.folder}/{self.prefix}{run_date.isoformat()}"


@dataclass(frozen=True)
class Named:
    """What the database names for a run date, relative to the lake's root.

    `folders`: a run's folder → whether the run was ever committed. `runs`: ids of the published day's runs. `stable`: the paths that buyers
    read, None where the day is not published. `files`: those of the ledger.
    """

    folders: Mapping[str, bool]
    runs: frozenset[str]
    stable: frozenset[str] | None
    files: frozenset[str]

    @classmethod
    def of(cls, database: Database, run_date: dt.date) -> "Named":
        with database.transaction() as connection:
            runs_known = connection.execute(
                "SELECT folder, state <> 'staged' FROM control.table_runs WHERE run_date = %s", (run_date,)
            ).fetchall()
            days = connection.execute(
                "SELECT run_id, tables, manifest FROM control.published_days WHERE run_date = %s", (run_date,)
            ).fetchall()
            files = connection.execute("SELECT raw_path FROM control.files WHERE run_date = %s AND raw_path <> ''", (run_date,)).fetchall()
        folders: dict[str, bool] = {}
        for text, committed in runs_known:
            for folder in text.split("\n"):
                folders[folder] = folders.get(folder, False) or committed
        for _, _, manifest in days:
            folders |= {file["path"].rpartition("/")[0]: True for file in manifest}
        runs = frozenset(run for run_id, tables, _ in days for run in (run_id, *tables.values()))
        stable = frozenset(file["stable"] for _, _, manifest in days for file in manifest) if days else None
        return cls(folders, runs, stable, frozenset(row[0] for row in files))


@dataclass(frozen=True)
class Orphans:
    """Finds and removes what nothing names. `domain` is whose days' locks are taken; `now − grace`: when it must have changed last."""

    database: Database
    lake: Lake
    catalog: TableCatalog
    domain: str
    now: dt.datetime
    grace: dt.timedelta
    dry_run: bool = False
    _in_tables: dict[tuple[str, dt.date], frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def dates(self, places: Iterable[Place]) -> set[dt.date]:
        """The run dates for which there is a folder in any of the places. One list a place."""
        found = set()
        for place in places:
            for entry in entries(self.lake, place.folder):
                if entry.folder and entry.name.startswith(place.prefix):
                    try:
                        found.add(dt.date.fromisoformat(entry.name.removeprefix(place.prefix)))
                    except ValueError:
                        continue  # metadata, or a folder of other dates
        return found

    def sweep(self, places: Iterable[Place], dates: Iterable[dt.date]) -> Iterator[Line]:
        """Removes the orphans of the dates; a line for each folder that had any."""
        known = tuple(places)
        for run_date in dates:
            if not any(True for place in known for _ in self._found(place, run_date)):
                continue
            try:
                lock = DayLock.acquire(self.database, self.domain, run_date, HOLDER)
            except DayBusy as busy:
                yield Line.busy(f"{self.domain} {run_date}", busy.holder)
                continue
            with lock:
                for place in known:
                    removed = self._remove(place, run_date, lock)
                    if removed is not None and removed.files:  # folders that a run left empty go without a word
                        yield Line(place.of(run_date), "files removed", removed.files, removed.bytes)

    def _remove(self, place: Place, run_date: dt.date, lock: DayLock) -> Weight | None:
        total: Weight | None = None
        for path, entry, weight in list(self._found(place, run_date)):
            if not self.dry_run:
                lock.check()
                remove(self.lake, path, entry)
            total = weight if total is None else total + weight
        return total

    def _found(self, place: Place, run_date: dt.date) -> Iterator[tuple[str, Entry, Weight]]:
        """What is nobody's in a place and has not changed for the grace period: path, entry, and what would go."""
        folder = place.of(run_date)
        lying = entries(self.lake, folder)
        if not lying:
            return
        if place.kept:
            nobodys = self._unfinished(folder, lying)
        else:
            named = Named.of(self.database, run_date)  # after the list: a run that began since is in neither
            nobodys = self._nobodys(place, folder, lying, named)
        for path, entry in nobodys:
            weight = weigh(self.lake, path, entry)
            if weight.modified <= self.now - self.grace and not self._in_table(place, run_date, path):
                yield path, entry, weight

    def _nobodys(self, place: Place, folder: str, lying: Iterable[Entry], named: Named) -> Iterator[tuple[str, Entry]]:
        for entry in lying:
            path = f"{folder}/{entry.name}"
            if entry.name.startswith("."):
                if is_leftover(entry):
                    yield path, entry
            elif not entry.folder:
                if not _keeps(place, named, path):
                    yield path, entry
            elif path in named.folders:
                if not named.folders[path]:  # a killed run's, where a write may have been under way
                    yield from ((f"{path}/{e.name}", e) for e in entries(self.lake, path) if is_leftover(e))
            elif any(each.startswith(f"{path}/") for each in named.folders):
                yield from self._nobodys(place, path, entries(self.lake, path), named)
            elif entry.name not in named.runs:
                yield path, entry

    def _unfinished(self, folder: str, lying: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
        for entry in lying:
            path = f"{folder}/{entry.name}"
            if entry.folder:
                yield from self._unfinished(path, entries(self.lake, path))
            elif is_leftover(entry):
                yield path, entry

    def _in_table(self, place: Place, run_date: dt.date, path: str) -> bool:
        """Whether a snapshot of the table, the current one or another that is kept, names a file there."""
        if place.table is None or not has_metadata(self.lake, place.table):
            return False
        key = place.table.name, run_date
        if key not in self._in_tables:
            self._in_tables.clear()  # of one date at a time
            self._in_tables[key] = frozenset(self.catalog.in_snapshots(place.table, run_date))
        return any(f"{file}/".startswith(f"{path}/") for file in self._in_tables[key])


def is_leftover(entry: Entry) -> bool:
    """Whether a name is one that writing gives what is not whole yet: `.….part`, `.….tmp`, and folders `.write_…` of Trino's results."""
    return entry.name.startswith(".write_") if entry.folder else entry.name.startswith(".") and entry.name.endswith((".part", ".tmp"))


def _keeps(place: Place, named: Named, path: str) -> bool:
    """Whether a file right below a date's folder belongs there. What a day that is not published has there tells of its crash."""
    if place.of_ledger:
        return path in named.files
    return named.stable is None or path in named.stable
