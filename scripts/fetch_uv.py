"""Download uv where Python has neither venv nor pip (Debian's python3 alone): `fetch_uv.py FOLDER` puts `uv` there.

Standard library only. From the package index that the environment names (`UV_DEFAULT_INDEX`, `UV_INDEX_URL`, `PIP_INDEX_URL`) comes the
uv that `requirements-tools.lock` pins. Else, or where it is not to be had, uv's own release is taken: an older one, whose SHA-256 were
compared with independent lists. `UV_RELEASES_URL` names a mirror. In both cases the SHA-256 is what is trusted.
"""

import hashlib
import html
import io
import os
import platform
import re
import sys
import tarfile
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
LOCK = Path(__file__).parents[1] / "requirements-tools.lock"
VERSION = "0.12.15"
RELEASES = "https://github.com/astral-sh/uv/releases/download"
SHA256 = {  # the static builds: they run on any Linux
    "x86_64": "999c0c3da986953e508985c3932d283d2c62eb167b4f8d81e79f565e34104959",
    "aarch64": "93b801abb146e6431fb0434346a0162e65d3f0d1cd7360144d04c43488fd7f7d",
}


def fetch(folder: Path, machine: str, releases: str, sha256: dict[str, str]) -> Path:
    """Put the release for a machine type into a folder; the path of the executable.

    Raises:
        ValueError: no release is known for the machine, or the bytes are not the release's.
        OSError: the download failed.
    """
    if machine not in sha256:
        raise ValueError(f"no uv release is known here for a {machine} machine")
    name = f"uv-{machine}-unknown-linux-musl"
    archive = _download(urllib.request.build_opener(), f"{releases}/{VERSION}/{name}.tar.gz")
    _check(f"{name}.tar.gz", archive, [sha256[machine]])
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(f"{name}/uv")
        if member is None:
            raise ValueError(f"{name}.tar.gz holds no uv")
        return _placed(folder, member.read())


def fetch_from_index(folder: Path, machine: str, index: str, lock: str) -> Path:
    """Put the uv that a lock file (its text) pins into a folder, from a package index (PEP 503); the path of the executable.

    Raises:
        ValueError: the index has no static build of it for the machine, or other bytes than those that are pinned.
        OSError: the download failed.
    """
    pinned = re.search(r"^uv==(\S+)((?:.*\n\s+--hash=sha256:[0-9a-f]{64})+)", lock, re.MULTILINE)
    if pinned is None:
        raise ValueError("the lock file pins no uv")
    version, hashes = pinned[1], re.findall(r"sha256:(\w+)", pinned[2])
    parts = urlsplit(re.sub(r"^[\w.-]+=(?=https?:)", "", index))  # uv takes name=address, too
    host = parts.netloc.rpartition("@")[2]
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(None, f"{parts.scheme}://{host}/", unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    page = parts._replace(netloc=host, path=f"{parts.path.rstrip('/')}/uv/").geturl()
    wheel = rf"""href=["']([^"'#]*uv-{re.escape(version)}-py3-none-[^"'#/]*musllinux_[0-9_]+_{re.escape(machine)}\.whl)["'#]"""
    link = re.search(wheel, _download(opener, page).decode("utf-8", "replace"))
    if link is None:
        raise ValueError(f"{host} has no uv {version} for a {machine} machine")
    content = _download(opener, urljoin(page, html.unescape(link[1])))
    _check(link[1].rpartition("/")[2], content, hashes)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _placed(folder, archive.read(f"uv-{version}.data/scripts/uv"))


def _download(opener: urllib.request.OpenerDirector, address: str) -> bytes:
    try:
        with opener.open(address, timeout=60) as response:
            content: bytes = response.read()
    except HTTPException as problem:  # cut off, or no HTTP at all
        raise OSError(f"{type(problem).__name__}: {problem}") from problem
    return content


def _check(name: str, content: bytes, sha256: list[str]) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found not in sha256:
        pinned = sha256[0] if len(sha256) == 1 else f"one of the {len(sha256)} pinned ones"
        raise ValueError(f"the downloaded {name} has SHA-256 {found}, not {pinned}: it is not used")


def _placed(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "uv"
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def main(folder: Path) -> None:
    """Put uv into a folder, from the first place that has it; exits with one line where none does."""
    problems = []
    index = next((os.environ[name] for name in INDEXES if os.environ.get(name)), None)
    if index is not None:
        try:
            fetch_from_index(folder, platform.machine(), index, LOCK.read_text())
        except (ValueError, OSError) as problem:
            problems.append(str(problem))
        else:
            return
    try:
        fetch(folder, platform.machine(), os.environ.get("UV_RELEASES_URL", RELEASES), SHA256)
    except (ValueError, OSError) as problem:
        hint = "" if index else " (UV_DEFAULT_INDEX may name a package index that has it)"
        sys.exit(f"uv could not be downloaded: {'; '.join([*problems, str(problem)])}{hint}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
