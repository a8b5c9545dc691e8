"""Who put a withdrawn file in again, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the two columns to the ledger, and an index over withdrawn files."""
    op.add_column("files", sa.Column("reinstated_by", sa.Text(), comment="Who handed its bytes in again after that."), schema="control")
    op.add_column("files", sa.Column("reinstated_at", sa.DateTime(timezone=True), comment="When."), schema="control")
    # Withdrawals of days long ago are looked for every few seconds; they are few.
    op.create_index("files_withdrawn", "files", ["run_date"], schema="control", postgresql_where=sa.text("withdrawn_at IS NOT NULL"))


def downgrade() -> None:
    """Removes them."""
    op.drop_index("files_withdrawn", "files", schema="control")
    op.drop_column("files", "reinstated_at", schema="control")
    op.drop_column("files", "reinstated_by", schema="control")
