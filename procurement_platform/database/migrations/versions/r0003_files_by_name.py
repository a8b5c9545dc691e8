"""Files are told apart by the name they were sent under, some wait for the reference, and a database belongs to one lake."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# As `inbox.identity.file_id` makes them; until now of the name without its extension.
_RENAMED = """
    CREATE TEMPORARY TABLE renamed ON COMMIT DROP AS
    SELECT file_id AS before,
        left(encode(sha256(convert_to(
            feed || '/' || to_char(run_date, 'YYYY-MM-DD') || '/' || file_name || E'\\n' || sha256, 'UTF8'
        )), 'hex'), 16) AS after
    FROM control.files
"""
_INPUTS = """
    UPDATE control.{} SET inputs = jsonb_set(inputs, '{{files}}', (
        SELECT coalesce(jsonb_agg(coalesce(renamed.after, listed.id) ORDER BY listed.number), '[]')
        FROM jsonb_array_elements_text(inputs -> 'files') WITH ORDINALITY AS listed (id, number)
        LEFT JOIN renamed ON renamed.before = listed.id
    ))
    WHERE jsonb_typeof(inputs -> 'files') = 'array'
"""


def upgrade() -> None:
    """Gives files their new ids wherever they are named, adds the column to the ledger, and the table."""
    # Inputs of days and tables are compared with the ledger: with the old ids every day would be run again.
    op.execute(_RENAMED)
    op.execute("UPDATE control.files SET file_id = after FROM renamed WHERE file_id = before")
    for table in ("published_days", "table_runs"):
        op.execute(_INPUTS.format(table))
    op.add_column(
        "files",
        sa.Column(
            "awaits_reference",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="Refused for what the reference says of its market: each run of the day looks at the kept bytes again.",
        ),
        schema="control",
    )
    op.execute(
        "UPDATE control.files SET awaits_reference = true"
        " WHERE state = 'rejected' AND raw_path <> '' AND reason LIKE market || ' is no market that is active on %'"
    )
    op.create_table(
        "lake",
        sa.Column("one", sa.Boolean(), primary_key=True, server_default=sa.true(), comment="There is one row."),
        sa.Column("url", sa.Text(), nullable=False, comment="The lake's root."),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="When it was first used."
        ),
        sa.CheckConstraint("one"),
        schema="control",
        comment="The lake whose files this database speaks of.",
    )


def downgrade() -> None:
    """Removes the table and the column. Files keep their ids: of two that differ in the extension alone, the old ones are the same."""
    op.drop_table("lake", schema="control")
    op.drop_column("files", "awaits_reference", schema="control")
