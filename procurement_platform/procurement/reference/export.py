"""Write the reference tables as CSV files that `load_reference` reads back to the same content."""

from pathlib import Path

import polars as pl
import pyarrow as pa

from procurement_platform.database.connect import Database
from procurement_platform.errors import ReferenceError_
from procurement_platform.procurement.reference.snapshot import read_tables


def export_reference(database: Database, folder: Path) -> tuple[Path, ...]:
    """One `{table}.csv` per table, in the order of its key: UTF-8, `,`, LF; the same content gives the same bytes.

    Raises:
        ReferenceError_: the folder cannot be written.
    """
    with database.connect() as connection:
        tables = read_tables(connection)
    try:
        return write_csv_files(tables, folder)
    except OSError as problem:
        raise ReferenceError_(f"{folder} cannot be written ({problem.strerror}); name a folder that you may write") from None


def write_csv_files(tables: dict[str, pa.Table], folder: Path) -> tuple[Path, ...]:
    """Each table as `{name}.csv` in the folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(csv_bytes(table))
        part.replace(path)
        written.append(path)
    return tuple(written)


def csv_bytes(table: pa.Table) -> bytes:
    """The table as a person would write it: 12.5 and not 12.500, nothing for NULL."""
    plain = pl.selectors.decimal().cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
    return pl.DataFrame(table).with_columns(plain).write_csv().encode()
