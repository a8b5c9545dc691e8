"""The declarations agree with the schema that the migrations make."""

import psycopg
import pytest

from procurement_platform.database.connect import Database
from procurement_platform.procurement.reference.tables import BY_NAME, REFERENCE_TABLES, ReferenceTable

_KINDS = {"text": "varchar", "date": "date", "boolean": "boolean", "integer": "integer", "time without time zone": "varchar"}


@pytest.mark.parametrize("table", REFERENCE_TABLES, ids=lambda table: table.name)
def test_columns_types_and_nullability_are_the_database_s(database: Database, table: ReferenceTable) -> None:
    query = """
        SELECT column_name, data_type, numeric_precision, numeric_scale, is_nullable = 'NO'
        FROM information_schema.columns WHERE table_schema = 'reference' AND table_name = %s ORDER BY ordinal_position
    """
    with database.transaction() as connection:
        rows = connection.execute(query, (table.name,)).fetchall()
    found = [(name, _KINDS.get(kind, f"decimal({precision},{scale})"), required) for name, kind, precision, scale, required in rows]
    assert found == [(column.name, column.type, column.required) for column in table.columns]


@pytest.mark.parametrize("table", REFERENCE_TABLES, ids=lambda table: table.name)
def test_a_row_of_required_cells_alone_gets_the_declared_defaults(database: Database, table: ReferenceTable) -> None:
    given = {
        "market": "DE", "name": "x", "currency": "EUR", "timezone": "Europe/Berlin", "sku": "A", "supplier_id": "S", "unit_price": 1,
    }  # fmt: skip
    required = [column.name for column in table.columns if column.required and column.default is None]
    with database.transaction() as connection:
        connection.execute("INSERT INTO reference.products (sku, name) VALUES ('A', 'x')") if table.name != "products" else None
        connection.execute("INSERT INTO reference.suppliers VALUES ('S', 'x', 'EUR')") if table.name != "suppliers" else None
        insert = psycopg.sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            psycopg.sql.Identifier("reference", table.name),
            psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, required)),
            psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder(name) for name in required),
        )
        connection.execute(insert, given)
        row = connection.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier("reference", table.name))).fetchone()
    assert row is not None
    defaults = {c.name: _plain(value) for c, value in zip(table.columns, row, strict=True) if c.name not in required}
    assert defaults == {c.name: c.default for c in table.columns if c.name not in required}


def _plain(value: object) -> str | None:
    text = None if value is None else str(value).lower()
    return text[:5] if text and text.endswith(":00") else (text.rstrip("0").rstrip(".") or "0" if text and "." in text else text)


def test_foreign_keys_name_tables_that_come_first() -> None:
    names = [table.name for table in REFERENCE_TABLES]
    for table in REFERENCE_TABLES:
        for foreign in table.foreign_keys:
            assert names.index(foreign.table) < names.index(table.name)
            assert len(BY_NAME[foreign.table].key) == 1
