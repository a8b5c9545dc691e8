"""The procurement domain's feeds: orders and stock."""

from procurement_platform.inbox.contracts import load_contract
from procurement_platform.inbox.feeds import Feed
from procurement_platform.procurement.tables import ORDER_LINES, STOCK_LINES
from procurement_platform.project import PACKAGE

_CONTRACTS = PACKAGE / "procurement" / "contracts"

ORDERS = Feed(
    "orders", load_contract(_CONTRACTS / "orders.avsc"), ORDER_LINES, "The customers' orders of a day, one line per order and product."
)
STOCK = Feed(
    "stock", load_contract(_CONTRACTS / "stock.avsc"), STOCK_LINES, "A market's stock at the end of a day, one row per SKU and warehouse."
)
FEEDS = (ORDERS, STOCK)
FEED_BY_NAME = {feed.name: feed for feed in FEEDS}
