"""Which processes have a file or socket open: the kernel's own account, in /proc."""

import os
from collections.abc import Callable
from contextlib import suppress


def processes() -> list[int]:
    """The ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- a Path for each would double the time


def has_open(pid: int, is_wanted: Callable[[os.stat_result], bool]) -> bool:
    """Whether a process has something open that is wanted; of one that ended, or is another user's, nothing is known."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for each in descriptors:
            with suppress(OSError):
                if is_wanted(each.stat()):
                    return True
    return False
