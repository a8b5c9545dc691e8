"""A supervised command against every way to end it or its supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procurement_platform.supervise import supervise

# The command starts a child that ignores a request to end, tells both ids, and waits. On Ctrl-C it leaves with 7, its child behind.
COMMAND = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"])
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
try:
    time.sleep(600)
except KeyboardInterrupt:
    sys.exit(7)
"""
SUPERVISOR = """
import os, sys
from procurement_platform.supervise import supervise
sys.exit(supervise([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ))
"""

# Says something, waits until it may go on, and says the last thing.
SPEAKER = """
import os, sys, time
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
print("last")
sys.exit(3)
"""


def wait_until(condition: object, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        threading.Event().wait(0.02)
    return bool(condition())  # type: ignore[operator]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Running:
    """A supervisor, the command it runs, and that command's child."""

    def __init__(self, folder: Path, before: Callable[[], object] | None = None) -> None:
        told = folder / "ids"
        self.supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, COMMAND, str(told)], preexec_fn=before)  # noqa: PLW1509 -- one thread
        assert wait_until(told.exists)
        self.command, self.child = (int(number) for number in told.read_text().split())

    def nothing_left(self) -> bool:
        return wait_until(lambda: not alive(self.command) and not alive(self.child))

    def end(self) -> None:
        for process in (self.supervisor.pid, self.command, self.child):
            if alive(process):
                os.kill(process, signal.SIGKILL)
        self.supervisor.wait()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_reaches_the_command_as_ctrl_c_and_leaves_nothing(running: Running, number: signal.Signals) -> None:
    running.supervisor.send_signal(number)
    assert running.supervisor.wait(60) == 7
    assert running.nothing_left()


def ignored() -> None:
    """As scripts start what they put in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_in_a_scripts_background_it_ends_all_the_same(tmp_path: Path, number: signal.Signals) -> None:
    running = Running(tmp_path, ignored)
    try:
        running.supervisor.send_signal(number)
        assert running.supervisor.wait(60) == (7 if number != signal.SIGKILL else -signal.SIGKILL)
        # Where the supervisor was killed, the command is told; its child, which ignores that, is nobody's any more.
        assert running.nothing_left() if number != signal.SIGKILL else wait_until(lambda: not alive(running.command))
    finally:
        running.end()


def test_a_killed_supervisor_ends_the_command(running: Running) -> None:
    running.supervisor.kill()
    assert running.supervisor.wait(60) == -signal.SIGKILL
    assert wait_until(lambda: not alive(running.command))


def test_a_killed_command_leaves_no_child_behind(running: Running) -> None:
    os.kill(running.command, signal.SIGKILL)
    assert running.supervisor.wait(60) == 128 + signal.SIGKILL
    assert running.nothing_left()


def test_what_it_says_goes_to_the_log_and_is_looked_at_until_its_end(tmp_path: Path) -> None:
    log, seen = tmp_path / "log", list[str]()
    log.write_text("before\n")

    def look() -> None:
        seen.append(log.read_text())
        if "err" in seen[-1]:
            (tmp_path / "go").touch()

    assert supervise([sys.executable, "-c", SPEAKER, str(tmp_path / "go")], os.environ, log, look) == 3
    assert seen[-1] == "before\nout\nerr\nlast\n"
    assert len(seen) > 1


def test_without_a_log_it_speaks_for_itself(capfd: pytest.CaptureFixture[str]) -> None:
    assert supervise([sys.executable, "-c", "print('hello')"], os.environ) == 0
    assert capfd.readouterr().out == "hello\n"
