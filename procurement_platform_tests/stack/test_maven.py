"""Maven: the user's own, else one that is fetched as the programs are, from where the user's Maven settings say."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from procurement_platform.errors import StackUnavailable
from procurement_platform.stack import artifacts, maven
from procurement_platform.stack.artifacts import ARTIFACTS
from procurement_platform.stack.java import Java
from procurement_platform.stack.maven import COORDINATES, MAVEN, central_mirror, fetcher, find_maven, run_maven

JAVA = Java(Path("/java"), 25, frozenset())


def silent(_: str) -> None:
    pass


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program `mvn` on PATH, which has the folder to fill in $out."""

    def does(script: str) -> Path:
        found = tmp_path / "bin" / "mvn"
        found.parent.mkdir()
        find = 'for each in "$@"; do case "$each" in -DoutputDirectory=*) out="${each#*=}";; esac; done'
        found.write_text(f"#!/bin/bash\n{find}\n{script}\n")
        found.chmod(0o755)
        monkeypatch.setenv("PATH", f"{found.parent}:/usr/bin:/bin")
        return found

    return does


@pytest.fixture
def no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has no Maven, and no settings of it. His home."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".m2").mkdir()
    return tmp_path


def test_the_users_own_is_taken(program: Callable[[str], Path], tmp_path: Path) -> None:
    own = program("true")
    assert find_maven(tmp_path / "cache", "kafka", silent) == own
    assert not (tmp_path / "cache").exists()


def test_it_fills_the_folder_by_the_list(program: Callable[[str], Path], tmp_path: Path) -> None:
    program('echo "$@" > "$out/arguments"')
    fetcher(ARTIFACTS["kafka"], tmp_path / "cache", JAVA, tmp_path / "log", silent)(tmp_path)
    said = (tmp_path / "arguments").read_text()
    assert f"-f {ARTIFACTS['kafka'].pom} " in said
    assert "copy-dependencies" in said


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ('echo "[ERROR] no such artifact: x:y:1"; echo "[ERROR] more"; exit 1', "could not fetch kafka: no such artifact: x:y:1; its"),
        ("echo Error: no Java; exit 1", "could not fetch kafka: Error: no Java; its whole text is "),
        ("exit 1", "could not fetch kafka: no reason given"),
    ],
)
def test_what_it_cannot_fetch_is_told(program: Callable[[str], Path], tmp_path: Path, script: str, told: str) -> None:
    with pytest.raises(StackUnavailable, match=told):
        run_maven(program(script), ARTIFACTS["kafka"], tmp_path, JAVA, tmp_path / "log")
    assert (tmp_path / "log").exists()


def test_it_runs_on_our_java_and_trusts_whom_the_machine_trusts_where_there_is_no_other(
    program: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = program(
        f'echo "$JAVA_HOME" "$MAVEN_OPTS" > {tmp_path}/said; for each in $MAVEN_OPTS; do test -f "${{each#*=}}" && exit 0; done; exit 1'
    )
    (tmp_path / "authorities").write_text("")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities"))
    monkeypatch.setenv("MAVEN_OPTS", "-Xmx1g")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("procurement_platform.stack.maven.shutil.which", lambda _: None)
    run_maven(own, ARTIFACTS["kafka"], tmp_path, JAVA, tmp_path / "log")
    home, *options = (tmp_path / "said").read_text().split()
    assert home == "/java"
    assert options[:2] == ["-Xmx1g", f"-Duser.home={tmp_path}"]
    assert [option.partition("=")[0] for option in options[2:]] == ["-Djavax.net.ssl.trustStore", "-Djavax.net.ssl.trustStorePassword"]


def test_a_java_of_the_users_is_left_as_it_is(program: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(f'echo "$JAVA_HOME" "$MAVEN_OPTS" > {tmp_path}/said')
    monkeypatch.setenv("JAVA_HOME", "/other")
    run_maven(own, ARTIFACTS["kafka"], tmp_path, JAVA, tmp_path / "log")
    assert (tmp_path / "said").read_text().startswith("/other ")
    assert "trustStore" not in (tmp_path / "said").read_text()


def test_without_it_and_without_what_fetches_it_it_is_said_how_to_get_it(no_maven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven, "find_spec", lambda _: None)
    with pytest.raises(StackUnavailable, match=r"Maven is needed to fetch kafka.*apt install maven.*extra `stack`"):
        find_maven(no_maven / "cache", "kafka", silent)


@pytest.fixture
def repository(no_maven: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Repository"]:
    """A repository of Maven's that the user's settings name, and the list changed to what it has."""
    pytest.importorskip("maven_artifact", reason="the extra `stack` is not installed")
    packed = no_maven / "packed.tar.gz"
    program = no_maven / "mvn"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(program, "apache-maven-3.9.11/bin/mvn")
    found = Repository(packed.read_bytes())
    (no_maven / "maven.sha256").write_text(f"{hashlib.sha256(found.content).hexdigest()}  apache-maven-3.9.11-bin.tar.gz\n")
    monkeypatch.setattr(artifacts, "project_file", lambda *parts: no_maven / parts[-1])
    (no_maven / ".m2" / "settings.xml").write_text(settings(("*", found.url)))
    yield found
    found.close()


class Repository:
    """Serves one archive at Maven's address for it."""

    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                found = outer.content if self.path.endswith("/org/apache/maven/apache-maven/3.9.11/apache-maven-3.9.11-bin.tar.gz") else b""
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/m2"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def settings(*mirrors: tuple[str, str], namespace: str = ' xmlns="http://maven.apache.org/SETTINGS/1.2.0"') -> str:
    inside = "".join(f"<mirror><id>m</id><mirrorOf>{of}</mirrorOf><url>{url}</url></mirror>" for of, url in mirrors)
    return f"<settings{namespace}><mirrors>{inside}</mirrors></settings>"


def test_where_there_is_none_it_is_fetched_once_from_the_users_mirror(repository: Repository, no_maven: Path) -> None:
    told = list[str]()
    found = find_maven(no_maven / "cache", "kafka", told.append)
    assert found == MAVEN.folder(no_maven / "cache") / "bin" / "mvn"
    assert os.access(found, os.X_OK)
    assert find_maven(no_maven / "cache", "kafka", told.append) == found
    assert len(repository.asked) == 1
    assert [step.partition(":")[0] for step in told] == ["maven"] * 3


def test_other_bytes_than_the_lists_are_not_run(repository: Repository, no_maven: Path) -> None:
    repository.content += b"x"
    with pytest.raises(StackUnavailable, match=r"apache-maven-.* has SHA-256 .*: nothing is used"):
        find_maven(no_maven / "cache", "kafka", silent)


def test_a_repository_that_has_it_not_is_told_with_the_remedy(repository: Repository, no_maven: Path) -> None:
    repository.content = b""
    with pytest.raises(StackUnavailable, match=r"Maven is not on PATH and could not be fetched \(.*404.*\): install Maven"):
        find_maven(no_maven / "cache", "kafka", silent)


def test_a_repository_that_does_not_answer_is_given_up(repository: Repository, no_maven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven, "SECONDS", 0.001)
    with pytest.raises(StackUnavailable, match=r"could not be fetched in 0.001 s: install Maven"):
        find_maven(no_maven / "cache", "kafka", silent)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (settings(("central", "http://a")), "http://a"),
        (settings(("central", "http://a"), namespace=""), "http://a"),
        (settings(("other", "http://a"), ("other, external:*", " http://b ")), "http://b"),
        (settings(("*,!central", "http://a")), None),
        (settings(), None),
        ("<settings", None),
        (None, None),
    ],
)
def test_the_mirror_of_the_central_repository_is_the_first_of_the_settings(tmp_path: Path, text: str | None, url: str | None) -> None:
    if text is not None:
        (tmp_path / "settings.xml").write_text(text)
    assert central_mirror(tmp_path / "settings.xml") == url


def test_the_list_has_the_version_that_is_asked_for() -> None:
    group, artifact, kind, classifier, version = COORDINATES.split(":")
    assert group == "org.apache.maven"
    assert list(MAVEN.hashes()) == [f"{artifact}-{version}-{classifier}.{kind}"]
