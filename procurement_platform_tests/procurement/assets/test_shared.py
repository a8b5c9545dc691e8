"""What the UI shows of each asset and each check, asked of Dagster after a day has run through it."""

from typing import Any

import dagster as dg
import pytest

from procurement_platform.definitions import defs
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.procurement.assets import KEYS
from procurement_platform.procurement.assets.lineage import MADE
from procurement_platform.quality.rules import PIPELINE_CRASH, RULES
from procurement_platform.settings import settings
from procurement_platform_tests.procurement.assets.conftest import RunDay
from procurement_platform_tests.procurement.shop import Shop, count, order

BY_CHECK = {rule.check_name: rule for rule in RULES if rule is not PIPELINE_CRASH}
BLOCKING = {"aggregated_orders", "net_demand", "order_lines", "stock_lines", "supplier_orders"}


@pytest.fixture
def busy(desk: Shop) -> Shop:
    """A day with something of everything: good rows, each rule's violation, a rejected file, a missing one."""
    lines = [order("1", "A", 20), order("1", "A", 20), order("2", "B", -1), order("3", "GONE", 2), order("4", "N", 1)]
    desk.put("orders", "DE", [*lines, order("5", "B", 1, line_number=1), order("5", "B", 2, line_number=1)])
    desk.put("stock", "DE", [count("A", 10, 12), count("B", 1)])
    desk.put("orders", "GB", [order("9", "A", 1)])
    desk.put_bytes("orders", "JP.csv", b"not,a,file\nof,or,ders\n")
    return desk


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """What each asset's materialisation shows."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        assert event.asset_key is not None
        found[event.asset_key.to_user_string()] = {name: value.value for name, value in event.materialization.metadata.items()}
    return found


def test_every_asset_shows_what_it_is_and_what_a_day_made_of_it(busy: Shop, run_day: RunDay) -> None:
    result = run_day()
    assert result.success
    graph = defs.resolve_asset_graph()
    shown = materialised(result)
    assert {dg.AssetKey(name) for name in shown} == KEYS == defs.resolve_job_def("procurement_day").asset_layer.executable_asset_keys
    for name, metadata in shown.items():
        node = graph.get(dg.AssetKey(name))
        assert node.description, name
        assert node.description.endswith("."), name
        assert node.owners == ["team:procurement-data"], name
        assert node.kinds, name
        assert node.freshness_policy is not None, name
        assert node.group_name == "procurement", name

        assert metadata["dagster/row_count"] > 0, name
        paths = [value for key, value in metadata.items() if key.split()[0] == "path"]
        assert len(paths) == (len(QUARANTINE.feeds) if name == QUARANTINE.name else 1), name
        for path in paths:
            assert path.startswith("/"), name
            assert str(busy.platform.settings.home) not in path, name
            assert busy.platform.lake.exists(path.strip("/")), f"{name}: {path}"
        columns = metadata["dagster/column_schema"].columns
        assert columns, name
        assert all(column.description and column.type for column in columns), name
        assert metadata["dagster/column_schema"] == node.metadata["dagster/column_schema"], name
        header, _, *rows = metadata["preview"].splitlines()
        assert [cell.strip() for cell in header.strip("|").split("|")] == [column.name for column in columns], name
        assert len(rows) == min(metadata["dagster/row_count"], busy.platform.settings.preview_rows), name

    assert {name for name, metadata in shown.items() if "dagster/column_lineage" in metadata} == MADE.keys()
    for name in MADE:
        lineage = shown[name]["dagster/column_lineage"].deps_by_column
        assert lineage.keys() == {column.name for column in shown[name]["dagster/column_schema"].columns}, name
        named = {dep.asset_key for deps in lineage.values() for dep in deps}
        assert named, name
        assert named <= graph.get(dg.AssetKey(name)).parent_keys, name
        assert all(
            f"{dep.asset_key.to_user_string()}.{dep.column_name}" in shown[name]["column lineage"]
            for deps in lineage.values()
            for dep in deps
        )
    assert {name for name, metadata in shown.items() if "plot" in metadata} == {"net_demand", "supplier_orders"}
    assert all("data:image/svg+xml;base64," in shown[name]["plot"] for name in ("net_demand", "supplier_orders"))

    assert "JP.csv | JP | rejected" in shown["raw_orders"]["preview"]
    assert "JP.csv" in shown["raw_orders"]["files"]
    assert "lacks the columns" in shown["raw_orders"]["files"]
    assert "/output/supplier_orders/2025-12-20/S1.csv" in shown["published_day"]["preview"]
    assert shown["published_day"]["dagster/row_count"] == len(busy.csvs()) + 1  # and the report
    assert shown["exceptions"]["lines per rule"]["INVALID_FILE"] == 1


def test_every_rule_is_a_check_whose_threshold_decides(busy: Shop, run_day: RunDay, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = _of_rules(run_day())
    for name, rule in BY_CHECK.items():
        found = [each for each in strict if each.check_name == name]
        broken = [each for each in found if not each.passed]
        assert broken, name
        for each in found:
            assert each.metadata["threshold"].value == 0, name
            assert (_rows(each) > 0) is (each in broken), name
            assert each.severity == (dg.AssetCheckSeverity.WARN if rule.severity == "MEDIUM" else dg.AssetCheckSeverity.ERROR), name
            assert not each.blocking, name
        assert all(each.metadata["examples"].value for each in broken), name
        monkeypatch.setenv(f"PROCUREMENT_THRESHOLD_{rule.name}", str(max(map(_rows, broken))))
    busy.platform.close()
    settings.cache_clear()

    lenient = _of_rules(run_day())
    assert [_rows(each) for each in lenient] == [_rows(each) for each in strict]
    assert [each.check_name for each in lenient if not each.passed] == []
    assert all(each.metadata["threshold"].value for each in lenient)


def test_what_must_hold_before_a_commit_is_a_blocking_check_that_shows_its_figures(busy: Shop, run_day: RunDay) -> None:
    promises = [each for each in run_day().get_asset_check_evaluations() if each.check_name == "conservation"]
    assert {each.asset_key.to_user_string() for each in promises} == BLOCKING
    graph = defs.resolve_asset_graph()
    for each in promises:
        assert each.passed, each.asset_key
        assert graph.get_check_spec(dg.AssetCheckKey(each.asset_key, each.check_name)).blocking, each.asset_key
        assert each.metadata, each.asset_key


def _of_rules(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    assert result.success
    return [each for each in result.get_asset_check_evaluations() if each.check_name in BY_CHECK]


def _rows(check: dg.AssetCheckEvaluation) -> int:
    return int(str(check.metadata["rows"].value))
