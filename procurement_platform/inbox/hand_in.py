"""Putting a file into the inbox, as a market would: under the name that says whose it is, and whole or not at all."""

import datetime as dt
import shutil
from pathlib import Path
from uuid import uuid4

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.identity import FORMATS, Unfit, parse_name, printable
from procurement_platform.lake.files import Lake


def hand_in(lake: Lake, source: Path, feed: str, market: str, run_date: dt.date, suffix: str = "") -> str:
    """Copies a file to `inbox/{feed}/{run_date}/{market}[__{suffix}].{extension}` and returns that path, relative to the lake.

    What the inbox holds under the same identity, in whatever format, is replaced. The content is not looked at: a run does that.

    Raises:
        InvalidFile: the name it would get is no market file's.
    """
    form = next((each for each in FORMATS if source.name.lower().endswith(f".{each}")), None)
    if form is None:
        raise InvalidFile(f"{printable(source.name)} ends in no known format: hand in .avro, .parquet, .csv, .csv.gz or .jsonl")
    name = f"{market}__{suffix}" if suffix else market
    identity = parse_name(feed, run_date, f"{name}.{form}")
    if isinstance(identity, Unfit):
        raise InvalidFile(identity.reason)
    if identity.market != market:
        raise InvalidFile(f"{printable(market)} is no market code: '__' parts the code from what follows; use the suffix for that")
    folder = f"inbox/{feed}/{run_date.isoformat()}"
    target = f"{folder}/{identity.file_name}"
    beside = f"{folder}/.{identity.file_name}.{uuid4().hex[:8]}.part"  # ignored by the scan, for its dot and its ending
    lake.make_folder(folder)
    try:
        with source.open("rb") as read, lake.fs.open(lake.path(beside), "wb") as write:
            shutil.copyfileobj(read, write, 1024 * 1024)
        lake.sync([lake.path(beside)])
        lake.move(beside, target)
    except BaseException:
        lake.remove(beside)
        raise
    for other in FORMATS:
        if other != form:
            lake.remove(f"{folder}/{name}.{other}")
    return target
