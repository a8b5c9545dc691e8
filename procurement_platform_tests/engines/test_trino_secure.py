"""TLS and a password, on a real Trino that asks for both."""

from collections.abc import Callable
from pathlib import Path

import pytest

from procurement_platform import reach
from procurement_platform.engines.trino_client import Client
from procurement_platform.errors import ConfigurationError
from procurement_platform.settings import Settings
from procurement_platform_tests.stack.live import Cluster
from procurement_platform_tests.stack.secure_trino import PASSWORD, SecureTrino, certificate, secure_trino

__all__ = ["secure_trino"]  # a fixture, found by its name here

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

Ask = Callable[..., reach.Reached]


@pytest.fixture
def ask(cluster: Cluster, secure_trino: SecureTrino, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks Trino as the settings say, changed by these variables."""

    def asked(**changes: object) -> reach.Reached:
        for name, value in {**secure_trino.variables(), **changes}.items():
            monkeypatch.setenv(name, str(value))
        return reach.trino(Settings(_env_file=None))

    return asked


def test_the_right_password_is_let_in(ask: Ask, secure_trino: SecureTrino) -> None:
    found = ask()
    assert found == reach.Reached("trino", f"Trino at https://localhost:{secure_trino.https}, version 476")


def test_the_password_may_be_in_a_file(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    assert ask(PROCUREMENT_TRINO_PASSWORD="", PROCUREMENT_TRINO_PASSWORD_FILE=tmp_path / "password").mend == ""


@pytest.mark.parametrize("password", ["wrong-hunter2", ""])
def test_a_wrong_password_is_one_line_without_it(ask: Ask, password: str, caplog: pytest.LogCaptureFixture) -> None:
    found = ask(PROCUREMENT_TRINO_PASSWORD=password)
    assert found.mend
    assert "does not let this user in" in found.found
    assert "PROCUREMENT_TRINO_PASSWORD" in found.found
    assert "\n" not in found.found
    assert "hunter2" not in found.found + caplog.text


def test_an_authority_that_is_not_known_is_refused(ask: Ask, tmp_path: Path) -> None:
    for name in (certificate(tmp_path), ""):  # another certificate of this name; none but the usual ones
        found = ask(PROCUREMENT_TRINO_CA=name)
        assert "certificate is not trusted" in found.found
        assert "PROCUREMENT_TRINO_CA" in found.found
        assert PASSWORD not in found.found


def test_a_port_without_tls_is_said_to_be_one(ask: Ask, secure_trino: SecureTrino) -> None:
    assert "speaks no TLS on this port" in ask(TRINO_PORT=secure_trino.http).found


def test_a_password_without_tls_is_refused_before_anything_is_sent(ask: Ask, secure_trino: SecureTrino) -> None:
    with pytest.raises(ConfigurationError, match="needs PROCUREMENT_TRINO_TLS=true"):
        Client(host="localhost", port=secure_trino.http, user="x", password=PASSWORD, tls=False, ca=None, catalog="hive")
    assert "PROCUREMENT_TRINO_TLS=true" in ask(PROCUREMENT_TRINO_TLS="false").found


def test_without_a_password_plain_http_is_not_let_in(ask: Ask, secure_trino: SecureTrino) -> None:
    found = ask(PROCUREMENT_TRINO_TLS="false", PROCUREMENT_TRINO_PASSWORD="", TRINO_PORT=secure_trino.http)
    assert "does not let this user in" in found.found
