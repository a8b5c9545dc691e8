"""How long a run's files stay: a number of days, and at least some runs of each day, whatever Iceberg's snapshots say."""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from procurement_platform.database.connect import Database
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.tables import Table


@dataclass(frozen=True)
class OldRun:
    """What a run wrote of a table, which may go. `folders` are relative to the lake's root."""

    table: str
    run_date: dt.date
    run_id: str
    folders: tuple[str, ...]


Held = Callable[[OldRun], bool]


def by_nobody(_: OldRun) -> bool:
    """Who holds old runs where there are no branches and tags."""
    return False


def by_tags(catalog: TableCatalog, tables: Iterable[Table]) -> Held:
    """Whether a branch or tag that somebody gave one of the tables names files of a run."""
    known = {table.name: table for table in tables}

    def held(run: OldRun) -> bool:
        table = known.get(run.table)
        files = catalog.in_snapshots(table, run.run_date, tagged=True) if table is not None else ()
        return any(file.rpartition("/")[0] in run.folders for file in files)

    return held


def remove_old_runs(
    database: Database,
    lake: Lake,
    run_date: dt.date,
    *,
    days: int,
    runs: int,
    quiet: dt.timedelta = dt.timedelta(0),
    held: Held = by_nobody,
) -> list[str]:
    """Removes the files of a date's old runs: those staged more than `days` days ago, but never one of the newest `runs` of its table.

    Nor one that was the date's state within `quiet`: who planned before that reads its files.

    What a table's current state or a published day names is never removed, nor anything of the run
    that published it: stable links lead there. Nor what is `held`. Neither is a run that began since the date's last known commit and
    was never recorded as committed, nor one that the table was being taken back to: it may have been killed in between. The caller holds
    the day's lock, so that no run is writing.
    The folder goes before its row: a kill in between leaves a row whose folder is gone already, which the next call removes.
    Returns the folders removed, relative to the lake's root.
    """
    old = old_runs(database, run_date, days=days, runs=runs, quiet=quiet, held=held)
    for run in old:
        remove_run(database, lake, run)
    return [folder for run in old for folder in run.folders]


def dates_with_old_runs(database: Database, *, days: int) -> list[dt.date]:
    """The run dates that have runs older than `days` days, other than those that are the state; in order."""
    with database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT DISTINCT run_date FROM control.table_runs
            WHERE state NOT IN ('committed', 'restoring') AND staged_at < now() - make_interval(days => %s) ORDER BY run_date
            """,
            (days,),
        ).fetchall()
    return [row[0] for row in rows]


def old_runs(
    database: Database, run_date: dt.date, *, days: int, runs: int, quiet: dt.timedelta = dt.timedelta(0), held: Held = by_nobody
) -> list[OldRun]:
    """A date's runs that `remove_old_runs` removes."""
    with database.transaction() as connection:
        rows = connection.execute(
            """
            WITH ranked AS (
                SELECT table_name, run_id, folder, state, staged_at, committed_at,
                    row_number() OVER (PARTITION BY table_name ORDER BY staged_at DESC, run_id DESC) AS place
                FROM control.table_runs WHERE run_date = %(date)s
            ), named AS (
                SELECT t.key AS table_name, t.value AS run_id
                FROM control.published_days d CROSS JOIN LATERAL jsonb_each_text(d.tables) t WHERE d.run_date = %(date)s
                UNION ALL
                SELECT t.table_name, t.run_id
                FROM control.published_days d
                CROSS JOIN LATERAL jsonb_to_recordset(d.manifest) AS m(path text)
                JOIN ranked t ON starts_with(m.path, t.folder || '/')
                WHERE d.run_date = %(date)s
                UNION ALL
                SELECT t.table_name, t.run_id FROM control.published_days d JOIN ranked t ON t.run_id = d.run_id WHERE d.run_date = %(date)s
            )
            SELECT r.table_name, r.run_id, r.folder FROM ranked r
            WHERE r.place > %(runs)s AND r.state NOT IN ('committed', 'restoring') AND r.staged_at < now() - make_interval(days => %(days)s)
                AND NOT (r.state = 'staged' AND r.staged_at > coalesce((
                    SELECT max(c.committed_at) FROM control.table_runs c
                    WHERE c.table_name = r.table_name AND c.run_date = %(date)s AND c.state = 'committed'
                ), 'infinity'))
                AND NOT EXISTS (SELECT 1 FROM named n WHERE n.table_name = r.table_name AND n.run_id = r.run_id)
                AND NOT EXISTS (
                    SELECT 1 FROM control.table_runs c
                    WHERE c.table_name = r.table_name AND c.run_date = %(date)s AND c.committed_at > r.committed_at
                    HAVING min(c.committed_at) > now() - %(quiet)s
                )
            ORDER BY r.table_name, r.run_id
            """,
            {"date": run_date, "days": days, "runs": runs, "quiet": quiet},
        ).fetchall()
    old = [OldRun(table, run_date, run_id, tuple(folders.split("\n"))) for table, run_id, folders in rows]
    return [run for run in old if not held(run)]


def remove_run(database: Database, lake: Lake, run: OldRun) -> None:
    """Removes an old run's folders, then its row."""
    for folder in run.folders:
        lake.remove_folder(folder)
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM control.table_runs WHERE table_name = %s AND run_date = %s AND run_id = %s", (run.table, run.run_date, run.run_id)
        )
