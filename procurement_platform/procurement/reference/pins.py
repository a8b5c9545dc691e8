"""Pinned reference versions: the first run of a day fixes which version of each reference table that day uses, for ever.

December re-run in March uses December's pack sizes, unless a run is asked to refresh.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from procurement_platform.engines.base import Relation
from procurement_platform.errors import InputGone
from procurement_platform.lake.maintenance.listing import Line, entries, remove
from procurement_platform.platform import Platform
from procurement_platform.procurement.reference.snapshot import content_version, parquet_bytes, read_tables
from procurement_platform.procurement.reference.tables import REFERENCE_TABLES


@dataclass(frozen=True)
class Pin:
    """The version of a reference table that a day uses. `path` is relative to the lake's root."""

    table: str
    version: str
    path: str
    pinned_at: dt.datetime
    refreshed: bool


def pin(platform: Platform, run_date: dt.date, *, refresh: bool = False) -> dict[str, Pin]:
    """The day's pinned versions; where it has none yet, or is refreshed, the tables as they are now.

    A version's file is written once, when its content is new. An empty database gets the sample set first.
    """
    pins = pinned(platform, run_date)
    if len(pins) == len(REFERENCE_TABLES) and not refresh:
        return pins
    from procurement_platform.procurement.reference.sample import ensure_sample  # brings polars, which days pinned before do without

    ensure_sample(platform.database)
    connection = platform.database.connect()
    try:
        tables = read_tables(connection)
    finally:
        connection.close()
    versions = {name: content_version(table) for name, table in tables.items()}
    with platform.database.transaction() as transaction:
        transaction.execute("LOCK TABLE control.reference_pins IN ROW EXCLUSIVE MODE")  # `remove_unpinned` waits until these are
        for name, table in tables.items():
            path = version_path(name, versions[name])
            if not platform.lake.exists(path):
                platform.lake.write(path, parquet_bytes(table))
        for name, version in versions.items():
            transaction.execute(
                """
                INSERT INTO control.reference_pins (run_date, table_name, version, pinned_at, refreshed)
                VALUES (%(date)s, %(table)s, %(version)s, clock_timestamp(), false)
                ON CONFLICT (run_date, table_name) DO UPDATE
                SET version = EXCLUDED.version, pinned_at = EXCLUDED.pinned_at, refreshed = true
                WHERE reference_pins.version <> EXCLUDED.version AND %(refresh)s
                """,
                {"date": run_date, "table": name, "version": version, "refresh": refresh},
            )
    return pinned(platform, run_date)


def pinned(platform: Platform, run_date: dt.date) -> dict[str, Pin]:
    """The versions pinned for a day; empty where no run has pinned any."""
    with platform.database.transaction() as connection:
        rows = connection.execute(
            "SELECT table_name, version, pinned_at, refreshed FROM control.reference_pins WHERE run_date = %s ORDER BY table_name",
            (run_date,),
        ).fetchall()
    return {row[0]: Pin(row[0], row[1], version_path(row[0], row[1]), row[2], row[3]) for row in rows}


def remove_unpinned(platform: Platform, before: dt.datetime, *, dry_run: bool = False) -> list[Line]:
    """Removes the versions that no day has pinned and that were written before a moment; a line for each table that had any.

    No version is pinned meanwhile: a day that begins now waits, and finds that it must write its version.
    """
    lines = []
    with platform.database.transaction() as connection:
        connection.execute("LOCK TABLE control.reference_pins IN SHARE ROW EXCLUSIVE MODE")
        rows = connection.execute("SELECT DISTINCT table_name, version FROM control.reference_pins").fetchall()
        used = {version_path(name, version) for name, version in rows}
        for table in REFERENCE_TABLES:
            folder = f"reference/{table.name}"
            found = [each for each in entries(platform.lake, folder) if not each.folder and each.modified <= before]
            old = [each for each in found if f"{folder}/{each.name}" not in used]
            for each in () if dry_run else old:
                remove(platform.lake, f"{folder}/{each.name}", each)
            if old:
                lines.append(Line(folder, "files removed", len(old), sum(each.bytes for each in old)))
    return lines


def refreshed(platform: Platform, run_date: dt.date) -> list[str]:
    """The reference tables whose version is not that of the day's first run, because a run was asked to refresh them."""
    return [name for name, pin in pinned(platform, run_date).items() if pin.refreshed]


def newer(platform: Platform, run_date: dt.date) -> list[str]:
    """The tables whose rows are not those that are pinned for a day any more."""
    pins = pinned(platform, run_date)
    connection = platform.database.connect()
    try:
        tables = read_tables(connection)
    finally:
        connection.close()
    return [name for name, table in tables.items() if name in pins and pins[name].version != content_version(table)]


def relations(platform: Platform, pins: Mapping[str, Pin]) -> dict[str, Relation]:
    """The pinned tables as inputs of queries.

    Raises:
        InputGone: a pinned version's file is gone.
    """
    found = {}
    for table in REFERENCE_TABLES:
        pinned_table = pins[table.name]
        if not platform.lake.exists(pinned_table.path):
            raise InputGone(
                f"{pinned_table.path}, the {table.name} pinned for this day, is gone: restore it, or run with --refresh-reference"
            )
        found[table.name] = Relation({c.name: c.type for c in table.columns}, (platform.lake.path(pinned_table.path),))
    return found


def version_path(table: str, version: str) -> str:
    """Where a version of a table lies, relative to the lake's root."""
    return f"reference/{table}/{version}.parquet"
