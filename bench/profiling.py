"""Where a day's time goes: runs days in this process and times each step, and within each step each kind of work.

Run: PROCUREMENT_HOME=… python bench/profiling.py FIRST [LAST]
"""

import datetime as dt
import functools
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from procurement_platform.database.connect import Database
from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform.lake.runs import RunRegistry
from procurement_platform.procurement import service
from procurement_platform.settings import Settings, load_settings

START, REST = "(start and end of the run)", "(rest)"


class Profile:
    """Seconds and calls by (step, work). Work inside other work counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.decoding: dict[str, float] = defaultdict(float)
        self._step, self._since = START, time.perf_counter()
        self._inner = [0.0]

    def begin(self, step: str) -> None:
        """Everything from here on belongs to this step."""
        now = time.perf_counter()
        self.seconds[self._step, REST] += now - self._since - self._inner[0]
        self._step, self._since, self._inner = step, now, [0.0]

    def timed(self, work: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            return function(*arguments, **named)
        finally:
            took = time.perf_counter() - start
            inside = self._inner.pop()
            self._inner[-1] += took
            self.seconds[self._step, work] += took - inside
            self.calls[self._step, work] += 1

    def watch(self, owner: type, method: str, name: Callable[..., str]) -> None:
        """Times every call of a method; `name` gets its arguments and says what work that is."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def wrapper(*arguments: Any, **named: Any) -> Any:
            return self.timed(name(*arguments), original, *arguments, **named)

        setattr(owner, method, wrapper)

    def watch_everything(self) -> None:
        """Times SQL by query, Iceberg, files, the decoding, and the registry's round trips to PostgreSQL."""
        for method in ("write", "rows", "arrow"):
            self.watch(DuckDBEngine, method, lambda _, query, *__: f"SQL {query.name.rpartition('/')[2]}")
        self.watch(TableCatalog, "replace", lambda _, table, *__: f"Iceberg commit {table.name}")
        self.watch(TableCatalog, "files", lambda *_: "Iceberg plan files")
        self.watch(Lake, "write", lambda *_: "write small files")
        self.watch(Lake, "sync", lambda *_: "fsync")
        for method in ("stage", "commit", "_select"):
            self.watch(RunRegistry, method, lambda *_: "run registry")
        self.watch(Database, "ensure", lambda *_: "database: connect")
        run = DecoderPool.run

        def decode(pool: DecoderPool, tasks: Any) -> Iterator[Any]:
            outcomes = self.timed("decode files", lambda: list(run(pool, tasks)))
            for outcome in outcomes:
                for stage, seconds in outcome.seconds.items():
                    self.decoding[stage] += seconds
            return iter(outcomes)

        DecoderPool.run = decode  # type: ignore[method-assign]

    def run(self, settings: Settings, days: list[dt.date]) -> list[float]:
        """Runs the days; returns the seconds each took."""
        took = []
        for day in days:
            start = time.perf_counter()
            self.begin(START)
            result = service.run_day(settings, day, on_step=self.begin)
            self.begin(START)
            took.append(time.perf_counter() - start)
            if result.error is not None:
                raise SystemExit(f"{day}: {result.error}")
        return took

    def table(self, days: int, least: float) -> str:
        """Milliseconds a day by step and work; work of less than `least` seconds a day is in the step's rest."""
        lines = []
        for step in dict.fromkeys(step for step, _ in self.seconds):
            own = {work: seconds for (each, work), seconds in self.seconds.items() if each == step}
            lines.append(f"{sum(own.values()) / days * 1000:9,.0f} ms  {step}")
            shown: Mapping[str, float] = {work: seconds for work, seconds in own.items() if seconds / days >= least and work != REST}
            for work, seconds in sorted(shown.items(), key=lambda each: -each[1]):
                lines.append(f"{seconds / days * 1000:13,.0f}        {work} (× {self.calls[step, work] / days:.0f})")
            lines.append(f"{(sum(own.values()) - sum(shown.values())) / days * 1000:13,.0f}        other")
        decoded = ", ".join(f"{stage} {seconds / days:.2f}" for stage, seconds in self.decoding.items())
        return "\n".join([*lines, f"seconds inside the decoding processes: {decoded}"])


def main() -> None:
    first = dt.date.fromisoformat(sys.argv[1])
    last = dt.date.fromisoformat(sys.argv[-1])
    days = [first + dt.timedelta(n) for n in range((last - first).days + 1)]
    profile = Profile()
    profile.watch_everything()
    took = profile.run(load_settings(), days)
    print(f"{sum(took):.2f} s for {len(days)} days")
    print(profile.table(len(days), 0.02 * sum(took) / len(took) / 4))


if __name__ == "__main__":
    main()
