import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from procurement_platform.open_files import has_open, processes


def test_a_file_is_open_where_it_is_opened_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.touch()
    wanted = partial(os.path.samestat, path.stat())
    assert not has_open(os.getpid(), wanted)
    with path.open("rb") as held:
        assert has_open(os.getpid(), wanted)
        command = [sys.executable, "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[held.fileno()]) as child:
            assert child.pid in processes()
            assert has_open(child.pid, wanted)
            child.communicate(b"\n")
    assert not has_open(os.getpid(), wanted)


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert not has_open(gone.pid, lambda _: True)
