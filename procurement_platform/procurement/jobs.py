"""The domain's jobs."""

import dagster as dg

from procurement_platform.procurement.assets.shared import GROUP
from procurement_platform.procurement.endings import JOB

procurement_day = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.groups(GROUP),
    description="The whole day: from the markets' files to supplier orders and the exceptions report.",
)
