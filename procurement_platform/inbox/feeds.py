"""Feeds: the kinds of files markets send. A domain declares its own; nothing here knows which."""

from dataclasses import dataclass

from procurement_platform.inbox.contracts import Contract
from procurement_platform.lake.tables import Table


@dataclass(frozen=True)
class Feed:
    """A kind of file: `name` is its folder in the inbox, `contract` what a file holds, `lines` the table its accepted rows go to."""

    name: str
    contract: Contract
    lines: Table
    doc: str

    @property
    def raw_asset(self) -> str:
        return f"raw_{self.name}"
