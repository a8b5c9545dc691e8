"""A stack's place in a folder of the test's own, on ports that nobody listens on."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import pytest

from procurement_platform.stack.place import HOST, Place, Ports
from procurement_platform.stack.processes import holders, stop


def free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to clients, so that no connection takes one before its server does."""
    found: list[int] = []
    with ExitStack() as taken:
        for port in range(20000, 30000):
            probe = taken.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no free ports")


def free_place(folder: Path) -> Place:
    names = [field.name for field in fields(Ports)]
    return Place(folder, Ports(**dict(zip(names, free_ports(len(names)), strict=True))), "root", 1024)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty stack; what a test started there is ended with it."""
    found = free_place(tmp_path / "a home" / "stack")
    found.make()
    yield found
    for mark in found.run.glob("*"):
        if holders(mark):
            stop(mark, seconds=0)
