"""The sample reference set, shipped inside the package: what an empty database starts with."""

from pathlib import Path

from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.load import load_if_empty

SAMPLE = Path(__file__).resolve().parent.parent / "sample"


def ensure_sample(database: Database) -> bool:
    """Load the sample set if all reference tables are empty; says whether it did."""
    return load_if_empty(database, SAMPLE)
