"""The reference tables as a published day used them: which codes it knows."""

from difflib import get_close_matches

from procurement_platform.errors import InputGone, ProcurementError
from procurement_platform.lake.days import PublishedDay
from procurement_platform.lake.parquet import read_columns
from procurement_platform.platform import Platform
from procurement_platform.procurement.reference.pins import version_path
from procurement_platform.procurement.reference.tables import ReferenceTable

CLOSEST = 3  # codes that a message offers
LIKE = 0.5  # from 0, nothing in common, to 1, the same


def rows_of(platform: Platform, day: PublishedDay, table: ReferenceTable) -> list[dict[str, object]]:
    """The table's rows as the day used them, in the order of the key.

    Raises:
        InputGone: that version's file is gone.
    """
    versions = day.inputs.get("reference")
    version = versions.get(table.name) if isinstance(versions, dict) else None
    path = version_path(table.name, version) if version else ""
    if not version or not platform.lake.exists(path):
        raise InputGone(f"the {table.name} that {day.run_date} was run with are gone: run the day again with --refresh-reference")
    return list(read_columns(platform.lake, [platform.lake.path(path)]).to_pylist())


def check_known(platform: Platform, day: PublishedDay, table: ReferenceTable, code: str) -> None:
    """Holds a supplier's or market's code to those that a published day knows.

    Raises:
        ProcurementError: it is none of them; the line names the closest, or a few where none is close.
    """
    key = table.key[0]
    known = [str(row[key]) for row in rows_of(platform, day, table)]
    if code in known:
        return
    plain = {each.lower(): each for each in known}
    near = [plain[each] for each in get_close_matches(code.lower(), plain, CLOSEST, LIKE)]
    few = f"{', '.join(known[:CLOSEST])}{' …' if len(known) > CLOSEST else ''}" or "none"
    offer = f"the closest are {', '.join(near)}" if near else f"there are {few}"
    raise ProcurementError(f"{code} is no {table.name.removesuffix('s')} in the reference that {day.run_date} was run with; {offer}")
