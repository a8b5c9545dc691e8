"""The rules: what is checked, how grave a violation is, and how many are tolerated."""

from dataclasses import dataclass

from procurement_platform.settings import Settings


@dataclass(frozen=True)
class Rule:
    """A rule of the exceptions report. `severity` is CRITICAL, HIGH or MEDIUM; `doc` says what breaks it."""

    name: str
    severity: str
    doc: str

    @property
    def check_name(self) -> str:
        return self.name.lower()

    def threshold(self, settings: Settings) -> int:
        """How many violations the rule's check lets pass."""
        return int(getattr(settings, f"threshold_{self.check_name}", 0))


MISSING_FILE = Rule("MISSING_FILE", "MEDIUM", "A market that should have sent a file has no accepted one.")
UNKNOWN_PRODUCT = Rule("UNKNOWN_PRODUCT", "HIGH", "Rows whose SKU is not an active product; they are in quarantine.")
STOCK_LOGIC = Rule("STOCK_LOGIC", "HIGH", "Stock rows with more reserved than available; they count 0.")
PIPELINE_CRASH = Rule("PIPELINE_CRASH", "CRITICAL", "The day's last run failed or was killed.")
INVALID_ROW = Rule("INVALID_ROW", "HIGH", "Rows that break the feed's contract; they are in quarantine.")
INVALID_FILE = Rule("INVALID_FILE", "HIGH", "A file that cannot be used at all.")
CONFLICTING_ORDER = Rule("CONFLICTING_ORDER", "HIGH", "Rows with the same key and different content; all of them are in quarantine.")
DUPLICATE_ORDER = Rule("DUPLICATE_ORDER", "MEDIUM", "Rows sent more than once; one is kept.")
STOCK_UNKNOWN = Rule("STOCK_UNKNOWN", "HIGH", "A market and SKU whose stock is not known; nothing is ordered for it.")
NO_SUPPLIER = Rule("NO_SUPPLIER", "HIGH", "A SKU that is needed and that no supplier offers.")

RULES = (
    MISSING_FILE,
    UNKNOWN_PRODUCT,
    STOCK_LOGIC,
    PIPELINE_CRASH,
    INVALID_ROW,
    INVALID_FILE,
    CONFLICTING_ORDER,
    DUPLICATE_ORDER,
    STOCK_UNKNOWN,
    NO_SUPPLIER,
)
