"""Old snapshots go from the tables' metadata. Files stay: a run's are kept by the run registry, and metadata by `metadata.py`.

A reader that planned on a snapshot reads on; who asks for an expired one by its number is told that there is none.
"""

from collections.abc import Callable, Iterable, Iterator

from procurement_platform.lake.catalog import TableCatalog, old_snapshots
from procurement_platform.lake.committing import MAINTENANCE, committing, unguarded
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line
from procurement_platform.lake.tables import Table

HOLDER = "procurement maintain expire"
ATTEMPTS = 5  # others commit meanwhile


def expire_snapshots(
    lake: Lake,
    catalog: TableCatalog,
    tables: Iterable[Table],
    *,
    keep: int,
    guard: Callable[[], None] = unguarded,
    dry_run: bool = False,
) -> Iterator[Line]:
    """Leaves each table its newest `keep` snapshots, at least one: the current one, and what a branch or tag names, never goes.

    Whoever does has the lock `MAINTENANCE`; `guard` raises where it is gone.
    """
    for table in tables:
        if not has_metadata(lake, table):
            continue
        expired, left = (_old(catalog, table, keep)) if dry_run else _expire(catalog, table, keep, guard)
        note = f"{left} kept" if left >= 0 else f"others committed to it {ATTEMPTS} times meanwhile: left for the next time"
        yield Line(table.name, "snapshots expired", len(expired), note=note)


def has_metadata(lake: Lake, table: Table) -> bool:
    """Whether the table was ever made; asking the catalog would make it."""
    return lake.exists(f"{table.location}/metadata")


def _expire(catalog: TableCatalog, table: Table, keep: int, guard: Callable[[], None]) -> tuple[list[int], int]:
    from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

    for _ in range(ATTEMPTS):
        old, left = _old(catalog, table, keep)
        if not old:
            return old, left
        try:
            with committing(MAINTENANCE, HOLDER, guard):
                catalog.load(table).maintenance.expire_snapshots().by_ids(old).commit()
        # Another commit came between; one of them expired some of these; or what is there now shows how this one ended.
        except (CommitFailedException, ValueError, CommitStateUnknownException):
            continue
        return old, left
    return [], -1


def _old(catalog: TableCatalog, table: Table, keep: int) -> tuple[list[int], int]:
    iceberg = catalog.load(table)
    old = old_snapshots(iceberg, keep)
    return old, len(iceberg.snapshots()) - len(old)
