"""Running the command in this process, as `procurement …` in a shell would."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from procurement_platform.cli.app import main
from procurement_platform.settings import settings


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


@pytest.fixture
def procurement(capsysbinary: pytest.CaptureFixture[bytes]) -> Procurement:
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
