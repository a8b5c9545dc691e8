"""The one partitions definition that every partitioned asset of the platform shares: one selection can hold any of them."""

import dagster as dg

from procurement_platform.settings import settings

# The end offset lets today run, before it is over.
daily = dg.DailyPartitionsDefinition(start_date=settings().start_date.isoformat(), timezone=settings().timezone, end_offset=1)
