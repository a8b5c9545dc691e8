"""The database's schema: which revision it has, and how it is brought to this version's. Alembic is imported only when there is something to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from procurement_platform.errors import ConfigurationError

HEAD = "0001"  # the newest file of migrations/, told here so that a warm start imports no alembic
MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7270219


def revision(connection: psycopg.Connection) -> str | None:
    """The revision that the database has; None: none yet. The connection is in autocommit mode."""
    try:
        row = connection.execute("SELECT version_num FROM control.schema_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return str(row[0]) if row else None


def migrate(connect: Callable[[], psycopg.Connection], target: str = HEAD) -> None:
    """Brings the database to a revision (`base`: to none), in one transaction; of processes that do it at once, one does it and the others wait.

    Raises:
        ConfigurationError: the database has a revision that this version does not know.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from sqlalchemy import NullPool, create_engine, text

    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])

    def steps(stored: Any, _context: Any) -> Any:
        try:
            script.get_revisions(stored)
        except CommandError:
            raise ConfigurationError(
                f"the database has schema revision {', '.join(stored)}, which this version of the platform does not know (its newest is {HEAD}):"
                " a newer version made it; install that one"
            ) from None
        return script._downgrade_revs(target, stored) if target == "base" else script._upgrade_revs(target, stored)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS control"))
        with EnvironmentContext(Config(), script, fn=steps) as environment:
            environment.configure(connection=connection, version_table="schema_version", version_table_schema="control")
            environment.run_migrations()
