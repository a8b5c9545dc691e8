"""`.ci/run` with a `make` that only says what it would: which targets it calls, what its last lines are, and its exit code."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from procurement_platform.project import CHECKOUT

MAKE = """#!/bin/bash
echo "$1" >> "{calls}"
case "$1" in
  {cases}
esac
"""
PASSED = 'test) echo "==== 3 passed in 1.00s (0:00:01) ===="; echo more;;'
FAILED = 'test) echo "==== 1 failed, 2 passed in 1.00s ===="; exit 2;;'
CLUSTER_PASSED = 'test-servers) echo "==== 2 passed, 3 deselected in 9.00s ====";;'
CLUSTER_FAILED = 'test-servers) echo "==== 2 errors in 9.00s ===="; exit 2;;'


@pytest.fixture
def ci(tmp_path: Path) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Runs it in a folder of its own. The exit code, the targets, the lines it printed."""

    def run(*cases: str) -> tuple[int, list[str], list[str]]:
        (tmp_path / ".ci").mkdir()
        shutil.copy(CHECKOUT / ".ci" / "run", tmp_path / ".ci" / "run")
        make = tmp_path / "bin" / "make"
        make.parent.mkdir()
        make.write_text(MAKE.format(calls=tmp_path / "calls", cases="\n  ".join(cases)))
        make.chmod(0o755)
        environment = {**os.environ, "PATH": f"{make.parent}:{os.environ['PATH']}"}
        done = subprocess.run([str(tmp_path / ".ci" / "run")], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, (tmp_path / "calls").read_text().split(), done.stdout.splitlines()

    return run


Ci = Callable[..., tuple[int, list[str], list[str]]]


def test_all_is_run_and_both_summaries_are_the_last_lines(ci: Ci) -> None:
    code, targets, lines = ci(PASSED, CLUSTER_PASSED)
    assert (code, targets) == (0, ["lint", "test", "servers", "test-servers"])
    assert lines[-2:] == ["==== 3 passed in 1.00s (0:00:01) ====", "==== 2 passed, 3 deselected in 9.00s ===="]


@pytest.mark.parametrize("cases", [(FAILED, CLUSTER_PASSED), (PASSED, CLUSTER_FAILED), (FAILED, CLUSTER_FAILED)])
def test_either_that_fails_is_the_exit_code_and_the_other_runs_all_the_same(ci: Ci, cases: tuple[str, ...]) -> None:
    code, targets, lines = ci(*cases)
    assert (code, targets[1:]) == (2, ["test", "servers", "test-servers"])
    assert [line.startswith("====") for line in lines[-2:]] == [True, True]


@pytest.mark.parametrize(("case", "code"), [(PASSED, 0), (FAILED, 2)])
def test_without_the_servers_programs_their_tests_are_left_out_and_it_says_why(ci: Ci, case: str, code: int) -> None:
    found, targets, lines = ci(case, 'servers) echo "error: Maven is not there: install it" >&2; echo "make: *** Error 1"; exit 2;;')
    assert (found, targets) == (code, ["lint", "test", "servers"])
    assert lines[-2] == "The tests of the real servers were not run: error: Maven is not there: install it"
    assert lines[-1].startswith("====")


def test_style_comes_first(ci: Ci) -> None:
    code, targets, _ = ci('lint) echo "x.py:1 is long"; exit 2;;', PASSED)
    assert (code, targets) == (2, ["lint"])
