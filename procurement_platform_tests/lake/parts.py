"""A table of its own, so that the lake is tested without any domain."""

from collections.abc import Callable

from procurement_platform.lake.tables import Column, Table

PARTS = Table(
    "parts",
    "processed",
    "A table of the tests.",
    (
        Column("run_date", "date", "The business day.", required=True),
        Column("part", "varchar", "Its name.", required=True),
        Column("amount", "decimal(18,3)", "Units."),
    ),
    key=("part",),
)
Stage = Callable[..., list[str]]
