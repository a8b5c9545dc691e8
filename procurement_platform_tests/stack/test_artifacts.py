"""What Maven brings is held to the committed lists; the cache holds whole and checked folders, or nothing."""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from procurement_platform.errors import StackUnavailable
from procurement_platform.project import CHECKOUT
from procurement_platform.stack import artifacts as module
from procurement_platform.stack.artifacts import ARTIFACTS, Artifacts, cache_folder, check, provide, sha256, unpack

NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


def silent(_: str) -> None:
    pass


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], Artifacts]:
    """Artifacts whose list has these files."""

    def of(files: dict[str, bytes]) -> Artifacts:
        folder = tmp_path / "deploy"
        folder.mkdir()
        lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
        (folder / "small.sha256").write_text("".join(lines))
        monkeypatch.setattr(module, "project_file", lambda *parts: folder / parts[-1])
        return Artifacts("small", "1 kB")

    return of


def bring(files: dict[str, bytes]) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)

    return fill


def test_what_is_fetched_is_checked_kept_and_not_fetched_again(listed: Callable[[dict[str, bytes]], Artifacts], tmp_path: Path) -> None:
    small, told = listed({"a.jar": b"one"}), list[str]()
    folder = provide(small, tmp_path / "cache", bring({"a.jar": b"one"}), told.append)
    assert provide(small, tmp_path / "cache", bring({}), told.append) == folder
    assert (folder / "a.jar").read_bytes() == b"one"
    assert folder == small.folder(tmp_path / "cache")
    assert told == [f"small: fetching 1 kB, once, to {tmp_path / 'cache'}", "small: checking"]


@pytest.mark.parametrize(
    ("brought", "told"),
    [
        ({"a.jar": b"two"}, "a.jar has SHA-256 .*: nothing is used; remove it from Maven's local repository"),
        ({}, "Maven did not bring a.jar, which small.sha256 lists"),
        ({"a.jar": b"one", "b.jar": b""}, "Maven brought b.jar, which small.sha256 does not list"),
    ],
)
def test_what_is_not_as_listed_is_not_used(
    listed: Callable[[dict[str, bytes]], Artifacts], tmp_path: Path, brought: dict[str, bytes], told: str
) -> None:
    small = listed({"a.jar": b"one"})
    with pytest.raises(StackUnavailable, match=told):
        provide(small, tmp_path / "cache", bring(brought), silent)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["small.lock"]


def test_what_a_killed_fetch_left_is_removed(listed: Callable[[dict[str, bytes]], Artifacts], tmp_path: Path) -> None:
    small = listed({"a.jar": b"one"})
    left = tmp_path / "cache" / f"{small.folder(tmp_path).name}.x.new"
    left.mkdir(parents=True)
    provide(small, tmp_path / "cache", bring({"a.jar": b"one"}), silent)
    assert not left.exists()


def test_another_list_is_another_folder(listed: Callable[[dict[str, bytes]], Artifacts], tmp_path: Path) -> None:
    small = listed({"a.jar": b"one"})
    before = small.folder(tmp_path)
    small.sums.write_text(f"{'0' * 64}  a.jar\n")
    assert small.folder(tmp_path) != before
    assert Artifacts("small", "1 kB", ("hive",)).folder(tmp_path) != small.folder(tmp_path)


def archive(path: Path, files: dict[str, bytes], links: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.LNKTYPE, target
            tar.addfile(member)
    return path


def test_plugins_that_are_not_kept_leave_the_files_they_shared(tmp_path: Path) -> None:
    files = {"trino-1/lib/a.jar": b"a", "trino-1/plugin/other/shared.jar": b"shared", "trino-1/plugin/hive/own.jar": b"own"}
    packed = archive(tmp_path / "t.tar.gz", files, {"trino-1/plugin/hive/shared.jar": "trino-1/plugin/other/shared.jar"})
    unpack(packed, tmp_path, ("hive",))
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"lib/a.jar": b"a", "plugin/hive/own.jar": b"own", "plugin/hive/shared.jar": b"shared"}


def test_an_archive_without_a_folder_at_its_top_is_unpacked_too(tmp_path: Path) -> None:
    unpack(archive(tmp_path / "t.tar.gz", {"run.jar": b"r", "lib/a.jar": b"a"}, {}), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lib", "run.jar"]


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(StackUnavailable, match="outside its folder"):
        unpack(archive(tmp_path / "t.tar.gz", {"../../out": b"x"}, {}), tmp_path / "in")
    with pytest.raises(StackUnavailable, match="outside its folder"):
        unpack(archive(tmp_path / "u.tar.gz", {"top/a": b"x"}, {"top/b": "../../../etc/passwd"}), tmp_path / "in")
    assert not (tmp_path / "out").exists()


def test_the_cache_is_the_users(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/procurement-platform/stack")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/procurement-platform/stack"


@pytest.mark.parametrize("name", ARTIFACTS)
def test_each_list_pins_versions_with_reasons_and_names_no_host(name: str) -> None:
    text = ARTIFACTS[name].pom.read_text()
    root = ET.fromstring(text)  # noqa: S314 -- our own
    versions = [each.text or "" for each in root.iterfind(".//m:dependency/m:version", NAMESPACE)]
    assert versions
    assert all(re.fullmatch(r"[0-9][0-9.]*", version) for version in versions)
    assert text.count("<!--") >= 2  # what it is, and why these
    assert re.findall(r"https?://[^\"<\s]+", text) == ["http://maven.apache.org/POM/4.0.0"]
    assert root.find(".//m:repositories", NAMESPACE) is None


@pytest.mark.parametrize("name", ARTIFACTS)
def test_each_list_has_the_hash_of_every_artifact_it_names(name: str) -> None:
    hashes = ARTIFACTS[name].hashes()
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes.values())
    root = ET.fromstring(ARTIFACTS[name].pom.read_text())  # noqa: S314 -- our own
    for each in root.iterfind(".//m:dependency", NAMESPACE):
        artifact, version = each.findtext("m:artifactId", "", NAMESPACE), each.findtext("m:version", "", NAMESPACE)
        assert any(file.startswith(f"{artifact}-{version}") for file in hashes)


def test_no_list_is_forgotten() -> None:
    assert {path.stem for path in (CHECKOUT / "deploy" / "stack").glob("*.xml")} == set(ARTIFACTS)


def test_check_reads_the_bytes(tmp_path: Path, listed: Callable[[dict[str, bytes]], Artifacts]) -> None:
    small = listed({"a.jar": os.urandom(3_000_000)})
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.jar").write_bytes(b"")
    assert sha256(tmp_path / "files" / "a.jar") == hashlib.sha256(b"").hexdigest()
    with pytest.raises(StackUnavailable):
        check(small, tmp_path / "files")
