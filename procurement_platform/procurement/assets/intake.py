"""The intake assets, one pass over the day's files: raw copies, accepted lines, quarantine."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from procurement_platform.dayrun import DayRun
from procurement_platform.errors import PromiseBroken
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.lake.tables import Column
from procurement_platform.procurement.assets.day import crash_is_recorded
from procurement_platform.procurement.assets.preview import WHOLE, column_schema, rows_table
from procurement_platform.procurement.assets.shared import (
    CONSERVATION,
    Event,
    promise_result,
    promise_spec,
    rule_results,
    rule_specs,
    spec,
    table_result,
)
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.procurement.intake import take_in
from procurement_platform.quality.rules import (
    CONFLICTING_ORDER,
    DUPLICATE_ORDER,
    INVALID_FILE,
    INVALID_ROW,
    MISSING_FILE,
    STOCK_LOGIC,
    UNKNOWN_PRODUCT,
    Rule,
)

FILE_RULES = (MISSING_FILE, INVALID_FILE)
LINE_RULES = (INVALID_ROW, UNKNOWN_PRODUCT, CONFLICTING_ORDER, DUPLICATE_ORDER)
GROWING = "files still being written"  # what a run leaves out; whoever started it reads it from the materialisation
RULES_OF: dict[str, tuple[Rule, ...]] = {
    "raw_orders": FILE_RULES,
    "raw_stock": FILE_RULES,
    "order_lines": LINE_RULES,
    "stock_lines": (*LINE_RULES, STOCK_LOGIC),
}
SENT = (
    Column("file", "varchar", "The file's name as sent.", required=True),
    Column("market", "varchar", "The market that its name says.", required=True),
    Column("state", "varchar", "`accepted` or `rejected`.", required=True),
    Column("rows", "bigint", "The rows in it, where it could be read."),
    Column("size_bytes", "bigint", "Its size.", required=True),
    Column("file_id", "varchar", "The ledger's id of it: 16 hexadecimal digits from its identity and content.", required=True),
    Column("sha256", "varchar", "SHA-256 of its bytes.", required=True),
    Column("reason", "varchar", "Why it was rejected; of an accepted one, what is worth knowing."),
)
# Both for every asset of this step, directly or not: Dagster refuses a backfill of assets made together unless each is reached from one
# root or each from several (TimeWindowPartitionsSubset compares by == without what != compares).
REFERENCE = ("reference_markets", "reference_products")


@dg.multi_asset(
    name="intake",
    specs=[
        *(
            spec(feed.raw_asset, f"{feed.doc} The bytes as sent, a ledger row per file.", REFERENCE, frozenset({"file"}), columns=SENT)
            for feed in FEEDS
        ),
        *(
            spec(feed.lines.name, feed.lines.doc, [feed.raw_asset, "reference_products"], frozenset({"parquet", "iceberg"}), feed.lines)
            for feed in FEEDS
        ),
        spec("quarantine", QUARANTINE.doc, ["raw_orders", "raw_stock"], frozenset({"parquet", "iceberg"}), QUARANTINE),
    ],
    check_specs=[
        *(check for asset, rules in RULES_OF.items() for check in rule_specs(asset, rules)),
        *(promise_spec(feed.lines.name, "Rows and units sent = accepted + quarantined + duplicates.") for feed in FEEDS),
    ],
    hooks={crash_is_recorded},
)
def intake(context: dg.AssetExecutionContext, day: dg.ResourceParam[DayRun]) -> Iterator[Event]:
    """Takes in the day's files, and tells of each file, each table and each rule."""
    with day.step("intake"):
        try:
            taken = take_in(day)
        except PromiseBroken as broken:
            tables = [feed.lines.name for feed in FEEDS]
            for table in [broken.table] if broken.table in tables else tables:
                yield dg.AssetCheckResult(asset_key=table, check_name=CONSERVATION, passed=False, metadata={"why": str(broken)})
            raise
        if taken.growing:
            context.log.warning("Still being written, left for a later run: %s", ", ".join(taken.growing))
        for warning in taken.warnings:
            context.log.warning("%s", warning)
        for feed in FEEDS:
            growing = [name for name in taken.growing if name.startswith(f"{feed.name} ")]
            yield _raw_result(day, feed, [f for f in taken.files if f.feed == feed.name], growing)
        for published in taken.outcome.tables:
            yield table_result(day, published)
        for feed in FEEDS:
            yield promise_result(feed.lines.name, taken.outcome.promises[feed.name])
        for found in taken.outcome.found:
            for asset, rules in RULES_OF.items():
                yield from rule_results(day, asset, rules, found)


def _raw_result(day: DayRun, feed: Feed, files: Sequence[LedgerFile], growing: Sequence[str]) -> dg.MaterializeResult[Any]:
    accepted = sorted((f for f in files if f.state == "accepted"), key=lambda f: (f.file_name, f.file_id))
    shown = [(f.file_name, f.market, f.state, f.rows, f.size_bytes, f.file_id, f.sha256, f.reason or f.notes) for f in files]
    names = [column.name for column in SENT]
    return dg.MaterializeResult(
        asset_key=feed.raw_asset,
        metadata={
            "dagster/row_count": len(files),
            "dagster/column_schema": column_schema(SENT),
            "files accepted": len(accepted),
            "files rejected": sum(f.state == "rejected" for f in files),
            GROWING: dg.MetadataValue.json(list(growing)),
            "rows in the accepted files": sum(f.rows or 0 for f in accepted),
            "bytes": sum(f.size_bytes for f in accepted),
            "path": dg.MetadataValue.path(f"/raw/{feed.name}/{day.run_date.isoformat()}/"),
            "preview": rows_table(names, shown[: day.platform.settings.preview_rows]),
            "files": rows_table(names, shown, most=WHOLE),
        },
        data_version=dg.DataVersion("-".join(f.file_id for f in accepted)[:200] or "none"),
    )
