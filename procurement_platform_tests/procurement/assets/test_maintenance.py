"""The maintenance assets: one job, no run dates, what was done in the metadata; the day's sensors leave their runs alone."""

import os

import dagster as dg

from procurement_platform.definitions import defs
from procurement_platform.procurement.assets.maintenance import MAINTENANCE, maintenance_schedule
from procurement_platform.procurement.endings import findings, run_date_of, trace
from procurement_platform.procurement.tables import TABLES
from procurement_platform_tests.procurement.shop import DAY, Shop, order


def test_the_job_runs_every_task_and_says_what_each_did(shop: Shop) -> None:
    shop.put("orders", "DE", [order("1", "A", 20)])
    shop.all_counted()
    shop.run()
    stray = f"processed/net_demand/{DAY}/forgotten/part-0.parquet"
    shop.platform.lake.write(stray, b"12345")
    for path in (stray, stray.rpartition("/")[0]):
        os.utime(shop.platform.lake.path(path), (0, 0))
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("maintenance").execute_in_process(instance=instance)
        assert result.success
        made = {
            event.asset_key.to_user_string(): event.materialization
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }
        assert list(made) == ["small_files_compacted", "old_runs_removed", "snapshots_expired", "orphans_removed"]
        told = made["orphans_removed"].metadata
        assert (told["files removed"].value, told["bytes"].value) == (1, 5)
        lines = told["lines"]
        assert isinstance(lines, dg.TableMetadataValue)
        assert [dict(record.data)["what"] for record in lines.records] == [f"processed/net_demand/{DAY}"]
        assert made["snapshots_expired"].metadata["snapshots expired"].value == 0
        shown = made["snapshots_expired"].metadata["lines"]
        assert isinstance(shown, dg.TableMetadataValue)
        assert {dict(record.data)["what"] for record in shown.records} == {table.name for table in TABLES}

        record = instance.get_run_record_by_id(result.run_id)
        assert record is not None
        assert run_date_of(record.dagster_run) is None
        assert not trace(shop.platform, instance, record)
        assert list(findings(shop.platform, instance, record.dagster_run)) == []
    assert not shop.platform.lake.exists(stray)


def test_the_schedule_runs_at_night_in_the_platforms_time_zone_and_is_off() -> None:
    assert maintenance_schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert (maintenance_schedule.cron_schedule, maintenance_schedule.execution_timezone) == ("30 3 * * *", "UTC")
    assert {asset.key for asset in MAINTENANCE} == set(defs.resolve_job_def("maintenance").asset_layer.executable_asset_keys)
