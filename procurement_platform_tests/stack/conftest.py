"""A stack's place in a folder of the test's own, on ports that nobody listens on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from procurement_platform.stack.place import Place
from procurement_platform.stack.processes import holders, stop
from procurement_platform_tests.stack.live import free_place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty stack; what a test started there is ended with it."""
    found = free_place(tmp_path / "a-höme" / "stack")
    found.make()
    yield found
    for mark in found.run.glob("*"):
        if holders(mark):
            stop(mark, seconds=0)
