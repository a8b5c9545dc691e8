"""Maven, which brings the servers' programs by the user's own settings: the one on PATH, else one that is fetched as they are."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

from procurement_platform.errors import StackUnavailable
from procurement_platform.stack.artifacts import Artifacts, provide
from procurement_platform.stack.java import Java
from procurement_platform.stack.trust import PASSWORD, bundle, write_store

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
MAVEN = Artifacts("maven", "9 MB")
COORDINATES = "org.apache.maven:apache-maven:tar.gz:bin:3.9.11"
SECONDS = 300
REMEDY = "install Maven (Debian, Ubuntu: apt install maven; Fedora: dnf install maven)"


def fetcher(artifacts: Artifacts, cache: Path, java: Java, log: Path, tell: Callable[[str], None]) -> Callable[[Path], None]:
    """What fills a folder with the artifacts and what they need; its whole text goes to `log` where it fails.

    Raises:
        StackUnavailable: when it is called: there is no Maven, or Maven cannot fetch something.
    """

    def bring(folder: Path) -> None:
        run_maven(find_maven(cache, artifacts.name, tell), artifacts, folder, java, log)

    return bring


def find_maven(cache: Path, for_what: str, tell: Callable[[str], None]) -> Path:
    """The `mvn` on PATH, else the cache's own, which is fetched first where it is not there yet."""
    on_path = shutil.which("mvn")
    if on_path is not None:
        return Path(on_path)
    if not MAVEN.folder(cache).is_dir() and find_spec("maven_artifact") is None:
        raise StackUnavailable(
            f"Maven is needed to fetch {for_what}, and `mvn` is not on PATH: {REMEDY}, or the extra `stack`, which fetches one"
            " (pip install maven-artifact)"
        )
    return provide(MAVEN, cache, _download, tell) / "bin" / "mvn"


def _download(folder: Path) -> None:
    (name,) = MAVEN.hashes()
    mirror = central_mirror(Path.home() / ".m2" / "settings.xml")
    command = [sys.executable, "-m", "maven_artifact.main", COORDINATES, str(folder / name), *(["-m", mirror] if mirror else [])]
    certificates = bundle()
    environment = {**({"REQUESTS_CA_BUNDLE": str(certificates)} if certificates else {}), **os.environ}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackUnavailable(f"Maven is not on PATH and could not be fetched in {SECONDS} s: {REMEDY}") from None
    if done.returncode != 0:
        reason = (done.stdout.strip().splitlines() or ["no reason given"])[-1]
        raise StackUnavailable(f"Maven is not on PATH and could not be fetched ({reason}): {REMEDY}")


def central_mirror(settings: Path) -> str | None:
    """What the user's Maven settings name in place of the central repository; None where they name nothing."""
    try:
        root = ET.parse(settings).getroot()  # noqa: S314 -- the user's own file, which Maven reads, too
    except (OSError, ET.ParseError):
        return None
    for mirror in root.iterfind("{*}mirrors/{*}mirror"):
        of = {each.strip() for each in (mirror.findtext("{*}mirrorOf") or "").split(",")}
        url = (mirror.findtext("{*}url") or "").strip()
        if url and of & {"*", "external:*", "central"} and "!central" not in of:
            return url
    return None


def run_maven(maven: Path, artifacts: Artifacts, folder: Path, java: Java, log: Path) -> None:
    """Has Maven copy the artifacts and what they need into a folder, by the user's own Maven settings."""
    command = [str(maven), "-B", "-q", "-f", str(artifacts.pom), PLUGIN, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    with tempfile.TemporaryDirectory() as temporary:
        environment, options = dict(os.environ), [os.environ.get("MAVEN_OPTS", ""), f"-Duser.home={Path.home()}"]  # Java does not ask HOME
        if "JAVA_HOME" not in environment and shutil.which("java") is None:
            environment["JAVA_HOME"] = str(java.home)
            options += _trust(Path(temporary) / "trust")
        environment["MAVEN_OPTS"] = " ".join(options).strip()
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if done.returncode != 0:
        log.write_text(done.stdout)
        said = [line.removeprefix("[ERROR]").strip() for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        reason = next(iter(said), (done.stdout.strip().splitlines() or ["no reason given"])[-1])
        raise StackUnavailable(f"Maven could not fetch {artifacts.name}: {reason}; its whole text is {log}")


def _trust(store: Path) -> list[str]:
    """Options by which the servers' Java trusts whom this machine trusts: it brings authorities of its own."""
    certificates = bundle()
    if certificates is None:
        return []
    write_store(certificates, store)
    return [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={PASSWORD}"]
