"""A run that a table is taken back to is known as such before the table says so."""

from alembic import op

revision = "0004"
down_revision = "0003"

_NAME, _TABLE = "table_run_state_is_known", "table_runs"


def upgrade() -> None:
    """Allows the state `restoring`."""
    op.drop_constraint(_NAME, _TABLE, schema="control", type_="check")
    op.create_check_constraint(_NAME, _TABLE, "state IN ('staged', 'committed', 'superseded', 'restoring')", schema="control")
    op.execute(
        "COMMENT ON COLUMN control.table_runs.state IS"
        " '`staged`, `committed`, `superseded` by a later run, or `restoring` while the table is taken back to it.'"
    )


def downgrade() -> None:
    """Runs that were being gone back to count as superseded: the table's next commit settles it."""
    op.execute("UPDATE control.table_runs SET state = 'superseded' WHERE state = 'restoring'")
    op.drop_constraint(_NAME, _TABLE, schema="control", type_="check")
    op.create_check_constraint(_NAME, _TABLE, "state IN ('staged', 'committed', 'superseded')", schema="control")
    op.execute("COMMENT ON COLUMN control.table_runs.state IS '`staged`, `committed` or `superseded` by a later run.'")
