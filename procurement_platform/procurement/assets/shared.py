"""What every asset of the domain has in common: how it is described, what a materialisation shows, how a check is told."""

import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from procurement_platform.dayrun import DayRun
from procurement_platform.engines.queries import Lineage
from procurement_platform.errors import PromiseBroken
from procurement_platform.lake.publish import Published
from procurement_platform.lake.tables import Column, Table
from procurement_platform.partitions import daily
from procurement_platform.procurement.assets.lineage import MADE, column_sources
from procurement_platform.procurement.assets.preview import column_lineage, column_schema, lineage_table, preview
from procurement_platform.procurement.derive import Found, Outcome
from procurement_platform.quality.rules import Rule
from procurement_platform.quality.tally import Tally

GROUP = "procurement"
NINE_HOURS = dt.timedelta(hours=9)
OWNERS = ["team:procurement-data"]
CONSERVATION = "conservation"
Event = dg.MaterializeResult[Any] | dg.AssetCheckResult
_lineage: dict[str, Lineage] = {}  # of the SQL files alone: the same for every run of a process


def spec(
    key: str,
    doc: str,
    deps: Sequence[str] = (),
    kinds: frozenset[str] = frozenset(),
    table: Table | None = None,
    columns: Sequence[Column] = (),
) -> dg.AssetSpec:
    """An asset of the domain: partitioned by run date, owned, described, due every day. `columns` are those of one that is no table."""
    metadata: dict[str, Any] = {"dagster/column_schema": column_schema(table.columns if table is not None else columns)}
    if table is not None:
        metadata |= {"dagster/table_name": table.name, "folder": f"/{table.location}/"}
    return dg.AssetSpec(
        key,
        deps=list(deps),
        description=doc,
        group_name=GROUP,
        owners=OWNERS,
        kinds=set(kinds),
        partitions_def=daily,
        metadata=metadata,
        freshness_policy=dg.FreshnessPolicy.cron(deadline_cron="0 9 * * *", lower_bound_delta=NINE_HOURS, timezone=daily.timezone),
    )


def rule_specs(asset: str, rules: Sequence[Rule]) -> list[dg.AssetCheckSpec]:
    """The checks that count an asset's violations: one per rule, none of them blocking."""
    return [check_spec(rule.check_name, asset, f"{rule.doc} ({rule.severity})", blocking=False) for rule in rules]


def promise_spec(asset: str, doc: str) -> dg.AssetCheckSpec:
    """A promise that is checked on the staged files: where it is broken nothing is committed."""
    return check_spec(CONSERVATION, asset, doc, blocking=True)


def check_spec(name: str, asset: str, doc: str, *, blocking: bool) -> dg.AssetCheckSpec:
    """A check whose results belong to run dates, as its asset does."""
    with warnings.catch_warnings():
        # Dagster calls partitioned checks a preview; without the partition a result would hide those of other days.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, description=doc, blocking=blocking, partitions_def=daily)


def rule_results(run: DayRun, asset: str, rules: Sequence[Rule], found: Found) -> Iterator[dg.AssetCheckResult]:
    """A result per rule: passed up to the rule's threshold; WARN for MEDIUM, ERROR above."""
    for rule in rules:
        tally = found.tallies.get((asset, rule.name), Tally())
        rows = tally.rows
        allowed = rule.threshold(run.platform.settings)
        metadata: dict[str, Any] = {"rows": rows, "lines in the report": tally.lines, "threshold": allowed}
        if tally.lines:
            metadata["units"] = str(tally.units)
            metadata["fingerprint"] = tally.fingerprint
            metadata["examples"] = dg.MetadataValue.md("\n".join(f"- {message}" for message in tally.examples))
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=rule.check_name,
            passed=rows <= allowed,
            severity=dg.AssetCheckSeverity.WARN if rule.severity == "MEDIUM" else dg.AssetCheckSeverity.ERROR,
            description=f"{rows} {'row' if rows == 1 else 'rows'}, {allowed} allowed" if rows else "none found",
            metadata=metadata,
        )


def promise_result(asset: str, figures: Mapping[str, object]) -> dg.AssetCheckResult:
    """A kept promise, with the figures that agree."""
    return dg.AssetCheckResult(
        asset_key=asset, check_name=CONSERVATION, passed=True, metadata={name: str(value) for name, value in figures.items()}
    )


def lineage_metadata(run: DayRun, asset: str) -> dict[str, Any]:
    """Which assets' columns each column of an asset that SQL makes is computed from."""
    if asset not in _lineage:
        _lineage[asset] = column_sources(run.platform.query, MADE[asset])
    lineage = _lineage[asset]
    return {"dagster/column_lineage": column_lineage(lineage), "column lineage": lineage_table(lineage)}


def table_result(run: DayRun, published: Published, **more: Any) -> dg.MaterializeResult[Any]:
    """What a materialisation of a table shows: rows, path, schema, lineage where SQL made it, a preview."""
    table = published.table
    metadata: dict[str, Any] = {
        "dagster/row_count": published.rows,
        "dagster/column_schema": column_schema(table.columns),
        **_paths(table, published),
        "preview": preview(run.platform.lake, published.files, run.platform.settings.preview_rows),
        **more,
    }
    if table.name in MADE:
        metadata |= lineage_metadata(run, table.name)
    return dg.MaterializeResult(asset_key=table.name, metadata=metadata, data_version=dg.DataVersion(published.content_hash[:32]))


def _paths(table: Table, published: Published) -> dict[str, dg.MetadataValue]:
    """The folder of the run's files; of a table with one per feed each of them, by its feed."""
    names = [f"path of {feed}" for feed in table.feeds] or ["path"]
    folders = table.run_folders(published.run_date, published.run_id)
    return {name: dg.MetadataValue.path(f"/{folder}/") for name, folder in zip(names, folders, strict=True)}


def keeping_promises(assets: Sequence[str], make: Callable[[], Outcome]) -> Iterator[Outcome | dg.AssetCheckResult]:
    """The step's outcome; where it breaks a promise, first the failed check (so that it is kept), then the error."""
    try:
        outcome = make()
    except PromiseBroken as broken:
        for asset in assets:
            yield dg.AssetCheckResult(asset_key=asset, check_name=CONSERVATION, passed=False, metadata={"why": str(broken)})
        raise
    yield outcome
