"""`procurement stack`: the cluster profile's real servers, as plain processes on this machine."""

import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from procurement_platform.cli.options import FormatOption

if TYPE_CHECKING:
    from procurement_platform.stack.place import Place

app = typer.Typer(help="HDFS, Hive Metastore, Trino, PostgreSQL and Kafka on this machine.", no_args_is_help=True)
COLUMNS = ("server", "state", "port", "pid", "memory", "mend")


@app.command("up")
def up(
    registry: Annotated[bool, typer.Option("--registry", help="Start a schema registry, too.")] = False,
) -> None:
    """Start the servers, or those of them that do not run, and wait until a query over all of them is answered.

    Reads and writes the home's stack folder: the data of an earlier start is there again. The programs are fetched once, by Maven, to
    the user's cache folder (about 1.1 GB). All listen on loopback only, on the ports of PROCUREMENT_STACK_PORTS.
    """
    from procurement_platform.cli.output import say, steps
    from procurement_platform.stack import stack

    with steps("Starting the servers") as tell:
        stack.up(_place(), tell, registry=registry)
    say('The stack is up. Its settings, for a shell: set -a; eval "$(procurement stack env)"; set +a')


@app.command("fetch")
def fetch(
    registry: Annotated[bool, typer.Option("--registry", help="Fetch the schema registry, too.")] = False,
) -> None:
    """Fetch the servers' programs, which `procurement stack up` does else, and start nothing.

    Reads and writes the user's cache folder: what is there is not fetched again. If Maven fails, its words are in the home's stack folder.
    """
    from procurement_platform.cli.output import say, steps
    from procurement_platform.stack import stack

    with steps("Fetching the programs") as tell:
        stack.fetch(_place(), tell, registry=registry)
    say("the programs are there")


@app.command("down")
def down() -> None:
    """End the servers and wait for their end. The data stays; `procurement stack up` finds it again.

    Reads the home's stack folder, writes nothing, and removes what is only for running servers; configuration, data and logs stay.
    """
    from procurement_platform.cli.output import say, steps
    from procurement_platform.stack import stack

    with steps("Ending the servers") as tell:
        ended = stack.down(_place(), tell)
    say("the stack is down" if ended else "the stack was not running")


@app.command("status")
def status(form: FormatOption = "table") -> None:
    """Say of each server whether it runs and answers, and how to mend it. The exit code is 1 if one does not.

    Reads the home's stack folder, and asks each server. Writes nothing. Memory is resident, in MiB.
    """
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import Row, show
    from procurement_platform.stack import stack

    found = stack.status(_place())
    rows: list[Row] = [
        {**asdict(each), "port": str(each.port), "pid": each.pid and str(each.pid), "memory": each.memory >> 20} for each in found
    ]
    show(rows, COLUMNS, form, view=View(("mend",)))
    if any(each.state != "running" for each in found):
        raise typer.Exit(1)


@app.command("logs")
def logs(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="The server's name. Default: all.")] = None,
    lines: Annotated[int, typer.Option("--lines", min=1, help="How many of its last lines.")] = 20,
) -> None:
    """Print the last lines of the servers' logs, each after its path.

    Reads the home's stack folder, writes nothing.
    """
    from procurement_platform.cli.output import clean
    from procurement_platform.stack.processes import last_lines
    from procurement_platform.stack.servers import SERVERS

    if server is not None and server not in SERVERS:
        raise typer.BadParameter(f"{server!r} is no server; there are {', '.join(SERVERS)}")
    for name in [server] if server else SERVERS:
        log = _place().log(name)
        if log.exists():
            sys.stdout.write("\n".join([f"==> {log}", *(clean(line.expandtabs()) for line in last_lines(log, lines))]) + "\n")


@app.command("env")
def env() -> None:
    """Print the settings that point the cluster profile at the stack, as NAME=value lines, for a shell or a .env file.

    Reads the settings, writes nothing. No password is printed: the database's address names the file that has it. A comment names the
    address of WebHDFS: with HDFS_BASE_URL set, files go through that.
    """
    from procurement_platform.stack import stack

    lines = [f"{name}={shlex.quote(value)}\n" for name, value in stack.variables(_place()).items()]
    sys.stdout.write("".join(lines) + f"# HDFS_BASE_URL={stack.webhdfs(_place())} (set it to go through WebHDFS)\n")


def _place() -> "Place":
    from procurement_platform.settings import settings
    from procurement_platform.stack.place import place

    return place(settings())
