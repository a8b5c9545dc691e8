"""The file ledger (`control.files`): every file a market ever sent, what became of it, and which files a day is made of."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from procurement_platform.database.connect import Database
from procurement_platform.errors import ProcurementError

IN_USE = ("accepted", "rejected")  # states of the files that a day is made of


@dataclass(frozen=True)
class LedgerFile:
    """One version of a market's file. The active ones of a day (state `accepted`) are what the day is made of.

    `awaits_reference`: refused for what is not in its bytes (its market in the day's reference, a limit, the machine's memory); every run
    looks at the bytes that were kept again.
    `withdrawn_*` stay when the file was reinstated: `reinstated_*` say who did it, and when.

    `rows` = `accepted` + `quarantined` + `duplicates`, where the file could be read. `raw_path` is relative to the lake's root.
    """

    file_id: str
    feed: str
    run_date: dt.date
    name: str
    file_name: str
    market: str
    format: str
    sha256: str
    size_bytes: int
    sent_at: dt.datetime
    state: str
    reason: str | None
    rows: int | None
    accepted: int | None
    quarantined: int | None
    duplicates: int | None
    notes: str | None
    raw_path: str
    run_id: str | None
    awaits_reference: bool = False
    received_at: dt.datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_why: str | None = None
    withdrawn_at: dt.datetime | None = None
    reinstated_by: str | None = None
    reinstated_at: dt.datetime | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it is in use, and rows of it are, or it has none."""
        return self.state == "accepted" and not self.is_useless

    @property
    def is_useless(self) -> bool:
        """Whether it is in use and no row of it can be."""
        return self.state == "accepted" and bool(self.rows) and not (self.accepted or self.duplicates)


_WRITTEN = (
    "file_id",
    "feed",
    "run_date",
    "name",
    "file_name",
    "market",
    "format",
    "sha256",
    "size_bytes",
    "sent_at",
    "state",
    "reason",
    "rows",
    "accepted",
    "quarantined",
    "duplicates",
    "notes",
    "raw_path",
    "run_id",
    "awaits_reference",
)
_READ = (*_WRITTEN, "received_at", "withdrawn_by", "withdrawn_why", "withdrawn_at", "reinstated_by", "reinstated_at")


class Ledger:
    """Reads and writes `control.files`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def files(self, first: dt.date, last: dt.date | None = None, states: Sequence[str] = ()) -> list[LedgerFile]:
        """The files of a run date, or of the dates `first` … `last`, in the order of date, feed, name and arrival."""
        with self._database.transaction() as connection:
            cursor = connection.cursor(row_factory=class_row(LedgerFile))
            return cursor.execute(
                sql.SQL(
                    """
                    SELECT {} FROM control.files
                    WHERE run_date BETWEEN %s AND %s AND (cardinality(%s::text[]) = 0 OR state = ANY(%s))
                    ORDER BY run_date, feed, name, received_at, file_id
                    """
                ).format(sql.SQL(", ").join(map(sql.Identifier, _READ))),
                (first, last or first, list(states), list(states)),
            ).fetchall()

    def withdrawals(self, before: dt.date) -> dict[dt.date, dt.datetime]:
        """Run dates before one of which a file was ever withdrawn → when the last one was."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT run_date, max(withdrawn_at) FROM control.files WHERE withdrawn_at IS NOT NULL AND run_date < %s GROUP BY run_date",
                (before,),
            ).fetchall()
        return dict(rows)

    def record(self, files: Sequence[LedgerFile], sent: Collection[str] = ()) -> None:
        """Writes what became of a day's files, in one transaction; `sent` are the ids of those that the inbox holds.

        What is accepted takes the place of the file of its name that was in use, what was sent also that of rejected ones, and of
        what was no file (a link) under its file name: not, of the same call, that of a correction that cannot be read, or of the file
        before it that breaks a limit. What was refused before, was not sent again and is accepted now takes that of others that await
        the reference. Of a file that is superseded and was known before, only when it was sent is written.
        """
        ids = [file.file_id for file in files]
        with self._database.transaction() as connection, connection.pipeline():  # no statement waits for the answer to the one before
            # Accepted first: the rejection of a correction must outlive the file it did not replace, whichever comes first here.
            for file in sorted(files, key=lambda f: ("accepted", "rejected", "superseded").index(f.state)):
                if file.state == "superseded":
                    self._note(connection, file)
                    continue
                connection.execute(
                    """
                    UPDATE control.files SET state = 'superseded'
                    WHERE feed = %(feed)s AND run_date = %(date)s AND file_id <> %(id)s
                        AND (name = %(name)s OR market = '' AND file_name = %(file_name)s) AND CASE state
                        WHEN 'accepted' THEN %(accepted)s
                        WHEN 'rejected' THEN file_id <> ALL(%(ids)s) AND (
                            %(sent)s OR %(accepted)s AND awaits_reference
                                AND NOT EXISTS (SELECT FROM control.files WHERE file_id = %(id)s AND state = 'accepted')
                        )
                        ELSE false END
                    """,
                    {
                        "feed": file.feed,
                        "date": file.run_date,
                        "name": file.name,
                        "file_name": file.file_name,
                        "id": file.file_id,
                        "ids": ids,
                        "accepted": file.state == "accepted",
                        "sent": file.file_id in sent,
                    },
                )
                self._upsert(connection, file)

    def moved(self, paths: Mapping[str, str]) -> None:
        """Notes where raw copies are now: old path → new path, both relative to the lake's root."""
        with self._database.transaction() as connection:
            for before, after in paths.items():
                connection.execute("UPDATE control.files SET raw_path = %s WHERE raw_path = %s", (after, before))

    def seen_again(self, times: Mapping[str, dt.datetime]) -> None:
        """Notes when files were sent last (file id → time): those a run left out, so that nobody asks again, or handed in again."""
        if not times:
            return
        with self._database.transaction() as connection:
            for file_id, sent_at in times.items():
                connection.execute("UPDATE control.files SET sent_at = %s WHERE file_id = %s", (sent_at, file_id))

    def withdraw(self, file: LedgerFile, by: str, why: str) -> None:
        """Takes a file out of its day, until its bytes are handed in again; they stay. The day must be run again."""
        with self._database.transaction() as connection:
            done = connection.execute(
                """
                UPDATE control.files SET state = 'withdrawn', withdrawn_by = %s, withdrawn_why = %s, withdrawn_at = now(),
                    reinstated_by = NULL, reinstated_at = NULL
                WHERE file_id = %s AND state IN ('accepted', 'rejected')
                """,
                (by, why, file.file_id),
            )
            if done.rowcount != 1:
                raise ProcurementError(
                    f"{file.file_name} of {file.run_date} is not in use any more: see `procurement files {file.run_date}`"
                )

    def reinstate(self, file_id: str, by: str) -> bool:
        """Lets the next run take the bytes of a withdrawn file again, where the inbox has them; False where none was withdrawn.

        Until then it counts as one that was superseded, and as sent just now: what lies there since before that came again.
        """
        with self._database.transaction() as connection:
            done = connection.execute(
                """
                UPDATE control.files SET state = 'superseded', sent_at = now(), reinstated_by = %s, reinstated_at = now()
                WHERE file_id = %s AND state = 'withdrawn'
                """,
                (by, file_id),
            )
        return done.rowcount == 1

    def _note(self, connection: psycopg.Connection, file: LedgerFile) -> None:
        connection.execute(
            sql.SQL("INSERT INTO control.files ({}) VALUES ({}) ON CONFLICT (file_id) DO UPDATE SET sent_at = EXCLUDED.sent_at").format(
                sql.SQL(", ").join(map(sql.Identifier, _WRITTEN)), sql.SQL(", ").join(sql.Placeholder() * len(_WRITTEN))
            ),
            [getattr(file, c) for c in _WRITTEN],
        )

    def _upsert(self, connection: psycopg.Connection, file: LedgerFile) -> None:
        changing = [c for c in _WRITTEN if c not in ("file_id", "feed", "run_date", "name")]
        connection.execute(
            sql.SQL("INSERT INTO control.files ({}) VALUES ({}) ON CONFLICT (file_id) DO UPDATE SET {}").format(
                sql.SQL(", ").join(map(sql.Identifier, _WRITTEN)),
                sql.SQL(", ").join(sql.Placeholder() * len(_WRITTEN)),
                sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c)) for c in changing),
            ),
            [getattr(file, c) for c in _WRITTEN],
        )
