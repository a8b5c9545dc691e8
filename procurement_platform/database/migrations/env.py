"""What alembic runs for each command: the migrations, on the connection that `migrate` gives, inside its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="schema_version", version_table_schema="control")
context.run_migrations()
