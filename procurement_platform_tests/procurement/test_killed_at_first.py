"""The first run of a home killed by the clock, again and again: loading the sample, making tables, decoding, in the middle of a C call.

Unlike in test_killed.py nothing is published yet, the database is the home's own, and the moment is any.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from procurement_platform.database.embedded import stop
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY
from procurement_platform_tests.procurement.test_killed import survivors

KILLS = int(os.environ.get("PROCUREMENT_TEST_KILLS", "8")) // 2
COMMAND = (sys.executable, "-c", "from procurement_platform.cli import main; main()")


class Home:
    """A home on which commands are run as a user types them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PROCUREMENT_HOME": str(folder), "PROCUREMENT_SETTLE_SECONDS": "0"}

    def do(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*COMMAND, *arguments], env=self._environment, capture_output=True, text=True, timeout=100, check=False)

    def run_for(self, seconds: float) -> bool:
        """Runs the day, killed after so many seconds; whether it had not ended by then."""
        process = subprocess.Popen(
            [*COMMAND, "run", DAY.isoformat()], env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL

    def stable(self) -> dict[str, bytes]:
        """The suppliers' files at their stable paths."""
        folder = self.folder / "lake" / "output" / "supplier_orders" / DAY.isoformat()
        return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*")) if path.is_file()}

    def published(self) -> tuple[object, ...]:
        """What the commands say of the day, and the suppliers' files."""
        answers = [self.do(each, DAY.isoformat(), "--format", "csv") for each in ("orders", "demand")]
        assert [answer.returncode for answer in answers] == [0, 0], answers
        return [answer.stdout for answer in answers], self.stable()

    def report(self) -> bytes:
        return (self.folder / "lake" / "logs" / "exceptions" / f"date={DAY}" / "exceptions.csv").read_bytes()


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    made = Home(tmp_path / "undisturbed"), Home(tmp_path / "killed")
    yield made
    for each in made:
        stop(Settings(_env_file=None, home=each.folder))


@pytest.mark.timeout(120 + 40 * KILLS)
def test_the_first_run_killed_at_any_moment_heals(homes: tuple[Home, Home]) -> None:
    undisturbed, killed = homes
    for home in homes:
        done = home.do("simulate", DAY.isoformat(), "--orders", "2000", "--seed", "4")
        assert done.returncode == 0, done.stderr
    begun = time.monotonic()
    assert undisturbed.do("run", DAY.isoformat()).returncode == 0
    whole, expected = time.monotonic() - begun, undisturbed.published()

    seed = time.time_ns()
    chosen = random.Random(seed)  # noqa: S311 -- other moments every time; a failure names them
    moments = [round(chosen.uniform(0.0, whole), 3) for _ in range(KILLS)]
    for moment in moments:
        was_killed = killed.run_for(moment)
        told = f"seed {seed}: killed after {moment} of {moments}"
        assert killed.stable() in ({}, undisturbed.stable()), told
        answer = killed.do("orders", DAY.isoformat(), "--format", "json")
        if answer.returncode == 0:
            assert killed.published() == expected, told
        else:
            assert was_killed, told
            assert "not published" in answer.stderr or "procurement run" in answer.stderr, told
            assert answer.stdout == "", told
        deadline = time.monotonic() + 10
        while (left := survivors(killed.folder)) and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        assert left == [], told
    assert killed.do("run", DAY.isoformat()).returncode == 0
    assert (killed.published(), killed.report()) == (expected, undisturbed.report()), f"seed {seed}: {moments}"
