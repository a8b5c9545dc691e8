"""A file's identity: (feed, run date, name without extensions), read from its path in the inbox and from nothing else.

`{feed}/{run date}/{MARKET}[__anything].{avro|parquet|csv|csv.gz|jsonl}`. Names are held to what every file system, URL and SQL engine of
the platform takes as it is (HDFS refuses ':'; DuckDB expands `*`, `?`, `[`).
"""

import datetime as dt
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Format = Literal["avro", "parquet", "csv", "csv.gz", "jsonl"]
FORMATS: tuple[Format, ...] = ("csv.gz", "avro", "parquet", "csv", "jsonl")  # the longest first: csv.gz before a bare .gz is looked for
MAX_NAME_BYTES = 160
_SHOWN_CHARACTERS = 80

_IGNORED_ENDINGS = (".tmp", ".part")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MARKET = re.compile(r"[A-Z0-9](?:_?[A-Z0-9-])*", re.ASCII)
_SUFFIX = re.compile(r"[A-Za-z0-9 ._()+,-]*", re.ASCII)


@dataclass(frozen=True)
class FileIdentity:
    """Which file it is. `name` has no extensions; `file_name` is the name as sent; the same `key` means: replaces."""

    feed: str
    run_date: dt.date
    market: str
    name: str
    file_name: str
    format: Format

    @property
    def key(self) -> tuple[str, dt.date, str]:
        return self.feed, self.run_date, self.name


@dataclass(frozen=True)
class Unfit:
    """A path that names no market file; `reason` says why and what to do."""

    reason: str


def is_ignored(file_name: str) -> bool:
    """Whether a name is by its own account not (yet) for the platform: hidden, or still being written."""
    return file_name.startswith((".", "_")) or file_name.lower().endswith(_IGNORED_ENDINGS)


def parse(path: str, feeds: Collection[str]) -> FileIdentity | Unfit:
    """The identity of a file by its path relative to the inbox, with `/` between the parts; ignored names are the caller's to skip."""
    if "\\" in path or path.startswith("/"):
        return Unfit(f"{printable(path)} is no path inside the inbox: write feed/date/MARKET.csv, with '/' between")
    match path.split("/"):
        case [feed, date, file_name]:
            pass
        case _:
            return Unfit(f"{printable(path)} is not feed/date/file: put the file straight into its date's folder")
    if feed not in feeds:
        return Unfit(f"{printable(feed)} is no feed: use one of {', '.join(sorted(feeds))}")
    run_date = parse_date(date)
    if run_date is None:
        return Unfit(f"{printable(date)} is no run date: name the folder YYYY-MM-DD")
    return parse_name(feed, run_date, file_name)


def parse_name(feed: str, run_date: dt.date, file_name: str) -> FileIdentity | Unfit:
    """The identity of a file whose feed and run date are known from its folder."""
    shown = printable(file_name)
    if trouble := _not_a_name(file_name):
        return Unfit(f"{shown} {trouble}")
    form = next((each for each in FORMATS if file_name.lower().endswith(f".{each}")), None)
    if form is None:
        return Unfit(f"{shown} ends in no known format: send .avro, .parquet, .csv, .csv.gz or .jsonl")
    name = file_name[: -len(form) - 1]
    market, _, suffix = name.partition("__")
    if _MARKET.fullmatch(market) is None:
        return Unfit(
            f"{shown} does not begin with a market code in capital letters and digits: name it MARKET.{form} or MARKET__anything.{form}"
        )
    if _SUFFIX.fullmatch(suffix) is None:
        return Unfit(f"{shown} has characters that file systems refuse: after '__' use letters, digits, blanks and . _ - + , ( ) only")
    return FileIdentity(feed, run_date, market, name, file_name, form)


def _not_a_name(file_name: str) -> str | None:
    if "/" in file_name or "\\" in file_name or file_name in ("", ".", ".."):
        return "is no file name: it must not hold '/' or '\\'"
    try:
        size = len(file_name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8: rename it with plain letters and digits"
    return f"is {size} bytes long, more than {MAX_NAME_BYTES}: shorten it" if size > MAX_NAME_BYTES else None


def with_suffix_apart(file_name: str, markets: Collection[str]) -> str | None:
    """The name that makes a file one of the markets', where it lacks the underscores: `DE__late.csv` for `DE_late.csv` or `DE-late.csv`."""
    begins = [market for market in markets if file_name.startswith((f"{market}_", f"{market}-"))]
    market = max(begins, key=len, default=None)
    return None if market is None else f"{market}__{file_name[len(market) + 1 :].lstrip('_')}"


def parse_date(text: str) -> dt.date | None:
    """A run date from a folder's name, None where it is none."""
    try:
        return dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def file_id(feed: str, run_date: dt.date, file_name: str, sha256: str) -> str:
    """The ledger's id of a file: 16 hexadecimal digits from its place in the inbox and its content.

    The name is the one it was sent under: the same bytes under another extension are read otherwise, and become another thing.
    """
    return hashlib.sha256(f"{feed}/{run_date.isoformat()}/{file_name}\n{sha256}".encode()).hexdigest()[:16]


def safe_name(file_name: str) -> str:
    """The file's name with every character that is no letter, digit, '.', '_' or '-' as '_': for names of files derived from it.

    Of one longer than a market file's the beginning: what is derived adds to it, and file systems end at 255 bytes.
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", file_name)[:MAX_NAME_BYTES]


def ledger_name(file_name: str) -> str:
    """The name under which the ledger and reports have any file: itself where it is plain, else with escapes; no two have the same.

    Where it is too long to be shown, its beginning and a hash.
    """
    if file_name.isascii() and file_name.isprintable() and "\\" not in file_name:
        return file_name
    shown = _escaped(file_name)[1:-1]
    if len(shown) <= _SHOWN_CHARACTERS:
        return shown
    return f"{shown[:_SHOWN_CHARACTERS]}…{hashlib.sha256(file_name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def printable(name: str) -> str:
    """A name as it can be shown in one line: what cannot be printed as escapes, shortened."""
    shown = _escaped(name)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…'"


def _escaped(name: str) -> str:
    return repr(name) if _encodable(name) else repr(name.encode("utf-8", "surrogateescape"))[1:]


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
