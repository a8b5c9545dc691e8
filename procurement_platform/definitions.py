"""What Dagster loads: `dagster dev`, `dg launch` and every command build the same definitions here."""

from collections.abc import Mapping

import dagster as dg

from procurement_platform.procurement.assets import ASSETS
from procurement_platform.procurement.assets.day import day_run
from procurement_platform.procurement.assets.maintenance import MAINTENANCE, maintenance_job, maintenance_schedule
from procurement_platform.procurement.jobs import procurement_day
from procurement_platform.procurement.sensors import SENSORS


def build_definitions(overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """The platform's definitions; `overrides` replaces resources, for tests."""
    return dg.Definitions(
        assets=[*ASSETS, *MAINTENANCE],
        jobs=[procurement_day, maintenance_job],
        schedules=[maintenance_schedule],
        sensors=SENSORS,
        resources={"day": day_run, **(overrides or {})},
        executor=dg.in_process_executor,  # ten small assets take a tenth of what one process each would
    )


defs = build_definitions()
