"""How often a day was asked for (`control.launches`): a run that failed is asked for again, later each time, and not for ever."""

import datetime as dt
from dataclasses import dataclass

from procurement_platform.database.connect import Database

BACK_OFF = tuple(dt.timedelta(minutes=minutes) for minutes in (0, 5, 15, 60))  # before the first attempt, the second, …


@dataclass(frozen=True)
class Asked:
    """The attempts made for one state of a day's files."""

    attempts: int
    last_at: dt.datetime | None

    @property
    def next_at(self) -> dt.datetime | None:
        """When the next attempt is due; None where there is none left."""
        if self.attempts >= len(BACK_OFF):
            return None
        return dt.datetime.min.replace(tzinfo=dt.UTC) if self.last_at is None else self.last_at + BACK_OFF[self.attempts]


class Launches:
    """Reads and writes a domain's launches."""

    def __init__(self, database: Database, domain: str) -> None:
        self._database, self._domain = database, domain

    def asked(self, run_date: dt.date, signature: str) -> Asked:
        """The attempts made so far."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT max(attempt), max(requested_at) FROM control.launches WHERE domain = %s AND run_date = %s AND signature = %s",
                (self._domain, run_date, signature),
            ).fetchone()
        return Asked(row[0] or 0, row[1]) if row else Asked(0, None)

    def claim(self, run_date: dt.date, signature: str, now: dt.datetime) -> int | None:
        """The number of the attempt that is due, recorded as made; None where none is (yet)."""
        asked = self.asked(run_date, signature)
        if asked.next_at is None or asked.next_at > now:
            return None
        with self._database.transaction() as connection:
            made = connection.execute(
                """
                INSERT INTO control.launches (domain, run_date, signature, attempt, requested_at) VALUES (%s, %s, %s, %s, %s)
                ON CONFLICT DO NOTHING
                """,
                (self._domain, run_date, signature, asked.attempts + 1, now),
            )
        return asked.attempts + 1 if made.rowcount else None
