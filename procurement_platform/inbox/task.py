"""What a decoding process is asked, and what it answers: plain values that travel as one line of JSON each."""

import dataclasses
import datetime as dt
import json
from dataclasses import dataclass
from typing import Any, Literal, Self

from procurement_platform.inbox.identity import Format

NO_USE = "none of its rows can be used"
SPLIT = "split it, the first part under this name"
UNDER_ANOTHER_NAME = "; once it has come under another name, `procurement files withdraw` ends this line"  # a reason's end


@dataclass(frozen=True)
class Limits:
    """The settings of the same names that bound what a file may hold; see `procurement_platform.settings`."""

    max_file_bytes: int
    max_decoded_bytes: int
    max_block_bytes: int
    max_rows_per_file: int
    max_columns: int
    max_cell_characters: int
    max_quantity: int
    max_unit_price: int
    order_window_days: int
    decode_seconds: int

    @classmethod
    def of(cls, settings: object) -> Self:
        """The limits among the platform's settings (any object with these attributes)."""
        return cls(**{each.name: getattr(settings, each.name) for each in dataclasses.fields(cls)})

    @property
    def max_line_bytes(self) -> int:
        """A row of text takes more memory than it has bytes: it may be a quarter of what a block may be."""
        return self.max_block_bytes // 4

    def named(self, name: str) -> int:
        value: int = getattr(self, name)
        return value


@dataclass(frozen=True)
class DecodeTask:
    """One file to decode. Paths are absolute and local; `source` may be any fsspec URL.

    `raw_folder` is where an accepted file's bytes go (None: the source already is the raw copy, and stays), `rejected_folder` where a
    rejected one's go; each as `{name}.{file_id}.{format}`. Parquet goes to `lines_folder` and `quarantine_folder`.
    `columns` are the lines table's columns with their SQL types; `products` is a Parquet file with `sku`, `active_from`, `active_to`.

    `plain`: columns beyond the contract are not shown, because decoding the file with them ended its process. `used`: its process had
    other files before, and has less memory left.

    Where `asked` names Parquet files (`file_id`, `row_number`, `kind`, sorted), the file is not checked: its rows there of the kind
    `asked_kind` go to `lines_folder`, as they were sent (`inbox.as_sent`).
    """

    feed: str
    run_date: dt.date
    market: str
    timezone: str
    name: str
    file_name: str
    format: Format
    source: str
    raw_folder: str | None
    rejected_folder: str
    lines_folder: str
    quarantine_folder: str
    contract: str
    columns: dict[str, str]
    products: str
    limits: Limits
    asked: tuple[str, ...] = ()
    asked_kind: str = ""
    plain: bool = False
    used: bool = False

    @property
    def may_be_plain(self) -> bool:
        """Whether decoding it anew without the columns that nobody asked for may end otherwise."""
        return self.format == "parquet" and not self.plain and not self.asked

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self) | {"run_date": self.run_date.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        values["run_date"] = dt.date.fromisoformat(values["run_date"])
        values["limits"] = Limits(**values["limits"])
        values["asked"] = tuple(values["asked"])
        return cls(**values)


@dataclass(frozen=True)
class DecodeOutcome:
    """What became of a file.

    `unsettled`: it changed while it was read; nothing was kept, look again. `look_again`: rejected for a limit or by the machine, not for
    what it holds; the same bytes may be accepted another time. `rows` = `accepted` + `quarantined` (duplicates are found
    later). The quantities are the sums of the contract's measure as decimal text, `quarantined_quantity` over rows where it is valid.
    `raw_path` is where the bytes as sent now are (None: not kept, the file is larger than the limit). `notes` are told to people, one a
    line. `seconds` tells where the time went: `take` (hash and copy), `decode`, `check`, `write`, `all`.
    """

    status: Literal["accepted", "rejected", "unsettled"]
    reason: str | None = None
    sha256: str = ""
    size: int = 0
    file_id: str = ""
    raw_path: str | None = None
    rows: int = 0
    accepted: int = 0
    quarantined: int = 0
    accepted_quantity: str = "0"
    quarantined_quantity: str = "0"
    lines_files: tuple[str, ...] = ()
    quarantine_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    look_again: bool = False
    peak_memory_mib: int = 0
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        for each in ("lines_files", "quarantine_files", "notes"):
            values[each] = tuple(values[each])
        return cls(**values)
