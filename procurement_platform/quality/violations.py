"""Violations: rows that the step which finds them writes beside its output. One shape for every rule and every domain."""

from procurement_platform.lake.tables import Column, Table

_COLUMNS = (
    Column("run_date", "date", "The business day.", required=True),
    Column("rule", "varchar", "The rule's name.", required=True),
    Column("severity", "varchar", "CRITICAL, HIGH or MEDIUM.", required=True),
    Column("dataset", "varchar", "The asset that found it.", required=True),
    Column("market", "varchar", "The market concerned."),
    Column("sku", "varchar", "The SKU concerned."),
    Column("file", "varchar", "The file's name as sent."),
    Column("first_row", "bigint", "The first row concerned, in its file."),
    Column("rows", "bigint", "How many rows (files, pairs) are concerned.", required=True),
    Column("units", "decimal(38,3)", "How many units are concerned."),
    Column("message", "varchar", "What happened, and what to do.", required=True),
)
VIOLATIONS = Table("violations", "logs", "What each step found wrong.", _COLUMNS)
