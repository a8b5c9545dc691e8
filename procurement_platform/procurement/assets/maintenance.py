"""Maintenance as assets: no run dates, one run of all of them a day where the schedule is on. What they did is in their metadata."""

from typing import Any

import dagster as dg

from procurement_platform.lake.maintenance.listing import Line
from procurement_platform.partitions import daily
from procurement_platform.platform import platform_for
from procurement_platform.procurement.assets.shared import OWNERS
from procurement_platform.procurement.maintenance import compact, expire, orphans, retention
from procurement_platform.settings import settings

GROUP = "maintenance"
SHOWN = 200  # lines in the table of a materialisation


@dg.asset(
    group_name=GROUP, owners=OWNERS, kinds={"parquet", "sql"}, description="Order and stock lines in many small files are put together."
)
def small_files_compacted() -> dg.MaterializeResult[Any]:
    """Runs `maintain compact` on a share of the dates."""
    return _result(compact(platform_for(settings()), everything=False))


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    deps=[small_files_compacted],
    description="Old runs of all dates, and files as sent whose time is over, are removed.",
)
def old_runs_removed() -> dg.MaterializeResult[Any]:
    """Runs `maintain retention` on a share of the dates."""
    return _result(retention(platform_for(settings()), everything=False))


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"iceberg"},
    deps=[old_runs_removed],
    description="Each table keeps its newest snapshots, others are expired.",
)
def snapshots_expired() -> dg.MaterializeResult[Any]:
    """Runs `maintain expire`."""
    return _result(expire(platform_for(settings())))


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "iceberg"},
    deps=[snapshots_expired],
    description="Files that nothing names are removed.",
)
def orphans_removed() -> dg.MaterializeResult[Any]:
    """Runs `maintain orphans` on a share of the dates."""
    return _result(orphans(platform_for(settings()), everything=False))


MAINTENANCE = (small_files_compacted, old_runs_removed, snapshots_expired, orphans_removed)
maintenance_job = dg.define_asset_job(
    "maintenance", selection=dg.AssetSelection.groups(GROUP), description="Removes what nobody needs any more, in all layers but the inbox."
)
maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_at_night",
    job=maintenance_job,
    cron_schedule="30 3 * * *",
    execution_timezone=daily.timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,  # what removes files is switched on by a person
    description="Maintenance at 03:30, where it is switched on.",
)


def _result(lines: list[Line]) -> dg.MaterializeResult[Any]:
    records = [dg.TableRecord({"what": x.what, "did": x.did, "count": x.count, "bytes": x.bytes, "note": x.note}) for x in lines[:SHOWN]]
    kinds = ("string", "string", "int", "int", "string")
    columns = [dg.TableColumn(name, kind) for name, kind in zip(("what", "did", "count", "bytes", "note"), kinds, strict=True)]
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.did] = counts.get(line.did, 0) + line.count
    return dg.MaterializeResult(
        metadata={
            **counts,
            "bytes": sum(line.bytes for line in lines),
            "lines": dg.MetadataValue.table(records, schema=dg.TableSchema(columns)),
        }
    )
