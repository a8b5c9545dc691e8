"""`procurement backfill`: many days, one run each."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from procurement_platform.cli.options import FirstDate, LastDate, RefreshOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from procurement_platform.platform import Platform
    from procurement_platform.settings import Settings

COLUMNS = ("run_date", "state", "seconds", "orders", "exceptions", "message")
NO_FILES = "no usable file"  # the state of a day that was run, and of which no file is in use


def backfill(first: FirstDate, last: LastDate, refresh_reference: RefreshOption = False) -> None:
    """Run every day from FROM to TO, in order, one run per day in one process.

    Reads and writes what `run` does, for each day. A failed day does not stop the others; the exit code is 1 if any failed. A day of which
    no file is in use is run too, and said to have no usable file. Days after TO that are to be run again because these changed are named.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import say, show_table
    from procurement_platform.cli.run import stale_in_words
    from procurement_platform.errors import ConfigurationError
    from procurement_platform.procurement import service
    from procurement_platform.procurement.stale import stale_after
    from procurement_platform.settings import settings

    if last < first:
        raise ConfigurationError(f"{first} is after {last}: give the earlier date first")
    for end in (first, last):
        service.check_run_date(settings(), end)
    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    lines: list[dict[str, object]] = []
    try:
        with session.platform() as platform, _progress(len(days)) as advance:
            platform.decoders.start(min(len(days), settings().decode_processes))
            for day in days:
                lines.append(_run(platform, settings(), day, refresh_reference))
                advance(day, str(lines[-1]["state"]))
            stale = stale_after(platform, last, dt.datetime.now(dt.UTC))
    finally:  # an interrupt, too, leaves an account of what was done
        show_table(lines, COLUMNS, f"Backfill of {first} to {last}", View(("message",)))
    empty = sum(line["state"] == NO_FILES for line in lines)
    failed = sum(line["state"] not in ("succeeded", NO_FILES) for line in lines)
    done = f"{len(lines) - failed} of {len(lines)} days succeeded in {sum(_seconds(line) for line in lines):.1f} s"
    say(f"{done}, {empty} of them without any file in use" if empty else done, "red" if failed else "yellow" if empty else "")
    if stale:
        say(stale_in_words(stale), "yellow")
    if failed:
        raise typer.Exit(1)


def _run(platform: "Platform", settings: "Settings", day: dt.date, refresh_reference: bool) -> dict[str, object]:
    from procurement_platform.cli.output import Shown
    from procurement_platform.cli.run import left_out
    from procurement_platform.errors import DayBusy
    from procurement_platform.procurement import service

    line: dict[str, object] = dict.fromkeys(COLUMNS)
    line |= {"run_date": day, "seconds": Shown("0.0"), "message": ""}
    try:
        result = service.run_day(settings, day, refresh_reference=refresh_reference)
    except DayBusy as busy:
        return line | {"state": "busy", "message": str(busy)}
    line["seconds"] = Shown(f"{result.seconds:.1f}")
    waits = left_out(result.growing) if result.growing else ""
    if result.error is not None or result.published is None:
        return line | {"state": "failed", "message": ". ".join(text for text in (result.error, waits) if text)}
    line["message"] = waits
    rows = {file.stable.rsplit("/", 1)[-1]: file.rows for file in result.published.manifest}
    line |= {"state": "succeeded", "exceptions": rows.pop("exceptions.csv", 0), "orders": sum(rows.values())}
    if not result.growing and (why := _without_files(platform, day)):
        line |= {"state": NO_FILES, "message": why}
    return line


def _without_files(platform: "Platform", day: dt.date) -> str:
    """Why a day that was run has no file in use; empty where it has one."""
    from procurement_platform.procurement import service
    from procurement_platform.quality.rules import MISSING_FILE

    sent = platform.ledger.files(day)
    if any(file.state == "accepted" for file in sent):
        return ""
    missing = sum(line["rule"] == MISSING_FILE.name for line in service.exceptions(platform, day))
    told = f"{missing} {MISSING_FILE.name}: procurement exceptions {day}"
    return f"no market sent a file, {told}" if not sent else f"of {len(sent)} files sent none is in use, {told}"


def _seconds(line: dict[str, object]) -> float:
    return float(str(line["seconds"]))


@contextmanager
def _progress(days: int) -> "Iterator[Callable[[dt.date, str], None]]":
    """A bar on a terminal, one line a day elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from procurement_platform.cli.output import err, say

    console = err()
    if not console.is_terminal:
        yield lambda day, state: say(f"{day} {state}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=days)
        yield lambda day, state: bar.update(task, advance=1, description=f"{day} {state}")
