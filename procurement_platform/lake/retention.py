"""How long a run's files stay: a number of days, and at least some runs of each day, whatever Iceberg's snapshots say."""

import datetime as dt

from procurement_platform.database.connect import Database
from procurement_platform.lake.files import Lake


def remove_old_runs(database: Database, lake: Lake, run_date: dt.date, *, days: int, runs: int) -> list[str]:
    """Removes the files of a date's old runs: those staged more than `days` days ago, but never one of the newest `runs` of its table.

    What a table's current state or a published day names is never removed, nor anything of the run
    that published it: stable links lead there. The caller holds the day's lock, so that no run is writing.
    The folder goes before its row: a kill in between leaves a row whose folder is gone already, which the next call removes.
    Returns the folders removed, relative to the lake's root.
    """
    with database.transaction() as connection:
        old = connection.execute(
            """
            WITH ranked AS (
                SELECT table_name, run_id, folder, state, staged_at,
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
            WHERE r.place > %(runs)s AND r.state <> 'committed' AND r.staged_at < now() - make_interval(days => %(days)s)
                AND NOT EXISTS (SELECT 1 FROM named n WHERE n.table_name = r.table_name AND n.run_id = r.run_id)
            ORDER BY r.table_name, r.run_id
            """,
            {"date": run_date, "days": days, "runs": runs},
        ).fetchall()
    removed: list[str] = []
    for table, run_id, folders in old:
        for folder in folders.split("\n"):
            lake.remove_folder(folder)
            removed.append(folder)
        with database.transaction() as connection:
            connection.execute(
                "DELETE FROM control.table_runs WHERE table_name = %s AND run_date = %s AND run_id = %s", (table, run_date, run_id)
            )
    return removed
