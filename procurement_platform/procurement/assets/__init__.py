"""The domain's assets, all on the shared daily partitions."""

from procurement_platform.procurement.assets.intake import intake
from procurement_platform.procurement.assets.planning import aggregated_orders, net_demand, supplier_orders
from procurement_platform.procurement.assets.publication import exceptions, published_day
from procurement_platform.procurement.assets.reference import reference

ASSETS = (reference, intake, aggregated_orders, net_demand, supplier_orders, exceptions, published_day)
KEYS = frozenset(key for asset in ASSETS for key in asset.keys)
