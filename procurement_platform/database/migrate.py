"""The database's schema: its revision, and how it is brought to this version's. Alembic is imported only when there is something to do."""

from collections.abc import Callable
from pathlib import Path

import psycopg

from procurement_platform.errors import ConfigurationError

HEAD = "0004"  # the newest file of migrations/versions/, told here so that a warm start imports no alembic
MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7270219


def revision(connection: psycopg.Connection) -> str | None:
    """The revision that the database has; None: none yet. The connection is in autocommit mode."""
    try:
        row = connection.execute("SELECT version_num FROM control.schema_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return str(row[0]) if row else None


def migrate(connect: Callable[[], psycopg.Connection], *, down: bool = False, to: str = HEAD) -> None:
    """Brings the database up to a revision (`down`: to none) in one transaction. Processes that do so at once wait for the first.

    Raises:
        ConfigurationError: the database has a revision that this version does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import NullPool, create_engine, text

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS control"))
        if connection.execute(text("SELECT to_regclass('control.schema_version')")).scalar() is not None:
            stored = connection.execute(text("SELECT version_num FROM control.schema_version")).scalar()
            if stored is not None and stored not in known:
                raise ConfigurationError(
                    f"the database has schema revision {stored}, and this version of the platform knows none after {HEAD}:"
                    " a newer version made it; install that one"
                )
        config.attributes["connection"] = connection
        if down:
            command.downgrade(config, "base")
        else:
            command.upgrade(config, to)
