"""What the reference tables hold at one moment, as Arrow tables, and the version that their content is."""

import hashlib
import io

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from psycopg import sql

from procurement_platform.procurement.reference.tables import REFERENCE_TABLES, ReferenceColumn, ReferenceTable


def read_tables(connection: psycopg.Connection) -> dict[str, pa.Table]:
    """All five tables as of one moment, typed as declared, each in the order of its key.

    The connection must be in no transaction yet: this takes one of its own (repeatable read).
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return {table.name: read_table(connection, table) for table in REFERENCE_TABLES}


def content_version(table: pa.Table) -> str:
    """16 hexadecimal digits of SHA-256 over columns, types, values and their order; chunks and encodings do not count."""
    digest = hashlib.sha256()
    frame = pl.DataFrame(table)
    for field, column in zip(table.schema, frame.iter_columns(), strict=True):
        text = column.cast(pl.String)
        lengths = text.str.len_bytes().cast(pl.Int64).fill_null(-1)  # tells where cells end, and NULL from empty
        digest.update(f"{field.name} {field.type} {len(text)}\n".encode())
        digest.update(lengths.to_numpy().astype("<i8").tobytes())
        digest.update((text.str.join("").item() or "").encode())
    return digest.hexdigest()[:16]


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as one Parquet file (zstd), the same bytes for the same table whatever its chunks."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd", compression_level=1, store_decimal_as_integer=True)
    return sink.getvalue()


def read_table(connection: psycopg.Connection, table: ReferenceTable) -> pa.Table:
    """One table as the connection sees it, typed as declared, in the order of its key."""
    name = sql.Identifier("reference", table.name)
    columns = sql.SQL(", ").join(map(_selected, table.columns))
    # The key first; the other columns make the order total where a key is not unique (open and repeated periods).
    in_order = sorted(table.columns, key=lambda column: table.key.index(column.name) if column.name in table.key else len(table.key))
    order = sql.SQL(", ").join(map(_sorted, in_order))
    copy = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)").format(columns, name, order)
    content = io.BytesIO()
    with connection.cursor().copy(copy) as rows:
        for row in rows:  # each a view of libpq's memory: a list of a hundred thousand of them takes longer than the query
            content.write(row)
    content.seek(0)
    options = pyarrow.csv.ConvertOptions(
        column_types=table.arrow,
        null_values=[""],
        true_values=["t"],
        false_values=["f"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return pyarrow.csv.read_csv(content, parse_options=parse, convert_options=options).combine_chunks()


def _selected(column: ReferenceColumn) -> sql.Composed:
    name = sql.Identifier(column.name)
    return sql.SQL("to_char({0}, 'HH24:MI') AS {0}").format(name) if column.form == "time" else sql.SQL("{}").format(name)


def _sorted(column: ReferenceColumn) -> sql.Composed:
    # Text by code point, not by the server's language: the same order everywhere.
    text = column.type == "varchar" and column.form != "time"
    return sql.SQL('{} COLLATE "C" NULLS FIRST' if text else "{} NULLS FIRST").format(sql.Identifier(column.name))
