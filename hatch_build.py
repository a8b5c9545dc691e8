"""Puts the project's files that are not Python into the wheel, where `procurement_platform.project` finds them.

A hook and no `force-include` table: the table would copy them into editable installs, too, which must read the checkout.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProjectFiles(BuildHookInterface):
    """Copies `sql/`, `deploy/stack/` and `dagster.yaml` below `procurement_platform/_project/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is `standard` or `editable`."""
        if version == "standard":
            for name in ("sql", "deploy/stack", "dagster.yaml"):
                build_data["force_include"][name] = f"procurement_platform/_project/{name}"
