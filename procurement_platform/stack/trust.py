"""The authorities this machine trusts, for a Java that brings its own and knows nothing of a network's own authority."""

import hashlib
import os
import re
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path

PASSWORD = "changeit"  # noqa: S105 -- Java's own for such files: they hold no secret
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")  # Debian, Fedora, SUSE
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def bundle(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file of the certificates: what the environment names, else the system's; None where there is none."""
    named = (environment.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    return next((Path(each) for each in (*named, *_BUNDLES) if each and Path(each).is_file()), None)


def write_store(certificates: Path, store: Path) -> None:
    """Writes certificates (PEM) as a key store that Java reads.

    Java's JKS format, version 2: each entry a name, a time and the certificate; at the end a SHA-1 over the password and all of it.
    """
    found = [ssl.PEM_cert_to_DER_cert(text) for text in _CERTIFICATE.findall(certificates.read_text(encoding="utf-8", errors="replace"))]
    content = struct.pack(">III", 0xFEEDFEED, 2, len(found))
    for number, each in enumerate(found):
        content += struct.pack(">I", 2) + _text(str(number)) + struct.pack(">Q", 0) + _text("X.509") + struct.pack(">I", len(each)) + each
    digest = hashlib.sha1(PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + content, usedforsecurity=False).digest()
    store.write_bytes(content + digest)


def _text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()
