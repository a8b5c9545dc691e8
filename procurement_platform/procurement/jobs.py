"""The domain's jobs."""

import dagster as dg

from procurement_platform.partitions import daily
from procurement_platform.procurement.assets.shared import GROUP

procurement_day = dg.define_asset_job(
    "procurement_day",
    selection=dg.AssetSelection.groups(GROUP),
    partitions_def=daily,
    description="The whole day: from the markets' files to supplier orders and the exceptions report.",
)
