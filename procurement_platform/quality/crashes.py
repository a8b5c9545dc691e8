"""Runs and their crashes (`control.runs`, `control.crashes`): what failed or was killed is known for ever."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from procurement_platform.database.connect import Database

KILLED = "the run was killed before it ended"


@dataclass(frozen=True)
class Crash:
    """A run that failed or was killed."""

    domain: str
    run_date: dt.date
    run_id: str
    step: str | None
    message: str
    occurred_at: dt.datetime


class RunLog:
    """Which runs of a domain's days there were, and how each ended. Every method may be called twice with the same effect."""

    def __init__(self, database: Database, domain: str) -> None:
        self._database, self._domain = database, domain

    def begin(self, run_date: dt.date, run_id: str, launched_by: str) -> list[str]:
        """Opens a run; the caller holds the day's lock, so whatever else still says `running` was killed.

        Returns the ids of the runs that were found killed.
        """
        with self._database.transaction() as connection:
            killed = connection.execute(
                """
                UPDATE control.runs SET state = 'killed', ended_at = clock_timestamp(), message = %s
                WHERE domain = %s AND run_date = %s AND state = 'running' AND run_id <> %s RETURNING run_id, step
                """,
                (KILLED, self._domain, run_date, run_id),
            ).fetchall()
            for other, step in killed:
                self._record(connection, run_date, other, step, KILLED)
            connection.execute(
                """
                INSERT INTO control.runs (run_id, domain, run_date, state, started_at, launched_by)
                VALUES (%s, %s, %s, 'running', clock_timestamp(), %s)
                ON CONFLICT (run_id, domain, run_date) DO UPDATE SET state = 'running', ended_at = NULL, message = NULL
                """,
                (run_id, self._domain, run_date, launched_by),
            )
        return [other for other, _ in killed]

    def at_step(self, run_date: dt.date, run_id: str, step: str) -> None:
        """Notes the step a run is at, so that a killed run can say where it was."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE control.runs SET step = %s WHERE run_id = %s AND domain = %s AND run_date = %s",
                (step, run_id, self._domain, run_date),
            )

    def succeed(self, run_date: dt.date, run_id: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                """
                UPDATE control.runs SET state = 'succeeded', ended_at = clock_timestamp(), message = NULL
                WHERE run_id = %s AND domain = %s AND run_date = %s AND state = 'running'
                """,
                (run_id, self._domain, run_date),
            )

    def fail(
        self,
        run_date: dt.date,
        run_id: str,
        step: str | None,
        message: str,
        launched_by: str = "",
        started_at: dt.datetime | None = None,
    ) -> None:
        """Records that a run failed, also one that never began (its lock or its database was not to be had).

        `started_at` is for one that is recorded later: which run of a day is the last is a matter of when they began.
        """
        with self._database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO control.runs (run_id, domain, run_date, state, started_at, ended_at, step, message, launched_by)
                VALUES (%s, %s, %s, 'failed', coalesce(%s, clock_timestamp()), clock_timestamp(), %s, %s, %s)
                ON CONFLICT (run_id, domain, run_date) DO UPDATE
                SET state = 'failed', ended_at = clock_timestamp(), step = EXCLUDED.step, message = EXCLUDED.message
                """,
                (run_id, self._domain, run_date, started_at, step, message, launched_by),
            )
            self._record(connection, run_date, run_id, step, message)

    def killed(self, run_date: dt.date, run_id: str) -> bool:
        """Records that a run was killed, where it still says `running`; returns whether it did."""
        with self._database.transaction() as connection:
            row = connection.execute(
                """
                UPDATE control.runs SET state = 'killed', ended_at = clock_timestamp(), message = %s
                WHERE run_id = %s AND domain = %s AND run_date = %s AND state = 'running' RETURNING step
                """,
                (KILLED, run_id, self._domain, run_date),
            ).fetchone()
            if row is not None:
                self._record(connection, run_date, run_id, row[0], KILLED)
        return row is not None

    def never_began(self, run_date: dt.date, run_id: str, started_at: dt.datetime) -> None:
        """Records that a run was killed before it could open itself here."""
        with self._database.transaction() as connection:
            made = connection.execute(
                """
                INSERT INTO control.runs (run_id, domain, run_date, state, started_at, ended_at, message, launched_by)
                VALUES (%s, %s, %s, 'killed', %s, clock_timestamp(), %s, '')
                ON CONFLICT (run_id, domain, run_date) DO NOTHING RETURNING run_id
                """,
                (run_id, self._domain, run_date, started_at, KILLED),
            ).fetchone()
            if made is not None:
                self._record(connection, run_date, run_id, None, KILLED)

    def states(self, run_ids: Sequence[str]) -> dict[str, str]:
        """What is known of runs: id → state. One that left no trace is not among them."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT run_id, state FROM control.runs WHERE domain = %s AND run_id = ANY(%s)", (self._domain, list(run_ids))
            ).fetchall()
        return {row[0]: row[1] for row in rows}

    def standing_crash(self, run_date: dt.date) -> Crash | None:
        """The crash of the day's last run; None where that run succeeded, runs still, or there was none."""
        with self._database.transaction() as connection:
            row = connection.execute(
                """
                SELECT state, run_id, step, message, ended_at FROM control.runs
                WHERE domain = %s AND run_date = %s ORDER BY started_at DESC, run_id DESC LIMIT 1
                """,
                (self._domain, run_date),
            ).fetchone()
        if row is None or row[0] not in ("failed", "killed"):
            return None
        return Crash(self._domain, run_date, row[1], row[2], row[3] or KILLED, row[4])

    def running(self, run_date: dt.date | None = None) -> list[tuple[dt.date, str]]:
        """Run dates and ids of the runs that say they run, whether or not they still do."""
        with self._database.transaction() as connection:
            return [
                (r[0], r[1])
                for r in connection.execute(
                    """
                    SELECT run_date, run_id FROM control.runs
                    WHERE domain = %s AND state = 'running' AND run_date = COALESCE(%s, run_date)
                    """,
                    (self._domain, run_date),
                )
            ]

    def history(self, run_date: dt.date | None = None) -> Sequence[Crash]:
        """Every crash ever, or those of a run date, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT domain, run_date, run_id, step, message, occurred_at FROM control.crashes
                WHERE domain = %s AND run_date = COALESCE(%s, run_date) ORDER BY occurred_at, id
                """,
                (self._domain, run_date),
            ).fetchall()
        return [Crash(*row) for row in rows]

    def _record(self, connection: psycopg.Connection, run_date: dt.date, run_id: str, step: str | None, message: str) -> None:
        connection.execute(
            """
            INSERT INTO control.crashes (domain, run_date, run_id, step, message, occurred_at)
            VALUES (%s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT (run_id, domain, run_date) DO NOTHING
            """,
            (self._domain, run_date, run_id, step, message),
        )
