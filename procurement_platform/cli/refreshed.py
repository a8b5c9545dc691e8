"""What is said on standard error of a day that was refreshed: its results are not those of the reference of its first run."""

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procurement_platform.platform import Platform


def say_if_refreshed(platform: "Platform", run_date: dt.date) -> None:
    """Names the reference tables that `--refresh-reference` took newer versions of."""
    from procurement_platform.cli.output import say
    from procurement_platform.procurement.reference.pins import refreshed

    tables = refreshed(platform, run_date)
    if tables:
        say(f"Reference tables refreshed since the day's first run: {', '.join(tables)}")


def say_if_reference_is_newer(platform: "Platform", run_date: dt.date) -> None:
    """Names the reference tables that were changed since the day's first run pinned them, and what takes them in."""
    from procurement_platform.cli.output import say
    from procurement_platform.procurement.reference.pins import newer

    tables = newer(platform, run_date)
    if tables:
        say(
            f"Reference tables changed since, and not used by this run: {', '.join(tables)}. "
            f"procurement run {run_date} --refresh-reference takes them"
        )
