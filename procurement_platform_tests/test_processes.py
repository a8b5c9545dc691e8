import os
import signal
import subprocess
import sys

import pytest

from procurement_platform.processes import is_gone, process_space, this_process

TELL = "from procurement_platform.processes import this_process; print(this_process(), flush=True); input()"


def test_a_process_is_there_until_it_ends_however_it_does() -> None:
    assert is_gone(this_process()) is False
    process = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.readline().strip()
    assert f" {process.pid} " in told
    assert is_gone(told) is False
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert is_gone(told) is True


def test_another_process_with_the_number_of_one_that_ended_is_not_that_one() -> None:
    host, space, number, started = this_process().split(" ")
    assert number == str(os.getpid())
    assert is_gone(f"{host} {space} {number} {int(started) - 1}") is True


@pytest.mark.parametrize("word", ["", "elsewhere 1 2 3", "x", f"{this_process().split(' ')[0]} other-space 1 2", "a b c d"])
def test_of_other_machines_nothing_is_known(word: str) -> None:
    assert is_gone(word) is None
    assert process_space()
