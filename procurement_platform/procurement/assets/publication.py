"""The end of the day: the exceptions report, and the published day."""

from collections import Counter
from collections.abc import Iterator

import dagster as dg

from procurement_platform.dayrun import DayRun
from procurement_platform.lake.parquet import read_batches
from procurement_platform.lake.tables import Column
from procurement_platform.procurement import publication
from procurement_platform.procurement.assets.day import crash_is_recorded
from procurement_platform.procurement.assets.preview import WHOLE, column_schema, preview, rows_table
from procurement_platform.procurement.assets.shared import Event, check_spec, lineage_metadata, spec
from procurement_platform.procurement.endings import CRASH_CHECK
from procurement_platform.procurement.reference.pins import refreshed
from procurement_platform.quality.violations import VIOLATIONS

MANIFEST = (
    Column("file", "varchar", "The file's stable path below the lake's root.", required=True),
    Column("rows", "bigint", "Its rows, without the header.", required=True),
    Column("bytes", "bigint", "Its size.", required=True),
    Column("sha256", "varchar", "SHA-256 of its bytes.", required=True),
)


@dg.multi_asset(
    name="exceptions",
    specs=[
        spec(
            "exceptions",
            "The day's report: what was wrong, how grave it is, and who must mend it.",
            [
                *("raw_orders", "raw_stock", "order_lines", "stock_lines", "quarantine"),
                *("net_demand", "supplier_orders", "reference_markets"),
            ],
            frozenset({"sql", "csv"}),
            VIOLATIONS,
        )
    ],
    check_specs=[
        check_spec(CRASH_CHECK, "exceptions", "The day's last run neither failed nor was killed. (CRITICAL)", blocking=False),
    ],
    hooks={crash_is_recorded},
)
def exceptions(day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Unites the violations of the day."""
    with day.step("exceptions"):
        report = publication.make_exceptions(day)
        kept = day.platform.lake.path(report.path.rsplit("/", 1)[0], publication.KEPT_ROWS)
        rules: Counter[str] = Counter()
        for batch in read_batches(day.platform.lake, kept, ["rule"]):
            rules.update(map(str, batch["rule"].to_pylist()))
        yield dg.MaterializeResult(
            asset_key="exceptions",
            metadata={
                "dagster/row_count": report.rows,
                "dagster/column_schema": column_schema(VIOLATIONS.columns),
                "path": dg.MetadataValue.path(f"/{report.stable}"),
                "preview": preview(day.platform.lake, [kept], day.platform.settings.preview_rows),
                "lines per rule": dg.MetadataValue.json(dict(sorted(rules.items()))),
                **lineage_metadata(day, "exceptions"),
            },
            data_version=dg.DataVersion(report.sha256[:32]),
        )
        yield dg.AssetCheckResult(asset_key="exceptions", check_name=CRASH_CHECK, passed=True, severity=dg.AssetCheckSeverity.ERROR)


@dg.multi_asset(
    name="published_day",
    specs=[
        spec(
            "published_day",
            "The day as buyers see it: one row names the run of every table and every CSV file with its SHA-256.",
            ["supplier_orders", "supplier_order_allocations", "exceptions", "quarantine"],
            frozenset({"csv", "postgres"}),
            columns=MANIFEST,
        )
    ],
    hooks={crash_is_recorded},
)
def published_day(day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Makes the day visible to buyers."""
    with day.step("published_day"):
        published = publication.publish_day(day)
        files = [(f"/{f.stable}", f.rows, f.bytes, f.sha256) for f in published.manifest]
        names = [column.name for column in MANIFEST]
        yield dg.MaterializeResult(
            asset_key="published_day",
            metadata={
                "dagster/row_count": len(files),
                "dagster/column_schema": column_schema(MANIFEST),
                "rows in the files": sum(f.rows for f in published.manifest),
                "path": dg.MetadataValue.path(f"/{publication.orders_folder(day.run_date)}/"),
                "preview": rows_table(names, files[: day.platform.settings.preview_rows]),
                "manifest": rows_table(names, files, most=WHOLE),
                "runs": dg.MetadataValue.json(dict(published.tables)),
                "reference tables newer than at the first run": ", ".join(refreshed(day.platform, day.run_date)) or "none",
            },
            data_version=dg.DataVersion(published.run_id),
        )
