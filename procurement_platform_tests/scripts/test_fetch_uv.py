"""The download of uv where Python has neither venv nor pip: the right bytes are used, others never."""

import base64
import hashlib
import io
import re
import runpy
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


INDEX_USER = "Basic " + base64.b64encode(b"buyer:s:cret@").decode()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index that asks for a password, with uv 1.2 for two machine types; its address. The lock file beside it pins that uv."""
    pages = {}
    hashes = []
    for machine in ("x86_64", "aarch64"):
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("uv-1.2.data/scripts/uv", f"#!/bin/sh\necho uv for {machine}\n")
        name = f"uv-1.2-py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}.whl"
        pages[f"/files/{name}"] = wheel.getvalue()
        hashes.append(hashlib.sha256(wheel.getvalue()).hexdigest())
    links = [f'<a href="../..{path}#sha256=0">{path}</a><br/>' for path in pages]
    pages["/simple/uv/"] = "\n".join(['<a href="/files/uv-1.2-py3-none-manylinux_2_17_x86_64.whl">needs glibc</a>', *links]).encode()

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server looks for
            known = self.headers["Authorization"] == INDEX_USER
            body = pages.get(self.path) if known else b""
            self.send_response(404 if body is None else 200 if known else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    lock = "".join(["tomlkit==1.2 \\\n    --hash=sha256:00\nuv==1.2", *(f" \\\n    --hash=sha256:{each}" for each in hashes)])
    (tmp_path / "tools.lock").write_text(lock)
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://buyer:s%3Acret%40@127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("named", ["", "company="])
def test_the_pinned_uv_comes_from_a_package_index(tmp_path: Path, script: dict[str, Any], index: str, named: str, machine: str) -> None:
    uv = script["fetch_from_index"](tmp_path / "tools", machine, named + index + "/", (tmp_path / "tools.lock").read_text())
    assert subprocess.run([uv], check=True, capture_output=True, text=True).stdout == f"uv for {machine}\n"


def test_of_an_index_other_bytes_are_not_used(tmp_path: Path, script: dict[str, Any], index: str) -> None:
    lock = re.sub(r"sha256:\w+", "sha256:" + "0" * 64, (tmp_path / "tools.lock").read_text())
    with pytest.raises(ValueError, match=r"x86_64.whl has SHA-256 \w+, not one of the 2 pinned ones: it is not used"):
        script["fetch_from_index"](tmp_path / "tools", "x86_64", index, lock)
    assert not (tmp_path / "tools").exists()


@pytest.mark.parametrize("index_variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_where_an_index_has_it_not_the_release_is_tried_and_both_are_told(tmp_path: Path, index: str, index_variable: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "tools"],
        env={index_variable: index, "UV_RELEASES_URL": (tmp_path / "nowhere").as_uri()},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(r"uv could not be downloaded: 127\.0\.0\.1:\d+ has no uv \S+ for a \S+ machine; .*nowhere", line)
    assert "cret" not in line


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
    assert "UV_DEFAULT_INDEX" in line


def test_the_pins_are_whole(script: dict[str, Any]) -> None:
    assert set(script["SHA256"]) == {"x86_64", "aarch64"}
    assert all(len(bytes.fromhex(digest)) == 32 for digest in script["SHA256"].values())
