"""`procurement ui`: Dagster's UI and daemon."""

import os
import socket
import sys
from typing import Annotated

import typer

LOOPBACK = "127.0.0.1"


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The UI's port.")] = 3000,
    host: Annotated[str, typer.Option("--host", help="The address to listen on. The UI asks nobody for a password.")] = LOOPBACK,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Dagster says, and not only warnings and errors.")] = False,
) -> None:
    """Start Dagster's UI and daemon (dagster dev) for this home, until Ctrl-C.

    Reads and writes the home's Dagster folder (in it `ui.log`, all that Dagster says); runs started there do what `procurement run` does.

    While it runs, four sensors are on. `late_files` starts runs by itself: of each day of the last 35 (PROCUREMENT_LATE_WINDOW_DAYS) that
    has files and was never run, or whose files changed. `cut_off` tells which files are missing, `crashes` records killed runs, and
    `alerts` tells PROCUREMENT_ALERT_URLS of failed checks. Each can be turned off on the UI's Automation page, and stays off.
    """
    from procurement_platform.cli.dagster_log import DagsterLog
    from procurement_platform.cli.output import say
    from procurement_platform.errors import ConfigurationError
    from procurement_platform.instance import MODULE, dagster_environment, prepare_dagster_home
    from procurement_platform.settings import settings
    from procurement_platform.supervise import supervise

    prepare_dagster_home(settings())
    if not _is_free(host, port):
        raise ConfigurationError(f"{host}:{port} cannot be listened on, something else does: procurement ui --port {port + 1}")
    if host != LOOPBACK:
        say("Dagster's UI asks nobody for a password: whoever reaches this address can start and delete runs", "yellow")
    path = settings().dagster_home / "ui.log"
    say(f"The UI: http://{host}:{port}   (Ctrl-C ends it" + (")" if verbose else f"; its log: {path})"))
    sys.stderr.flush()
    arguments = [sys.executable, "-m", "dagster", "dev", "-m", MODULE, "--host", host, "--port", str(port)]
    # The home as an absolute path: the processes that Dagster starts must not depend on their folder. Their module is in the workspace
    # that `dagster dev` hands them; named by the environment too, they would refuse to start, without a word.
    environment = {**os.environ, **dagster_environment(settings()), "PROCUREMENT_HOME": str(settings().home)}
    del environment["DAGSTER_MODULE_NAME"]
    # `dagster dev` warns that `dg dev` exists.
    environment.setdefault("PYTHONWARNINGS", "ignore::FutureWarning:click.core")
    if verbose:
        raise typer.Exit(supervise(arguments, environment))
    log = DagsterLog(path)

    def look() -> None:
        for line in log.news():
            say(line)

    # Sensors and the daemon say at level `info`, every 30 seconds, that they have nothing to do.
    raise typer.Exit(supervise([*arguments, "--log-level", "warning"], environment, path, look))


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
