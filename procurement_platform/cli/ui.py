"""`procurement ui`: Dagster's UI and daemon."""

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

LOOPBACK = "127.0.0.1"
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 -- where the UI answers that listens on all addresses
_ANSWER_SECONDS = 0.2


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The UI's port.")] = 3000,
    host: Annotated[str, typer.Option("--host", help="The address to listen on. The UI asks nobody for a password.")] = LOOPBACK,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Dagster says, and not only warnings and errors.")] = False,
) -> None:
    """Start Dagster's UI and daemon (dagster dev) for this home, until Ctrl-C. A home has one at a time.

    Reads and writes the home's Dagster folder (in it `ui.log`, all that Dagster says); runs started there do what `procurement run` does.

    While it runs, four sensors are on. `late_files` starts runs by itself: of each day of the last 35 (PROCUREMENT_LATE_WINDOW_DAYS) that
    has files and was never run, or whose files changed. `cut_off` tells which files are missing, `crashes` records killed runs, and
    `alerts` tells PROCUREMENT_ALERT_URLS of failed checks. Each can be turned off on the UI's Automation page, and stays off.
    """
    from procurement_platform.cli.dagster_log import DagsterLog
    from procurement_platform.cli.output import say
    from procurement_platform.instance import MODULE, dagster_environment, prepare_dagster_home
    from procurement_platform.settings import settings
    from procurement_platform.supervise import supervise

    prepare_dagster_home(settings())
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with only_one(settings().dagster_home / "ui.lock", url):
        _check_address(host, port)
        if host != LOOPBACK:
            say("Dagster's UI asks nobody for a password: whoever reaches this address can start and delete runs", "yellow")
        path = settings().dagster_home / "ui.log"
        say("Starting Dagster's UI and daemon (Ctrl-C ends them" + (")" if verbose else f"; their log: {path})"))
        sys.stderr.flush()
        arguments = [sys.executable, "-m", "dagster", "dev", "-m", MODULE, "--host", host, "--port", str(port)]
        # The home as an absolute path: the processes that Dagster starts must not depend on their folder. Their module is in the workspace
        # that `dagster dev` hands them; named by the environment too, they would refuse to start, without a word.
        environment = {**os.environ, **dagster_environment(settings()), "PROCUREMENT_HOME": str(settings().home)}
        del environment["DAGSTER_MODULE_NAME"]
        # `dagster dev` warns that `dg dev` exists.
        environment.setdefault("PYTHONWARNINGS", "ignore::FutureWarning:click.core")
        log = None if verbose else DagsterLog(path)
        ready = False

        def look() -> None:
            nonlocal ready
            for line in log.news() if log else ():
                say(line)
            if not ready and answers(host, port):
                ready = True
                say(f"The UI is ready: {url}")

        # Sensors and the daemon say at level `info`, every 30 seconds, that they have nothing to do.
        quiet = [] if verbose else ["--log-level", "warning"]
        code = supervise([*arguments, *quiet], environment, None if verbose else path, look)
    raise typer.Exit(code)


@contextmanager
def only_one(lock: Path, url: str) -> Iterator[None]:
    """Holds a home's UI for as long as the block lasts. The kernel frees it with this process, however that ends.

    Raises:
        ProcurementError: the home has one that runs; the text names it.
    """
    from procurement_platform.errors import ProcurementError

    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            running, _, process = file.read().strip().partition(" ")
            named = f"{running} (process {process})" if process else "just being started"
            raise ProcurementError(
                f"this home has a UI that runs: {named}. Use that one, or end it first; another home is another PROCUREMENT_HOME"
            ) from None
        file.truncate(0)
        file.write(f"{url} {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def answers(host: str, port: int) -> bool:
    """Whether something listens there by now."""
    try:
        with socket.create_connection((_EVERYWHERE.get(host, host), port), _ANSWER_SECONDS):
            return True
    except OSError:
        return False


def _check_address(host: str, port: int) -> None:
    """Raises ConfigurationError where the address cannot be listened on, and says which of the reasons it is."""
    from procurement_platform.cli.listener import listener
    from procurement_platform.errors import ConfigurationError

    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        if isinstance(problem, socket.gaierror) or problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            reason = f"{host} is no address of this machine: leave --host out, or give one of its own (0.0.0.0: all of them)"
        elif problem.errno == errno.EADDRINUSE:
            other = f"procurement ui --port {port + 1 if port < 65535 else 3000}"  # noqa: PLR2004
            found = listener(port)
            held = f"process {found[0]} does ({found[1]}): end it (kill {found[0]}), or" if found else "something else does:"
            reason = f"{host}:{port} cannot be listened on, {held} {other}"
        else:
            reason = f"{host}:{port} cannot be listened on ({problem.strerror}): choose another --port of 1024 or more"
        raise ConfigurationError(reason) from None
