"""The reference snapshots: the version of each reference table that the day uses."""

from collections.abc import Iterator

import dagster as dg

from procurement_platform.dayrun import DayRun
from procurement_platform.lake.parquet import footer
from procurement_platform.procurement.assets.day import crash_is_recorded
from procurement_platform.procurement.assets.preview import column_schema, preview
from procurement_platform.procurement.assets.shared import Event, spec
from procurement_platform.procurement.reference.pins import pin, relations
from procurement_platform.procurement.reference.tables import BY_NAME, REFERENCE_TABLES


class ReferenceConfig(dg.Config):
    """Whether the day takes the reference tables as they are now, in place of the versions pinned for it."""

    refresh: bool = False


@dg.multi_asset(
    name="reference",
    specs=[
        spec(
            f"reference_{table.name}",
            f"{table.doc} The version pinned for the day.",
            kinds=frozenset({"postgres", "parquet"}),
            columns=table.columns,
        )
        for table in REFERENCE_TABLES
    ],
    hooks={crash_is_recorded},
)
def reference(day: dg.ResourceParam[DayRun], config: ReferenceConfig) -> Iterator[Event]:
    """Pins the day's reference versions, or keeps those pinned."""
    with day.step("reference"):
        pins = pin(day.platform, day.run_date, refresh=config.refresh)
        known = relations(day.platform, pins)  # which says what to do where a version's file is gone
        for name, pinned in pins.items():
            (path,) = known[name].files
            yield dg.MaterializeResult(
                asset_key=f"reference_{name}",
                metadata={
                    "dagster/column_schema": column_schema(BY_NAME[name].columns),
                    "dagster/row_count": footer(day.platform.lake, path).num_rows,
                    "path": dg.MetadataValue.path(f"/{pinned.path}"),
                    "version": pinned.version,
                    "pinned at": pinned.pinned_at.isoformat(timespec="seconds"),
                    "refreshed": pinned.refreshed,
                    "preview": preview(day.platform.lake, [path], day.platform.settings.preview_rows),
                },
                data_version=dg.DataVersion(pinned.version),
            )
