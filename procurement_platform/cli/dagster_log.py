"""What Dagster says while `procurement ui` runs: all of it in a file, warnings and errors on the terminal, too."""

import re
from collections.abc import Iterator
from pathlib import Path

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEVEL = re.compile(r" - (DEBUG|INFO|WARNING|ERROR|CRITICAL) - ")
_PLAIN = re.compile(r"Traceback \(|(?:^|[\s.])\w*(?:Error|Exception|Warning): ")  # a process that dies, or warns, without Dagster's logging
_NO_NEWS = "(dagster.yaml) in the current folder"  # the checkout's: every home has a copy of it, and that is the one that counts
_SHOWN = ("WARNING", "ERROR", "CRITICAL")


class DagsterLog:
    """The file, new at each start; the one before is kept beside it. `news` has what was written since it was asked last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            path.replace(path.with_name(f"{path.name}.1"))
        path.touch()
        self._at = 0
        self._shown = False

    def news(self) -> Iterator[str]:
        """The new lines that a person should see, without colours: from a warning or error on, up to the next line that is none."""
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data.rfind(b"\n") + 1  # the rest of a line comes later
        self._at += whole
        for line in data[:whole].decode(errors="replace").splitlines():
            text = _COLOUR.sub("", line)
            if level := _LEVEL.search(text):
                self._shown = level[1] in _SHOWN and _NO_NEWS not in text
            elif _PLAIN.search(text):
                self._shown = True
            if self._shown:
                yield text
