"""The run registry: which run wrote which files of a table, kept in `control.table_runs` independent of Iceberg's snapshots."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from procurement_platform.database.connect import Database


@dataclass(frozen=True)
class TableRun:
    """What a run wrote of a table for one run date. `folders` are relative to the lake's root."""

    table: str
    run_date: dt.date
    run_id: str
    folders: tuple[str, ...]
    state: str
    rows: int | None
    content_hash: str | None
    inputs: Mapping[str, object]
    committed_at: dt.datetime | None
    staged_at: dt.datetime


_COLUMNS = "table_name, run_date, run_id, folder, state, rows, content_hash, inputs, committed_at, staged_at"


class RunRegistry:
    """Writes and reads `control.table_runs`. A row in state `staged` or `restoring` protects files that are not committed yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stage(self, table: str, run_date: dt.date, run_id: str, folders: tuple[str, ...]) -> None:
        """Announces the folders a run is about to write, before the first byte."""
        with self._database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO control.table_runs (table_name, run_date, run_id, folder, state, inputs, staged_at)
                VALUES (%s, %s, %s, %s, 'staged', '{}', now())
                ON CONFLICT (table_name, run_date, run_id) DO UPDATE SET folder = EXCLUDED.folder, state = 'staged', staged_at = now()
                """,
                (table, run_date, run_id, "\n".join(folders)),
            )

    def commit(
        self,
        table: str,
        run_date: dt.date,
        run_id: str,
        *,
        rows: int,
        content_hash: str,
        inputs: Mapping[str, object],
        snapshot_id: int | None = None,
    ) -> None:
        """Records that a run's files are the run date's state; the run before it becomes `superseded`."""
        with self._database.transaction() as connection:
            connection.execute(
                """
                UPDATE control.table_runs SET state = 'superseded'
                WHERE table_name = %s AND run_date = %s AND state IN ('committed', 'restoring')
                """,
                (table, run_date),
            )
            connection.execute(
                """
                UPDATE control.table_runs
                SET state = 'committed', rows = %s, content_hash = %s, inputs = %s, snapshot_id = %s, committed_at = clock_timestamp()
                WHERE table_name = %s AND run_date = %s AND run_id = %s
                """,
                (rows, content_hash, Jsonb(dict(inputs)), snapshot_id, table, run_date, run_id),
            )

    def restoring(self, table: str, run_date: dt.date, run_id: str) -> None:
        """Announces that a table is about to be taken back to a run: from here on its files are protected until another commit."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE control.table_runs SET state = 'restoring' WHERE table_name = %s AND run_date = %s AND run_id = %s",
                (table, run_date, run_id),
            )

    def doubtful(self, run_date: dt.date, but: str) -> set[str]:
        """The tables that may hold other rows than those recorded: a run (not `but`) was about to commit to them, and never said it did."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT r.table_name FROM control.table_runs r
                WHERE r.run_date = %(date)s AND r.run_id <> %(but)s AND (r.state = 'restoring' OR r.state = 'staged' AND r.staged_at > (
                    SELECT max(c.committed_at) FROM control.table_runs c
                    WHERE c.table_name = r.table_name AND c.run_date = %(date)s AND c.state = 'committed'
                ))
                """,
                {"date": run_date, "but": but},
            ).fetchall()
        return {row[0] for row in rows}

    def current(self, table: str, run_date: dt.date) -> TableRun | None:
        """The run whose files are the run date's state."""
        runs = self._select("table_name = %s AND run_date = %s AND state = 'committed'", (table, run_date))
        return runs[0] if runs else None

    def committed(self, run_date: dt.date, tables: Iterable[str]) -> dict[str, TableRun]:
        """The runs whose files are the run date's state, of those tables that have one."""
        runs = self._select("table_name = ANY(%s) AND run_date = %s AND state = 'committed'", (list(tables), run_date))
        return {run.table: run for run in reversed(runs)}

    def published(self, domain: str, table: str, first: dt.date, last: dt.date) -> dict[dt.date, TableRun]:
        """The run whose rows of a table buyers see, for each date of a range that has any; in order."""
        runs = self._select(
            """
            table_name = %s AND run_date BETWEEN %s AND %s AND rows > 0 AND EXISTS (
                SELECT FROM control.published_days d
                WHERE d.domain = %s AND d.run_date = table_runs.run_date AND d.tables ->> table_runs.table_name = table_runs.run_id
            )
            """,
            (table, first, last, domain),
        )
        return {run.run_date: run for run in sorted(runs, key=lambda run: run.run_date)}

    def get(self, table: str, run_date: dt.date, run_id: str) -> TableRun | None:
        runs = self._select("table_name = %s AND run_date = %s AND run_id = %s", (table, run_date, run_id))
        return runs[0] if runs else None

    def history(self, table: str, run_date: dt.date | None = None) -> list[TableRun]:
        """Every run of the table (for a run date, or for all) that is still known, the newest commit first."""
        if run_date is None:
            return self._select("table_name = %s", (table,))
        return self._select("table_name = %s AND run_date = %s", (table, run_date))

    def _select(self, condition: str, values: tuple[object, ...]) -> list[TableRun]:
        query = psycopg.sql.SQL("SELECT {} FROM control.table_runs WHERE {} ORDER BY committed_at DESC NULLS LAST, staged_at DESC").format(
            psycopg.sql.SQL(_COLUMNS), psycopg.sql.SQL(condition)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query, values).fetchall()
        return [TableRun(r[0], r[1], r[2], tuple(r[3].split("\n")), r[4], r[5], r[6], r[7] or {}, r[8], r[9]) for r in rows]
