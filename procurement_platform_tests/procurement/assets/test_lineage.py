"""What SQL makes an asset of is what the graph says it reads, and lineage names columns that are there."""

import re

import dagster as dg
import pytest

from procurement_platform.definitions import defs
from procurement_platform.engines.queries import load_query
from procurement_platform.procurement.assets import KEYS
from procurement_platform.procurement.assets.lineage import FOUND, MADE, Made, assets_read, column_sources
from procurement_platform.project import project_file

GRAPH = defs.resolve_asset_graph()


def columns(asset: str) -> set[str]:
    schema = GRAPH.get(dg.AssetKey(asset)).metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    return {column.name for column in schema.columns}


def test_every_asset_that_sql_makes_is_known() -> None:
    assert {key.to_user_string() for key in KEYS if "sql" in GRAPH.get(key).kinds} == MADE.keys()


@pytest.mark.parametrize("asset", MADE)
def test_the_graph_has_an_edge_for_each_asset_that_its_sql_reads_and_no_other(asset: str) -> None:
    declared = {key.to_user_string() for key in GRAPH.get(dg.AssetKey(asset)).parent_keys}
    assert assets_read(load_query, MADE[asset]) == declared


@pytest.mark.parametrize("asset", MADE)
def test_lineage_has_every_column_and_names_columns_that_there_are(asset: str) -> None:
    found = column_sources(load_query, MADE[asset])
    assert found.keys() == columns(asset)
    parents = {key.to_user_string() for key in GRAPH.get(dg.AssetKey(asset)).parent_keys}
    for column, sources in found.items():
        for source, name in sources:
            assert source in parents, f"{asset}.{column}"
            assert name in columns(source), f"{asset}.{column} < {source}.{name}"


def test_lineage_follows_rows_between_two_queries() -> None:
    found = column_sources(load_query, MADE["exceptions"])
    assert {("order_lines", "quantity"), ("stock_lines", "available"), ("quarantine", "quantity"), ("net_demand", "net_demand")} <= set(
        found["units"]
    )
    assert {("raw_orders", "file"), ("raw_stock", "file")} <= set(found["file"])
    stock = column_sources(load_query, MADE["net_demand"])
    assert ("raw_stock", "state") in stock["stock_basis"]
    assert ("raw_orders", "state") not in stock["stock_basis"]
    assert stock["on_order"] == []  # open orders are in the database, and no asset


def test_every_query_that_finds_violations_is_in_the_reports_lineage() -> None:
    files = {f"procurement/{path.stem}" for path in project_file("sql", "procurement").glob("*_violations.sql")}
    assert {made.query for made in FOUND} == files


@pytest.mark.parametrize("made", [*MADE.values(), *FOUND], ids=lambda made: made.query.rpartition("/")[2])
def test_what_a_query_reads_is_what_its_text_names(made: Made) -> None:
    """Looked for in the text itself: `FROM` or `JOIN`, and a name that no WITH clause defines."""
    text = re.sub(r"--[^\n]*", "", load_query(made.query).sql)
    own = set(re.findall(r"(\w+) AS \(", text))
    read = {name for name in re.findall(r"\b(?:FROM|JOIN) (\w+)", text) if name not in own}
    assert read <= made.reads.keys()
    relations = load_query(made.query).compiled({name: source.columns for name, source in made.reads.items()}).relations
    assert read == set(relations)
