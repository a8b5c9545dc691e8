"""Running the command as `procurement …` in a shell would: in this process, or in one of its own."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from procurement_platform.cli.app import main
from procurement_platform.settings import Settings, settings
from procurement_platform_tests.conftest import SharedServer

DAY = "2025-12-20"


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote where."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of a command that failed; there is nothing else."""
        assert self.code == 1
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


Procurement = Callable[..., Done]
Terminal = Callable[[int], None]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(text: str) -> str:
    """What a terminal shows, without colours."""
    return _ESCAPES.sub("", text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Makes the commands take their output for a terminal of so many columns."""

    def of_width(columns: int) -> None:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))

    return of_width


@pytest.fixture
def procurement(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Procurement:
    monkeypatch.chdir(tmp_path)  # away from a developer's .env

    def run(*arguments: object) -> Done:
        settings.cache_clear()  # each command is a process of its own
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        code = end.value.code
        assert isinstance(code, int)
        return Done(code, out.decode(), err.decode())

    return run


@dataclass(frozen=True)
class RanDay:
    """A home in which DAY was simulated and run, by one command in a process of its own. Tests that share it only read."""

    home: Path
    url: str
    done: Done


@pytest.fixture(scope="session")
def ran_once(tmp_path_factory: pytest.TempPathFactory, shared_server: SharedServer) -> Iterator[RanDay]:
    folder = tmp_path_factory.mktemp("a home")
    name, url = shared_server.create()
    ours = ("PROCUREMENT_", "RUN_DATE", "DAGSTER_", "HDFS_", "TRINO_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    ran = subprocess.run(
        [sys.executable, "-c", "from procurement_platform.cli import main; main()", "run", DAY, "--simulate-if-empty"],
        cwd=folder,
        env={**environment, "PROCUREMENT_HOME": str(folder), "PROCUREMENT_DATABASE_URL": url},
        check=False,
        capture_output=True,
        text=True,
    )
    yield RanDay(folder, url, Done(ran.returncode, ran.stdout, ran.stderr))
    shared_server.drop(name)


@pytest.fixture
def ran_day(ran_once: RanDay, monkeypatch: pytest.MonkeyPatch) -> RanDay:
    assert ran_once.done.code == 0, ran_once.done.err
    monkeypatch.setenv("PROCUREMENT_HOME", str(ran_once.home))
    monkeypatch.setenv("PROCUREMENT_DATABASE_URL", ran_once.url)
    return ran_once


@pytest.fixture
def quick(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home for days that are simulated by the test: files need not settle."""
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0")
    return Settings(_env_file=None)


@pytest.fixture
def growing(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A market's file of DAY that somebody is writing to all the time, as long as the test runs."""
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0.5")
    path = home.home / "lake" / "inbox" / "orders" / DAY / "DE.csv"
    path.parent.mkdir(parents=True)
    over = threading.Event()

    def write() -> None:
        with path.open("a") as file:
            while not over.wait(0.02):
                file.write("1,DE,A,1,1,2025-12-20T12:00:00Z\n")
                file.flush()

    path.write_text("order_id,market,sku,quantity,unit_price,ordered_at\n")
    thread = threading.Thread(target=write)
    thread.start()
    yield path
    over.set()
    thread.join()
