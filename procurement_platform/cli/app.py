"""The command's entry: its sub-commands, and the one place where errors become a line and an exit code.

Exit codes: 0 done; 1 an error or a failed day; 2 wrong usage; 130 interrupted; 141 nobody reads the output any more (`| head`).
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from procurement_platform.cli import (
    backfill,
    demand,
    doctor,
    env,
    exceptions,
    files,
    history,
    maintain,
    orders,
    put,
    quarantine,
    reference,
    repair,
    run,
    simulate,
    stack,
    stop,
    ui,
)
from procurement_platform.errors import ProcurementError

MAX_PROBLEMS = 50
INTERRUPTED = 130  # what shells make of SIGINT
NOBODY_READS = 141  # what shells make of SIGPIPE

app = typer.Typer(
    name="procurement",
    help="The procurement day: market files in, supplier orders out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # paragraphs are filled to the terminal's width
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"procurement {version('procurement-platform')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error arose.")] = False,
    _version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """The procurement day: market files in, supplier orders out."""
    _State.debug = debug


class _State:
    debug = False


DAY, RESULTS, INPUT, MACHINE = "The day", "Results", "What goes in", "The machine"

app.command("run", rich_help_panel=DAY)(run.run)
app.command("backfill", rich_help_panel=DAY)(backfill.backfill)
app.command("orders", rich_help_panel=RESULTS)(orders.orders)
app.command("demand", rich_help_panel=RESULTS)(demand.demand)
app.command("exceptions", rich_help_panel=RESULTS)(exceptions.exceptions)
app.command("quarantine", rich_help_panel=RESULTS)(quarantine.quarantine)
app.command("history", rich_help_panel=RESULTS)(history.history)
app.command("rollback", rich_help_panel=RESULTS)(history.rollback)
app.add_typer(files.app, name="files", rich_help_panel=INPUT)
app.command("put", rich_help_panel=INPUT)(put.put)
app.add_typer(reference.app, name="reference", rich_help_panel=INPUT)
app.command("simulate", rich_help_panel=INPUT)(simulate.simulate)
app.command("maintain", rich_help_panel=MACHINE)(maintain.maintain)
app.command("ui", rich_help_panel=MACHINE)(ui.ui)
app.add_typer(stack.app, name="stack", rich_help_panel=MACHINE)
app.add_typer(repair.app, name="repair", rich_help_panel=MACHINE)
app.command("env", rich_help_panel=MACHINE)(env.env)
app.command("stop", rich_help_panel=MACHINE)(stop.stop)
app.command("doctor", rich_help_panel=MACHINE)(doctor.doctor)


def command() -> Any:
    """The command with all its sub-commands. Its help names values by what they are, and not by Python's types (`<str>`, `<bool>`)."""
    built = typer.main.get_command(app)
    _name_values(built)
    return built


def _name_values(command: Any, parent: Any = None) -> None:
    context = typer.Context(command, parent, **command.context_settings)  # with it, the help option is that of the command
    for parameter in command.get_params(context):
        _speak_plainly(parameter)
        kind = getattr(parameter, "type_descriptor", None)  # older versions of typer have none
        if kind is None:
            continue
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005  its name says it
        elif parameter.is_flag:
            parameter.metavar = ""
        elif parameter.metavar is None:
            number = kind.annotation in (int, float)
            parameter.metavar = "|".join(map(str, kind.choices or ())) or ("N" if number else parameter.name.upper())
    for child in getattr(command, "commands", {}).values():
        _name_values(child, context)


def _speak_plainly(parameter: Any) -> None:
    """Makes a parameter refuse a value in words of the command line; typer hands on pydantic's."""
    take = parameter.process_value

    def in_words(context: Any, value: Any) -> Any:
        try:
            return take(context, value)
        except typer.BadParameter as problem:
            for theirs, ours in (("Value error, ", ""), ("Input should be ", "must be "), (", unable to parse string as an integer", "")):
                problem.message = problem.message.replace(theirs, ours)
            raise

    parameter.process_value = in_words


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    _State.debug = False
    try:
        try:
            command().main(args=arguments, prog_name="procurement")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _end_quietly()
    except SystemExit as end:
        _tell_why(end)
        raise
    except ProcurementError as problem:
        if _State.debug:
            raise
        _complain(str(problem), getattr(problem, "problems", ()))
    except OSError as problem:
        if _State.debug:
            raise
        _complain(str(problem))
    except Exception as problem:
        if _State.debug:
            raise
        _complain(f"{type(problem).__name__}: {problem} (a fault of the program: run again with --debug to see where)")
    sys.exit(1)


def _tell_why(end: SystemExit) -> None:
    # What writes tables, and what calls commands, each make an exit of their own of it.
    if isinstance(end.__context__, BrokenPipeError):
        _end_quietly()
    if end.code == INTERRUPTED:
        from procurement_platform.cli.output import say

        say("interrupted", "red")


def _end_quietly() -> None:
    """Ends where the reader of the output went away, which is no error; what is still buffered goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    sys.exit(NOBODY_READS)


def _complain(text: str, problems: Sequence[str] = ()) -> None:
    from procurement_platform.cli.output import say

    say(f"error: {' '.join(text.split())}", "red")
    more = problems[1:]  # the line has the first
    for problem in more[:MAX_PROBLEMS]:
        say(f"  {problem}")
    if len(more) > MAX_PROBLEMS:
        say(f"  … and {len(more) - MAX_PROBLEMS} more")
