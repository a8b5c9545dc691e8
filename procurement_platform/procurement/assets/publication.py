"""The end of the day: the exceptions report, and the published day."""

from collections import Counter
from collections.abc import Iterator

import dagster as dg
import pyarrow.parquet as pq

from procurement_platform.dayrun import DayRun
from procurement_platform.procurement import publication
from procurement_platform.procurement.assets.day import crash_is_recorded
from procurement_platform.procurement.assets.preview import column_schema, preview
from procurement_platform.procurement.assets.shared import Event, check_spec, spec
from procurement_platform.procurement.endings import CRASH_CHECK
from procurement_platform.quality.violations import VIOLATIONS


@dg.multi_asset(
    name="exceptions",
    specs=[
        spec(
            "exceptions",
            "The day's report: what was wrong, how grave it is, and who must mend it.",
            ["order_lines", "stock_lines", "net_demand", "supplier_orders"],
            frozenset({"csv"}),
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
        rules = Counter(str(rule) for rule in pq.read_table(kept, columns=["rule"])["rule"].to_pylist())
        yield dg.MaterializeResult(
            asset_key="exceptions",
            metadata={
                "dagster/row_count": report.rows,
                "dagster/column_schema": column_schema(VIOLATIONS),
                "path": dg.MetadataValue.path(f"/{report.stable}"),
                "preview": preview([kept], day.platform.settings.preview_rows),
                "lines per rule": dg.MetadataValue.json(dict(sorted(rules.items()))),
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
        )
    ],
    hooks={crash_is_recorded},
)
def published_day(day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Makes the day visible to buyers."""
    with day.step("published_day"):
        published = publication.publish_day(day)
        lines = "\n".join(f"| /{f.stable} | {f.rows} | {f.sha256[:16]}… |" for f in published.manifest)
        yield dg.MaterializeResult(
            asset_key="published_day",
            metadata={
                "dagster/row_count": sum(f.rows for f in published.manifest),
                "path": dg.MetadataValue.path(f"/{publication.orders_folder(day.run_date)}/"),
                "manifest": dg.MetadataValue.md(f"| file | rows | SHA-256 |\n| --- | --- | --- |\n{lines}"),
                "runs": dg.MetadataValue.json(dict(published.tables)),
            },
            data_version=dg.DataVersion(published.run_id),
        )
