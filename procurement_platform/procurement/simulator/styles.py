"""How each market writes its files: format, spelling of the columns, times, what it leaves out. Markets differ, and stay as they are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.identity import Format
from procurement_platform.procurement.simulator.avro_writer import Codec
from procurement_platform.procurement.simulator.vocabulary import COUNTRIES
from procurement_platform.procurement.simulator.world import Market


@dataclass(frozen=True)
class Style:
    """A market's habits. `names`: its spelling of contract columns; `without`: optional columns that it does not send.

    `clock`: how text formats write times: in the market's zone, with its `offset` or without (`local`).
    """

    format: Format = "avro"
    codec: Codec = "deflate"
    names: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    clock: Literal["local", "offset"] = "local"
    warehouses: int = 1

    @property
    def has_line_numbers(self) -> bool:
        return "line_number" not in self.without

    def columns(self, feed: Feed) -> dict[str, str]:
        """The contract's columns that the market sends, and how it spells them."""
        return {each.name: self.names.get(each.name, each.name) for each in feed.contract.fields if each.name not in self.without}

    def avro_schema(self, feed: Feed, extra: tuple[str, ...] = ()) -> dict[str, Any]:
        """The contract's schema as the market would have it: its own names, its columns, nothing but types; `extra` are texts."""
        contract, columns = json.loads(feed.contract.avsc), self.columns(feed)
        fields = [
            {"name": columns[declared["name"]], "type": declared["type"]} | ({"default": None} if "default" in declared else {})
            for declared in contract["fields"]
            if declared["name"] in columns
        ]
        fields += [{"name": name, "type": "string"} for name in extra]
        return {"type": "record", "name": contract["name"], "namespace": contract["namespace"], "fields": fields}


_ONE_WAREHOUSE = frozenset({"warehouse"})
_CAMEL = {"order_id": "orderId", "ordered_at": "orderedAt", "customer_id": "customerId", "counted_at": "countedAt"}
_SHORT = {"order_id": "order_no", "line_number": "line", "quantity": "qty", "unit_price": "price", "available": "on_hand"}
_SHOP = {"sku": "article", "ordered_at": "order_time", "reserved": "quantity_reserved", "available": "quantity_available"}
# Two of three write Avro. The first eight are the sample's markets, in the order of COUNTRIES.
_STYLES = (
    Style(codec="deflate", warehouses=2),
    Style(codec="snappy", names=_CAMEL, without=_ONE_WAREHOUSE),
    Style("csv", names=_SHORT, without=_ONE_WAREHOUSE),
    Style(codec="null", without=_ONE_WAREHOUSE),
    Style("parquet", without=_ONE_WAREHOUSE),
    Style("csv.gz", clock="offset", warehouses=3),
    Style("jsonl", names=_SHOP, clock="offset", without=_ONE_WAREHOUSE),
    Style(codec="zstandard", without=frozenset({"line_number", "customer_id", "counted_at", "warehouse"})),
    Style(codec="snappy", without=_ONE_WAREHOUSE),
    Style(codec="deflate", names=_SHORT, warehouses=2),
    Style(codec="null", names=_CAMEL, without=_ONE_WAREHOUSE),
    Style(codec="snappy", without=_ONE_WAREHOUSE),
)
_BY_CODE = {country.market: _STYLES[place % len(_STYLES)] for place, country in enumerate(COUNTRIES)}
_ALL_AVRO = Style(codec="snappy", without=_ONE_WAREHOUSE)


def style_of(market: Market, *, mixed: bool = True) -> Style:
    """The market's habits; those of one nobody knows follow from its code. Not `mixed`: all of them write the same Avro, for benchmarks."""
    return _BY_CODE.get(market.code, _STYLES[market.number % len(_STYLES)]) if mixed else _ALL_AVRO
