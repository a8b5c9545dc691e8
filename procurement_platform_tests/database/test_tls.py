"""TLS and a password, on a real PostgreSQL. Its programs are built without TLS: an end of it that is the test's own stands before them."""

import select
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from procurement_platform.database.connect import Database
from procurement_platform.database.postgres_folder import binary, environment, launcher
from procurement_platform.errors import DatabaseUnavailable
from procurement_platform.settings import Settings
from procurement_platform_tests.stack.live import free_ports, until
from procurement_platform_tests.stack.secure_trino import certificate

_SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])
SECRET = "hunter2-of-postgres"  # noqa: S105 -- of a server that lives as long as these tests


@dataclass(frozen=True)
class Server:
    port: int
    folder: Path

    def url(self, *, password: str = SECRET, host: str = "localhost", **options: object) -> str:
        parameters = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://me:{password}@{host}:{self.port}/postgres?{parameters}"

    def problem(self, url: str, home: Path) -> str:
        """What is said of a database that cannot be used by this address; nothing where it can."""
        database = Database(Settings(_env_file=None, home=home, database_url=SecretStr(url)))
        try:
            with database.transaction() as connection:
                assert connection.info.pgconn.ssl_in_use
        except DatabaseUnavailable as told:
            return str(told)
        finally:
            database.close()
        return ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    data = folder / "data"
    data.mkdir(mode=0o700)
    (folder / "password").write_text(SECRET)
    made = [*launcher("run", data), str(binary("initdb")), "-D", str(data), "-U", "me", "--pwfile", str(folder / "password")]
    subprocess.run(
        [*made, "-A", "scram-sha-256", "--encoding=UTF8", "--locale=C"], cwd="/", env=environment(), check=True, capture_output=True
    )
    port, plain = free_ports(2)
    settings = {"port": plain, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    options = [f"--{name}={value}" for name, value in settings.items()]
    started = [*launcher("run", data), str(binary("postgres")), "-D", str(data), *options]
    with (folder / "log").open("wb") as log, subprocess.Popen(started, cwd="/", env=environment(), stdout=log, stderr=log) as process:
        try:
            until(lambda: process.poll() is not None or b"ready to accept connections" in (folder / "log").read_bytes())
            assert process.poll() is None, (folder / "log").read_text()
            with tls_before(plain, port, certificate(folder)):
                yield Server(port, folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


class _Tls(socketserver.BaseRequestHandler):
    """Asks for TLS as PostgreSQL does, and hands on what is said within. https://www.postgresql.org/docs/current/protocol-flow.html"""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _TlsServer)
        try:
            if self.request.recv(8) != _SSL_REQUEST:
                return
            self.request.sendall(b"S")
            with (
                server.context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", server.plain)) as postgres,
            ):
                ends = {client: postgres, postgres: client}
                while True:
                    waiting = [client] if client.pending() else select.select(list(ends), [], [])[0]
                    for each in waiting:
                        data = each.recv(65536)
                        if not data:
                            return
                        ends[each].sendall(data)
        except OSError:  # a client that did not like the certificate
            return


class _TlsServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    context: ssl.SSLContext
    plain: int


@contextmanager
def tls_before(plain: int, port: int, trusted: Path) -> Iterator[None]:
    with _TlsServer(("127.0.0.1", port), _Tls) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(trusted, trusted.with_suffix(".key"))
        server.plain = plain
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_a_server_whose_certificate_is_known_is_used(server: Server, tmp_path: Path) -> None:
    trusted = server.folder / "trusted.pem"
    assert server.problem(server.url(sslmode="verify-full", sslrootcert=trusted), tmp_path) == ""


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
def test_a_server_whose_certificate_is_anothers_is_refused(server: Server, tmp_path: Path, mode: str) -> None:
    told = server.problem(server.url(sslmode=mode, sslrootcert=certificate(tmp_path)), tmp_path)
    assert "certificate verify failed" in told
    assert "\n" not in told
    assert SECRET not in told


def test_a_wrong_password_is_one_line_without_it(server: Server, tmp_path: Path) -> None:
    told = server.problem(server.url(password="hunter2-wrong", sslmode="require"), tmp_path)  # noqa: S106 -- it is none
    assert "password authentication failed" in told
    assert "\n" not in told
    assert "hunter2" not in told
