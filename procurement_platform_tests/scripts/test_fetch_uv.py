"""The download of uv where Python has neither venv nor pip: the right bytes are used, others never."""

import hashlib
import io
import runpy
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procurement_platform.project import CHECKOUT

SCRIPT = CHECKOUT / "scripts" / "fetch_uv.py"


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def release(tmp_path: Path, script: dict[str, Any]) -> Callable[[str], tuple[str, str]]:
    """Makes a release for a machine type; its address and SHA-256."""

    def make(machine: str) -> tuple[str, str]:
        name = f"uv-{machine}-unknown-linux-musl"
        content = b"#!/bin/sh\necho uv 0\n"
        path = tmp_path / "releases" / script["VERSION"] / f"{name}.tar.gz"
        path.parent.mkdir(parents=True)
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo(f"{name}/uv")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        return (tmp_path / "releases").as_uri(), hashlib.sha256(path.read_bytes()).hexdigest()

    return make


def test_the_release_is_unpacked_and_runs(tmp_path: Path, script: dict[str, Any], release: Callable[[str], tuple[str, str]]) -> None:
    address, digest = release("x86_64")
    uv = script["fetch"](tmp_path / "tools" / "bin", "x86_64", address, {"x86_64": digest})
    assert uv == tmp_path / "tools" / "bin" / "uv"
    assert subprocess.run([uv], check=True, capture_output=True, text=True).stdout == "uv 0\n"


def test_other_bytes_are_not_used(tmp_path: Path, script: dict[str, Any], release: Callable[[str], tuple[str, str]]) -> None:
    address, _ = release("aarch64")
    with pytest.raises(ValueError, match=r"has SHA-256 .* not 0000: it is not used"):
        script["fetch"](tmp_path / "tools", "aarch64", address, {"aarch64": "0000"})
    assert not (tmp_path / "tools").exists()


def test_an_unknown_machine_is_said(tmp_path: Path, script: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="riscv64"):
        script["fetch"](tmp_path, "riscv64", tmp_path.as_uri(), script["SHA256"])


def test_a_failed_download_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "tools"],
        env={"UV_RELEASES_URL": (tmp_path / "nowhere").as_uri()},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("uv could not be downloaded: ")


def test_the_pins_are_whole(script: dict[str, Any]) -> None:
    assert set(script["SHA256"]) == {"x86_64", "aarch64"}
    assert all(len(bytes.fromhex(digest)) == 32 for digest in script["SHA256"].values())
