"""Which Java is taken."""

from pathlib import Path

import pytest

from procurement_platform.errors import StackUnavailable
from procurement_platform.stack import java as java_module
from procurement_platform.stack.java import find_java, read_java


@pytest.fixture(autouse=True)
def _no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java_module, "find_spec", lambda name: None)


def installed(folder: Path, version: str, modules: str = "java.base java.sql") -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/sh\n")
    (folder / "bin" / "java").chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return folder


def test_java_home_comes_first(tmp_path: Path) -> None:
    home, other = installed(tmp_path / "mine", "25.0.2"), installed(tmp_path / "other", "26")
    found = find_java({"JAVA_HOME": str(home), "PATH": str(other / "bin")})
    assert (found.home, found.version, found.binary) == (home, 25, home / "bin" / "java")
    assert found.modules == {"java.base", "java.sql"}


def test_a_java_home_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    old, new = installed(tmp_path / "old", "17.0.15"), installed(tmp_path / "new", "24.0.1")
    assert find_java({"JAVA_HOME": str(old), "PATH": str(new / "bin")}).home == new


def test_a_link_on_path_leads_to_the_folder(tmp_path: Path) -> None:
    home = installed(tmp_path / "jvm" / "25", "25")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert find_java({"PATH": str(tmp_path / "bin")}).home == home


def test_what_is_too_old_is_named_with_the_remedy(tmp_path: Path) -> None:
    old, empty = installed(tmp_path / "old", "1.8.0_402"), tmp_path / "empty"
    with pytest.raises(StackUnavailable) as problem:
        find_java({"JAVA_HOME": str(empty), "PATH": str(old / "bin")})
    text = str(problem.value)
    assert f"JAVA_HOME {empty} is no Java" in text
    assert f"PATH {old} is Java 8" in text
    assert "install the extra `stack`" in text


def test_no_java_at_all_is_told() -> None:
    with pytest.raises(StackUnavailable, match=r"Java 24 or later is needed \(there is none\)"):
        find_java({"PATH": ""})


def test_a_folder_without_the_program_is_no_java(tmp_path: Path) -> None:
    (installed(tmp_path / "j", "25") / "bin" / "java").unlink()
    assert read_java(tmp_path / "j") is None
