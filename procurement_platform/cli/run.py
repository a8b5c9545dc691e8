"""`procurement run`: one day."""

import datetime as dt
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from procurement_platform.cli.options import OptionalDate, RefreshOption
from procurement_platform.texts import first_few

if TYPE_CHECKING:
    from procurement_platform.inbox.late import StaleDay
    from procurement_platform.platform import Platform

TOP = 10
NAMED = 3  # days that are to be run again, in a line


def run(
    date: OptionalDate = None,
    refresh_reference: RefreshOption = False,
    simulate_if_empty: Annotated[
        bool,
        typer.Option("--simulate-if-empty", help="Where no market has sent a file for the day, simulate one with typical faults first."),
    ] = False,
) -> None:
    """Run the day's job and print its supplier orders and exceptions.

    Reads the day's files in the inbox and the reference tables. Writes the lake's tables, the suppliers' CSV files, the exceptions
    report and Dagster's event log, all under PROCUREMENT_HOME; the day shows only when all of it is done. A day may be run again any time.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.output import say, steps
    from procurement_platform.procurement import service
    from procurement_platform.settings import settings

    run_date = date or settings().default_run_date()
    service.check_run_date(settings(), run_date)
    with session.platform() as platform:
        if simulate_if_empty and not _has_files(platform, run_date):
            from procurement_platform.cli.simulate import simulate_days

            say(f"No market has sent a file for {run_date}: simulating a day with typical faults")
            simulate_days(platform, run_date, run_date)
        begun = time.monotonic()
        with steps(f"Running {run_date}") as on_step:
            result = service.run_day(settings(), run_date, refresh_reference=refresh_reference, on_step=on_step)
        seconds = time.monotonic() - begun  # on the clock of the steps, which began before Dagster was loaded
        if result.growing:
            say(f"{left_out(result.growing)}. Once they are whole: procurement run {run_date}", "yellow")
        if result.error is not None:
            say(f"error: {run_date} failed: {result.error}", "red")
            shown = (
                "All of it shows: it was published before" if result.published else "Nothing of it shows: what was published before stays"
            )
            say(f"{shown}. The report: procurement exceptions {run_date}")
            raise typer.Exit(1)
        print_day(platform, run_date, seconds)
        _say_what_follows(platform, run_date)


def left_out(growing: Sequence[str]) -> str:
    """Files that a run did not take, in words."""
    return f"Left out, because they are still being written: {', '.join(growing)}"


def _say_what_follows(platform: "Platform", run_date: dt.date) -> None:
    """What the day was run without, reference tables that were refreshed, and published days that were compared with what it was before."""
    from procurement_platform.cli.output import say
    from procurement_platform.cli.refreshed import say_if_reference_is_newer, say_if_refreshed
    from procurement_platform.procurement.market_files import misplaced_files
    from procurement_platform.procurement.stale import stale_after

    if not platform.ledger.files(run_date, states=("accepted",)):
        say(f"No market's file was used: no order of {run_date} rests on what markets sent (procurement files {run_date})", "yellow")
    if lost := misplaced_files(platform.lake, platform.settings):
        say(lost, "yellow")
    say_if_refreshed(platform, run_date)
    say_if_reference_is_newer(platform, run_date)
    stale = stale_after(platform, run_date, dt.datetime.now(dt.UTC))
    if stale:
        say(stale_in_words(stale), "yellow")


def stale_in_words(stale: "Sequence[StaleDay]") -> str:
    """Days that no longer are what their files and the days before them make, with what each differs in and the command that mends it."""
    first, last = stale[0].run_date, stale[-1].run_date
    whole = (last - first).days + 1 == len(stale)  # a day between that was never run need not be run now
    mend = f"procurement backfill {first} {last}" if whole else f"each by procurement run, the earliest first: procurement run {first}"
    told = first_few([f"{day.run_date} ({day.why})" for day in stale], NAMED, "; ")
    return f"To be run again, because what they are made of changed: {told}: {mend}"


def _has_files(platform: "Platform", run_date: dt.date) -> bool:
    """Whether the day has or had files: a day that was received once is not made up a second time."""
    from procurement_platform.procurement.market_files import market_files

    return any(line.state not in ("missing", "expected") for line in market_files(platform, run_date))


def print_day(platform: "Platform", run_date: dt.date, seconds: float) -> None:
    """A day as its buyer wants to see it first: the biggest orders, totals, what went wrong, and where everything is.

    `seconds`: how long the run took, from the moment that its steps' times count from.
    """
    from procurement_platform.cli.exceptions import counts
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.money import with_money
    from procurement_platform.cli.orders import SPARE, TOTALS, below_minimum, by_supplier, totals
    from procurement_platform.cli.output import out, say, show_table
    from procurement_platform.procurement import service
    from procurement_platform.procurement.publication import orders_folder, report_path

    console = out()
    shown = ("supplier_id", "sku", "need", "quantity", "unit_price", "currency", "amount", "expected_date")
    of_suppliers: dict[tuple[str, str], dict[str, Any]] = {}
    # By units: amounts are in several currencies. In one go: reading a hundred thousand orders takes seconds.
    biggest = nsmallest(TOP, by_supplier(service.orders(platform, run_date), of_suppliers), key=_most_units)
    sums = totals(of_suppliers.values())
    lines = sum(int(str(each["orders"])) for each in sums)
    title = f"Supplier orders of {run_date}" + (f", the {TOP} of most units of {lines:,}" if lines > TOP else "")
    show_table(with_money(biggest), shown, title, View(spare=SPARE), whole=f"procurement orders {run_date}")
    if sums:
        console.print()
        show_table(with_money(sums), TOTALS, "Totals")
    for note in below_minimum(platform, run_date, of_suppliers.values()):
        say(note, "yellow")
    console.print()
    summary = View(details=("example",), spare=("rows",))
    found = counts(service.exceptions(platform, run_date))
    found_title = f"Exceptions of {run_date}: {sum(int(str(each['lines'])) for each in found):,}"
    show_table(found, ("severity", "rule", "lines", "rows", "units", "example"), found_title, summary)
    console.print()
    console.print(f"The run was done in {seconds:.1f} s. Files, one per supplier:  {platform.lake.path(orders_folder(run_date))}")
    console.print(f"The exceptions report:  {platform.lake.path(report_path(run_date))}")
    console.print(f"The UI:  {_command()} ui  (then http://127.0.0.1:3000)")


def _most_units(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return -line["quantity"], line["supplier_id"], line["sku"]


def _command() -> str:
    """How this command can be called again from the same folder."""
    own = Path(sys.executable).with_name("procurement")
    if shutil.which("procurement") or not own.is_file():
        return "procurement"
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))
