"""Scratch folders: each its own, and those of dead processes go."""

import os
import subprocess
import sys
from pathlib import Path

from procurement_platform.scratch import make_scratch


def test_each_folder_is_its_own_and_private(tmp_path: Path) -> None:
    first, second = make_scratch("work", tmp_path / "tmp"), make_scratch("work", tmp_path / "tmp")
    assert first != second
    assert first.is_dir()
    assert first.stat().st_mode & 0o077 == 0
    assert first.name.startswith(f"work-{os.getpid()}-")


def test_what_a_dead_process_left_goes_and_what_a_live_one_has_stays(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from procurement_platform.scratch import make_scratch;"
        " print(make_scratch('work', Path(sys.argv[1])))"
    )
    left = Path(subprocess.run([sys.executable, "-c", program, tmp_path], check=True, capture_output=True, text=True).stdout.strip())
    (left / "file").write_text("x")
    mine, other = make_scratch("other", tmp_path), tmp_path / "work-of-somebody"
    other.mkdir()
    live = make_scratch("work", tmp_path)
    make_scratch("work", tmp_path)
    assert not left.exists()
    assert live.is_dir()
    assert mine.is_dir()
    assert other.is_dir()


def test_without_a_parent_it_is_the_systems(tmp_path: Path) -> None:
    folder = make_scratch("work")
    assert folder.is_dir()
    folder.rmdir()
