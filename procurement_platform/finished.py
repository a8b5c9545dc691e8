"""Finished Dagster runs, each handled once: how sensors follow runs wherever those were started (UI, daemon, command line).

A sensor of Dagster's own kind (`run_status_sensor`) goes on to the next run also where its function raised, for one status each; what
must not be lost (an alert that nobody took, a crash while the database was down) is followed here: the cursor moves on only past runs
that were handled.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

PARTITION_TAG = "dagster/partition"
FINISHED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
RUNS_PER_TICK = 25
OVERLAP = dt.timedelta(seconds=60)  # a run's end may be written later than that of a run that ended after it
FIRST_LOOK = dt.timedelta(days=1)


@dataclass(frozen=True)
class Cursor:
    """Runs that ended after `after` are to be handled, save those `seen` (id → when they ended)."""

    after: dt.datetime
    seen: Mapping[str, dt.datetime] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None, now: dt.datetime) -> "Cursor":
        """The cursor that a tick left; for the first one, and for one that cannot be read, a day ago."""
        try:
            value = json.loads(text or "")
            seen = {str(run_id): dt.datetime.fromisoformat(ended) for run_id, ended in value["seen"].items()}
            return cls(dt.datetime.fromisoformat(value["after"]), seen)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(now - FIRST_LOOK)

    def __str__(self) -> str:
        return json.dumps({"after": self.after.isoformat(), "seen": {run_id: ended.isoformat() for run_id, ended in self.seen.items()}})

    def past(self, run_id: str, ended: dt.datetime) -> "Cursor":
        """The cursor once a run was handled. Runs that ended a little before it may still turn up."""
        after = max(self.after, ended - OVERLAP)
        return Cursor(after, {each: at for each, at in {**self.seen, run_id: ended}.items() if at > after})


def finished_runs(instance: DagsterInstance, cursor: Cursor, statuses: Sequence[DagsterRunStatus] = FINISHED) -> list[RunRecord]:
    """The next runs to handle, in the order in which they ended."""
    records = instance.get_run_records(
        RunsFilter(statuses=list(statuses), updated_after=cursor.after),
        limit=RUNS_PER_TICK + len(cursor.seen),
        order_by="update_timestamp",
        ascending=True,
    )
    return [record for record in records if record.dagster_run.run_id not in cursor.seen][:RUNS_PER_TICK]


def handle_runs(
    instance: DagsterInstance,
    cursor: Cursor,
    handle: Callable[[RunRecord], None],
    statuses: Sequence[DagsterRunStatus] = FINISHED,
) -> Iterator[Cursor]:
    """Handles each finished run in turn and yields the cursor after it; what `handle` raises leaves the run for the next tick."""
    for record in finished_runs(instance, cursor, statuses):
        handle(record)
        cursor = cursor.past(record.dagster_run.run_id, utc(record.update_timestamp))
        yield cursor


def utc(time: dt.datetime) -> dt.datetime:
    """A time of Dagster's storage, which may come without its zone."""
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
