"""Download uv's own release where Python has neither venv nor pip (Debian's python3 alone): `fetch_uv.py FOLDER` puts `uv` there.

Standard library only. The release is an older one than `requirements-tools.lock` names: what is trusted is its SHA-256, and these
were compared with independent lists. `UV_RELEASES_URL` names a mirror.
"""

import hashlib
import io
import os
import platform
import sys
import tarfile
import urllib.request
from pathlib import Path

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
    with urllib.request.urlopen(f"{releases}/{VERSION}/{name}.tar.gz", timeout=60) as response:  # noqa: S310 -- the scheme is ours or the user's own mirror
        archive = response.read()
    found = hashlib.sha256(archive).hexdigest()
    if found != sha256[machine]:
        raise ValueError(f"the downloaded {name}.tar.gz has SHA-256 {found}, not {sha256[machine]}: it is not used")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(f"{name}/uv")
        if member is None:
            raise ValueError(f"{name}.tar.gz holds no uv")
        content = member.read()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "uv"
    path.write_bytes(content)
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    try:
        fetch(Path(sys.argv[1]), platform.machine(), os.environ.get("UV_RELEASES_URL", RELEASES), SHA256)
    except (ValueError, OSError) as problem:
        sys.exit(f"uv could not be downloaded: {problem}")
