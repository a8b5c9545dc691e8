"""The `procurement` command: a module per sub-command, none of which imports an engine, Dagster or the database before it is called."""

from procurement_platform.cli.app import main

__all__ = ["main"]
