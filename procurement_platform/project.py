"""Where the files that are not Python stand: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent


def project_file(*parts: str) -> Path:
    """The path of a file shipped with the project (`sql/…`, `dagster.yaml`, `migrations/…`)."""
    beside = CHECKOUT.joinpath(*parts)
    return beside if beside.exists() else PACKAGE.joinpath("_project", *parts)
