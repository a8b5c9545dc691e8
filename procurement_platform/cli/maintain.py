"""`procurement maintain`: keep the lake small and quick."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from procurement_platform.cli.options import FormatOption

COLUMNS = ("task", "what", "did", "count", "bytes", "note")


TaskArgument = Annotated[
    Literal["compact", "retention", "expire", "orphans"] | None,
    typer.Argument(metavar="TASK", help="compact, retention, expire or orphans. Default: all of them, in this order."),
]


def maintain(
    task: TaskArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    form: FormatOption = "table",
) -> None:
    """Put small files together (`compact`), remove old runs (`retention`), old snapshots (`expire`), what nothing names (`orphans`).

    Reads the folders of all layers, the run registry, the ledger, the published days and the tables' metadata. Writes order
    and stock lines anew (`compact`) and the tables' metadata, and removes files: nothing that a published day, a table's state or a reader
    under way uses. Days that are being worked on are left for the next time. See docs/maintenance.md.
    """
    from procurement_platform.cli import session
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import say, show
    from procurement_platform.procurement.maintenance import TASKS

    with session.platform(reading=True) as platform:
        chosen = [task] if task else list(TASKS)
        lines = [{"task": name, **asdict(line)} for name in chosen for line in TASKS[name](platform, dry_run=dry_run)]
    show(lines, COLUMNS, form, title="Maintenance", view=View((), ("note", "bytes")))
    if dry_run:
        say("Nothing was done: this is what would be.")
