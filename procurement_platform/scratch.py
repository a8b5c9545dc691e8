"""Folders of a process's own on this machine's disk: gone when it is done, or when the next one looks, where it was killed."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def make_scratch(kind: str, parent: Path | None = None) -> Path:
    """A new private folder `{kind}-{process}-…` below `parent` (None: the system's); the caller removes it.

    Those that dead processes left below the same parent go: a killed run cannot tidy up.
    """
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(kind, parent)
    return Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-", dir=parent))


def _sweep(kind: str, parent: Path) -> None:
    for folder in parent.glob(f"{kind}-*-*"):
        with suppress(ValueError):
            if not Path("/proc", str(int(folder.name.split("-")[1]))).exists():
                shutil.rmtree(folder, ignore_errors=True)
