"""What each asset that SQL makes is made of: the relations its SQL files read, and the assets that these are.

Column lineage names assets alone. Rows between two queries (duplicates, violations) are followed to what they are made of; rows that are in
the database alone (open orders) have no asset.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from procurement_platform.engines.queries import Lineage, Query
from procurement_platform.inbox.feeds import Feed
from procurement_platform.procurement.duplicates import REPEATED_TYPES, noun
from procurement_platform.procurement.feeds import FEED_BY_NAME, FEEDS
from procurement_platform.procurement.intake import DUPLICATES_TYPES
from procurement_platform.procurement.planning import FILES_TYPES, OPEN_ORDERS_TYPES
from procurement_platform.procurement.reference.tables import REFERENCE_TABLES
from procurement_platform.procurement.tables import TABLES
from procurement_platform.quality.violations import VIOLATIONS

Load = Callable[[str], Query]


@dataclass(frozen=True)
class Source:
    """What a query reads under a name: an asset's rows, or what the queries `made_by` make; neither: rows of no asset."""

    columns: Mapping[str, str]
    asset: str = ""
    made_by: tuple["Made", ...] = ()


@dataclass(frozen=True)
class Made:
    """The rows that a SQL file makes of what it reads."""

    query: str
    reads: Mapping[str, Source]


def column_sources(load: Load, made: Made) -> Lineage:
    """For each column of the result, the (asset, column) pairs its value is made of, sorted."""
    found = load(made.query).lineage({name: source.columns for name, source in made.reads.items()})
    return {
        column: sorted({pair for relation, name in sources for pair in _behind(load, made.reads[relation], name)})
        for column, sources in found.items()
    }


def assets_read(load: Load, made: Made) -> set[str]:
    """The assets whose rows a query reads, whether or not a column is made of them."""
    relations = load(made.query).compiled({name: source.columns for name, source in made.reads.items()}).relations
    found = set()
    for source in (made.reads[name] for name in relations):
        found |= {source.asset} if source.asset else {asset for inner in source.made_by for asset in assets_read(load, inner)}
    return found


def _behind(load: Load, source: Source, column: str) -> set[tuple[str, str]]:
    if source.asset:
        return {(source.asset, column)}
    return {pair for made in source.made_by for pair in column_sources(load, made)[column]}


_ASSETS = {
    **{table.name: Source(table.sql_types, table.name) for table in TABLES},
    **{table.name: Source({c.name: c.type for c in table.columns}, f"reference_{table.name}") for table in REFERENCE_TABLES},
}


def _made(name: str, *assets: str, **others: Source) -> Made:
    return Made(f"procurement/{name}", {**{asset: _ASSETS[asset] for asset in assets}, **others})


def _files(feed: Feed) -> Source:
    return Source(FILES_TYPES, feed.raw_asset)


def _duplicates(feed: Feed) -> Source:
    lines = {f"{noun(feed)}_lines_checked": _ASSETS[feed.lines.name]}
    made = _made(f"{noun(feed)}_duplicate_rows", files=_files(feed), repeated=Source(REPEATED_TYPES), **lines)
    return Source(DUPLICATES_TYPES, made_by=(made,))


FOUND = (
    *(_made(f"{noun(feed)}_file_violations", "markets", files=_files(feed)) for feed in FEEDS),
    *(_made(f"{noun(feed)}_violations", "quarantine", feed.lines.name, files=_files(feed), duplicates=_duplicates(feed)) for feed in FEEDS),
    _made("net_demand_violations", "net_demand", "markets"),
    _made("supplier_order_violations", "net_demand", "supplier_orders"),
)
MADE = {
    "aggregated_orders": _made("aggregated_orders", "order_lines", "markets"),
    "net_demand": _made(
        "net_demand",
        *("aggregated_orders", "stock_lines", "quarantine", "markets", "products", "planning_parameters"),
        files=_files(FEED_BY_NAME["stock"]),  # of which it reads the stock's alone
        open_orders=Source(OPEN_ORDERS_TYPES),
    ),
    "supplier_orders": _made("supplier_orders", "net_demand", "suppliers", "supplier_products"),
    "supplier_order_allocations": _made("supplier_order_allocations", "supplier_orders", "net_demand"),
    "exceptions": _made("exceptions", violations=Source(VIOLATIONS.sql_types, made_by=FOUND)),
}
