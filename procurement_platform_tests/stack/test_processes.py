"""Real small processes: started, found, named when they were killed, ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from procurement_platform.stack.place import Place
from procurement_platform.stack.processes import LOG_BYTES, holders, last_lines, memory, parent, server_first, start, stop

WAITS = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
WITH_CHILD = (
    "import subprocess, sys, signal; subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], close_fds=False);"
    "print('up', flush=True); signal.pause()"
)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def mark(place: Place) -> Path:
    return place.run / "small"


def begin(place: Place, mark: Path, program: str) -> "subprocess.Popen[bytes]":
    log = place.log("small")
    process = start(mark, log, [sys.executable, "-c", program], {"PATH": "/usr/bin:/bin", "MARKED": "yes"})
    until(lambda: "up" in last_lines(log, 5))
    return process


def test_a_server_is_found_by_the_file_it_holds(place: Place, mark: Path) -> None:
    assert holders(mark) == []
    process = begin(place, mark, WAITS)
    assert holders(mark) == [process.pid]
    assert os.getsid(process.pid) == process.pid  # Ctrl-C is not for it
    assert memory([process.pid]) > 1024 * 1024
    assert stop(mark) is True
    assert process.wait() == -signal.SIGTERM
    assert holders(mark) == []


def test_opening_the_file_here_is_no_server(mark: Path) -> None:
    with mark.open("w"):
        assert holders(mark) == []


def test_a_killed_server_leaves_its_mark_and_no_holder(place: Place, mark: Path) -> None:
    process = begin(place, mark, WAITS)
    process.kill()
    process.wait()
    assert mark.exists()
    assert holders(mark) == []
    assert stop(mark) is False


def test_a_server_lives_while_one_of_its_processes_does(place: Place, mark: Path) -> None:
    process = begin(place, mark, WITH_CHILD)
    leader, child = holders(mark)
    assert leader == process.pid
    process.kill()
    process.wait()
    assert holders(mark) == [child]
    assert stop(mark) is True
    assert holders(mark) == []


def test_a_process_with_a_smaller_number_than_its_server_does_not_come_first() -> None:
    assert server_first({117: 30001, 30001: 1, 118: 117, 30002: 30001}) == [30001, 117, 118, 30002]
    assert server_first({30001: 117, 117: 1}) == [117, 30001]
    assert server_first({118: 1, 117: 1}) == [117, 118]  # their server was killed
    assert server_first({}) == []


def test_a_server_comes_before_a_process_that_leads_a_session_too(place: Place, mark: Path) -> None:
    program = (
        "import os, signal\nif not os.fork():\n    os.setsid(); open('/proc/self/comm', 'w').write('a ) 1 ('); print('up', flush=True)\n"
        "signal.pause()"
    )
    process = begin(place, mark, program)
    server, child = holders(mark)
    assert (server, os.getsid(child)) == (process.pid, child)
    assert (parent(child), parent(server)) == (server, os.getpid())
    os.kill(child, signal.SIGKILL)
    stop(mark)
    assert parent(server) == 0


def test_a_server_that_does_not_listen_is_killed(place: Place, mark: Path) -> None:
    process = begin(place, mark, STUBBORN)
    assert stop(mark, seconds=0.2) is True
    assert process.wait() == -signal.SIGKILL


def test_it_is_asked_by_the_signal_it_wants(place: Place, mark: Path) -> None:
    process = begin(place, mark, WAITS)
    stop(mark, signal.SIGINT)
    assert process.wait() in (-signal.SIGINT, 1, 130)
    assert "KeyboardInterrupt" in place.log("small").read_text()


def test_it_outlives_who_started_it(place: Place, mark: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from procurement_platform.stack.processes import start;"
        "start(Path(sys.argv[1]), Path(sys.argv[2]), [sys.executable, '-c', sys.argv[3]], {'PATH': '/usr/bin:/bin'})"
    )
    arguments = [sys.executable, "-W", "ignore", "-c", program, str(mark), str(place.log("small")), WAITS]
    subprocess.run(arguments, check=True)
    until(lambda: holders(mark))
    assert stop(mark) is True


def test_only_its_own_environment_is_given(place: Place, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dmine")
    process = begin(place, mark, WAITS)
    given = Path(f"/proc/{process.pid}/environ").read_text()
    stop(mark)
    process.wait()
    assert "MARKED=yes" in given
    assert "JAVA_TOOL_OPTIONS" not in given


def test_a_long_log_is_begun_anew_and_the_old_one_kept(place: Place, mark: Path) -> None:
    log = place.log("small")
    log.write_bytes(b"x" * (LOG_BYTES + 1))
    process = begin(place, mark, WAITS)
    stop(mark)
    process.wait()
    assert log.read_text() == "up\n"
    assert log.with_suffix(".log.1").stat().st_size == LOG_BYTES + 1


def test_the_end_of_a_log(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log", 3) == []
    log = tmp_path / "some.log"
    log.write_text("".join(f"line {n}\n" for n in range(10_000)))
    assert last_lines(log, 2) == ["line 9998", "line 9999"]
