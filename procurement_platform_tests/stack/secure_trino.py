"""A second Trino over the stack's catalogs, which speaks TLS and asks for a password, for tests marked `cluster`.

The programs and the command are the running one's. The plug-in that asks for passwords is none of the stack's: it is taken from the
archive in Maven's local repository, which was fetched for the stack; where that is not there any more, these tests are left out.
"""

import hashlib
import http.client
import os
import secrets
import shutil
import ssl
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from procurement_platform.stack.place import HOST
from procurement_platform.stack.processes import holders, start, stop
from procurement_platform_tests.stack.live import Cluster, free_ports, until

PLUGIN, USER, PASSWORD = "password-authenticators", "procurement", "hunter2-of-trino"
MIB = 768


@dataclass(frozen=True)
class SecureTrino:
    """Where it listens, by https and by http, and the certificate that its clients must know."""

    https: int
    http: int
    certificate: Path

    def variables(self, password: str = PASSWORD) -> dict[str, str]:
        return {
            "TRINO_HOST": "localhost",
            "TRINO_PORT": str(self.https),
            "PROCUREMENT_TRINO_TLS": "true",
            "PROCUREMENT_TRINO_CA": str(self.certificate),
            "PROCUREMENT_TRINO_USER": USER,
            "PROCUREMENT_TRINO_PASSWORD": password,
        }

    def answers(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("localhost", self.https, timeout=5, context=context)
        try:
            connection.request("GET", "/v1/info")
            return b'"starting":false' in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()


def certificate(folder: Path) -> Path:
    """A certificate of localhost, signed by itself; its key is beside it."""
    path = folder / "trusted.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(path.with_suffix(".key")), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    path.with_suffix(".key").chmod(0o600)
    return path


@pytest.fixture(scope="session")
def secure_trino(session_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureTrino]:
    session_cluster.heal()
    folder = tmp_path_factory.mktemp("secure-trino")
    conf = session_cluster.place.conf / "trino"
    config = dict(line.split("=", 1) for line in (conf / "config.properties").read_text().splitlines() if "=" in line)
    _plugins(Path(config["plugin.dir"]), folder / "plugin")
    trusted = certificate(folder)
    pem = folder / "key-and-certificate.pem"
    pem.write_text(trusted.with_suffix(".key").read_text() + trusted.read_text())
    https, plain = free_ports(2)
    salt = secrets.token_bytes(16)
    hashed = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt, 10_000, 32)
    (folder / "passwords").write_text(f"{USER}:10000:{salt.hex()}:{hashed.hex()}\n")
    (folder / "password.properties").write_text(f"password-authenticator.name=file\nfile.password-file={folder / 'passwords'}\n")
    config |= {
        "http-server.http.port": str(plain),
        "discovery.uri": f"http://{HOST}:{plain}",
        "http-server.https.enabled": "true",
        "http-server.https.port": str(https),
        "http-server.https.keystore.path": str(pem),
        "http-server.authentication.type": "PASSWORD",
        "password-authenticator.config-files": str(folder / "password.properties"),
        "internal-communication.shared-secret": secrets.token_hex(32),
        "node.id": "secure-1",
        "plugin.dir": str(folder / "plugin"),
        "query.max-memory": "200MB",
        "query.max-memory-per-node": "200MB",
        "memory.heap-headroom-per-node": "150MB",
    }
    (folder / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in config.items()))
    mark, log = folder / "mark", folder / "trino.log"
    start(mark, log, _command(session_cluster, folder / "config.properties"), {"LC_ALL": "C.UTF-8"}, folder)
    found = SecureTrino(https, plain, trusted)
    try:
        with suppress(AssertionError):
            until(lambda: found.answers() or not holders(mark))
        assert found.answers(), log.read_text()[-2000:]
        yield found
    finally:
        stop(mark, seconds=5)


def _command(cluster: Cluster, config: Path) -> list[str]:
    """The running Trino's command, with another configuration and less memory."""
    [pid, *_] = holders(cluster.place.run / "trino")
    arguments = [os.fsdecode(each) for each in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
    changed = []
    for each in arguments:
        if each.startswith("-Dconfig="):
            changed.append(f"-Dconfig={config}")
        else:
            changed.append(f"-Xmx{MIB}m" if each.startswith("-Xmx") else each)
    return changed


def _plugins(stack: Path, folder: Path) -> None:
    """The stack's plug-ins, and the one for passwords."""
    folder.mkdir()
    for each in stack.iterdir():
        (folder / each.name).symlink_to(each)
    archive = next((Path.home() / ".m2" / "repository" / "io" / "trino" / "trino-server").glob("*/trino-server-*.tar.gz"), None)
    if archive is None:
        pytest.skip("Trino's archive is not in Maven's local repository: its plug-in for passwords is not to be had")
    (folder / PLUGIN).mkdir()
    links = _unpack_plugin(archive, folder / PLUGIN)
    for linked in list(links):
        there = stack.parent / linked.partition("/")[2]
        if there.exists():
            (folder / PLUGIN / links.pop(linked)).symlink_to(there)
    if links:
        with tarfile.open(archive, "r|gz") as members:
            for member in members:
                if member.name in links:
                    _write(members, member, folder / PLUGIN / links[member.name])


def _unpack_plugin(archive: Path, folder: Path) -> dict[str, str]:
    """Unpacks the plug-in; returns what it has from other folders: the file there → its name here."""
    links = {}
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            name = member.name.rpartition("/")[2]
            if f"/plugin/{PLUGIN}/{name}" in member.name and member.islnk():
                links[member.linkname] = name
            elif f"/plugin/{PLUGIN}/{name}" in member.name and member.isfile():
                _write(members, member, folder / name)
    return links


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = members.extractfile(member)
    assert source is not None
    with path.open("wb") as target:
        shutil.copyfileobj(source, target)
