"""Iceberg's own files that nothing leads to any more: table metadata, manifest lists and manifests.

How old a file is says nothing about who reads it: a manifest of last year is in use until its snapshot is expired, and whoever planned a
second before that opens it a second after. So a file goes only once it was found unreachable a whole grace period ago, which a small file
beside them remembers.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator

from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Entry, Line, entries, remove
from procurement_platform.lake.maintenance.snapshots import has_metadata
from procurement_platform.lake.tables import Table

MARKS = ".unreachable.json"  # file name → when it was first found unreachable, ISO 8601
KINDS = (".json", ".avro")


def remove_unreachable(
    lake: Lake, catalog: TableCatalog, tables: Iterable[Table], now: dt.datetime, grace: dt.timedelta, *, dry_run: bool = False
) -> Iterator[Line]:
    """Removes metadata files that nothing has led to for the grace period, and remembers those that nothing leads to since now.

    Reads, for each table, the list of its metadata folder, the current metadata and the manifest lists of its snapshots; no manifest.
    """
    for table in tables:
        if not has_metadata(lake, table):
            continue
        folder = f"{table.location}/metadata"
        # Listed first: what a commit writes from now on is not looked at.
        lying = [entry for entry in entries(lake, folder) if not entry.folder and entry.name.endswith(KINDS) and entry.name != MARKS]
        reached = reachable(lake, catalog, table)
        marks = _marks(lake, folder)
        marked: dict[str, str] = {}
        gone: list[Entry] = []
        for entry in lying:
            if f"{folder}/{entry.name}" in reached:
                continue
            seen = marks.get(entry.name) or now.isoformat()
            if dt.datetime.fromisoformat(seen) <= now - grace and entry.modified <= now - grace:
                gone.append(entry)
            else:
                marked[entry.name] = seen
        if not dry_run:
            for entry in gone:
                remove(lake, f"{folder}/{entry.name}", entry)
            if marked != marks:
                lake.write(f"{folder}/{MARKS}", json.dumps(marked, sort_keys=True).encode(), lasting=False)
        note = f"{len(marked)} more lead nowhere, and wait" if marked else ""
        if gone or note:
            yield Line(folder, "files removed", len(gone), sum(entry.bytes for entry in gone), note)


def reachable(lake: Lake, catalog: TableCatalog, table: Table) -> set[str]:
    """What a table's current metadata leads to, relative to the lake's root: earlier metadata, manifest lists, manifests, statistics."""
    iceberg = catalog.load(table)
    named = [iceberg.metadata_location, *(entry.metadata_file for entry in iceberg.metadata.metadata_log)]
    named += [each.statistics_path for each in iceberg.metadata.statistics]
    for snapshot in iceberg.snapshots():
        named += [snapshot.manifest_list, *(manifest.manifest_path for manifest in snapshot.manifests(iceberg.io))]
    return {lake.relative(path) for path in named}


def _marks(lake: Lake, folder: str) -> dict[str, str]:
    if not lake.exists(f"{folder}/{MARKS}"):
        return {}
    try:
        found = json.loads(lake.read(f"{folder}/{MARKS}"))
    except ValueError:  # somebody's hand: the period begins again
        return {}
    return {str(name): str(seen) for name, seen in found.items()} if isinstance(found, dict) else {}
