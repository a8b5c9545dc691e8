"""The table of rejected rows, shared by every feed."""

from procurement_platform.lake.tables import Column, Table

QUARANTINE = Table(
    "quarantine",
    "quarantine",
    "Rejected rows, each with its reasons and the row as it was sent.",
    (
        Column("run_date", "date", "The business day.", required=True),
        Column("feed", "varchar", "`orders` or `stock`.", required=True),
        Column("market", "varchar", "The market whose file it is.", required=True),
        Column("file_id", "varchar", "The ledger's id of the file.", required=True),
        Column("file", "varchar", "The file's name as sent.", required=True),
        Column("row_number", "bigint", "The row's number in its file; the first data row is 1.", required=True),
        Column("rule", "varchar", "The first rule the row breaks.", required=True),
        Column(
            "reasons",
            "varchar",
            "What is wrong with the row, each with the value and what to send instead; separated by `; `.",
            required=True,
        ),
        Column("sku", "varchar", "The row's SKU, where it could be read."),
        Column("quantity", "decimal(18,3)", "The row's quantity (orders) or available stock, where it is a valid one."),
        Column("row", "varchar", "The row as sent, as a JSON object.", required=True),
    ),
    feeds=("orders", "stock"),
)
