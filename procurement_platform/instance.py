"""The Dagster instance of a home: its folder, `<home>/dagster`, holding a copy of the project's `dagster.yaml`.

Imports no Dagster: every command prepares the folder, and so does activating `.venv` (`python -m procurement_platform.instance`).
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from procurement_platform.errors import ConfigurationError, ProcurementError
from procurement_platform.project import project_file
from procurement_platform.settings import Settings, load_settings

# Dagster looks for dagster.yaml by a glob, and finds none (telemetry would be on); its SQLite URLs end at a '?'.
_MISREAD = frozenset("?*[")

MODULE = "procurement_platform.definitions"


def prepare_dagster_home(settings: Settings) -> Path:
    """Create the home's Dagster folder and bring its `dagster.yaml` to the project's; the folder's path.

    Raises:
        ConfigurationError: the home cannot be written, or has a name that Dagster's storage cannot take.
    """
    if misread := _MISREAD.intersection(str(settings.home)):
        raise ConfigurationError(
            f"{settings.home} has a {min(misread)!r}, which Dagster does not take as it is; set PROCUREMENT_HOME to another folder"
        )
    wanted = project_file("dagster.yaml").read_bytes()
    copy = settings.dagster_home / "dagster.yaml"
    try:
        settings.dagster_home.mkdir(parents=True, exist_ok=True)
        if not copy.is_file() or copy.read_bytes() != wanted:
            _replace(copy, wanted)
    except OSError as problem:
        raise ConfigurationError(
            f"{settings.dagster_home} cannot be written ({problem.strerror}); set PROCUREMENT_HOME to a folder you may write"
        ) from problem
    return settings.dagster_home


def dagster_environment(settings: Settings) -> dict[str, str]:
    """The environment variables by which Dagster's own commands find the platform and its instance."""
    return {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_MODULE_NAME": MODULE}


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones: several commands may start at once."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def main() -> int:
    """Print the instance's folder, prepared; what `source .venv/bin/activate` calls."""
    try:
        sys.stdout.write(f"{prepare_dagster_home(load_settings())}\n")
    except ProcurementError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
