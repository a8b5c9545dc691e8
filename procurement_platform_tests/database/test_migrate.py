import datetime as dt
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from procurement_platform.database import migrate
from procurement_platform.database.connect import Database
from procurement_platform.database.embedded import EmbeddedServer
from procurement_platform.errors import ConfigurationError
from procurement_platform.inbox.identity import file_id
from procurement_platform.quality.violations import VIOLATIONS
from procurement_platform.settings import Settings


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    database.ensure()
    with database.connect() as connection:
        connection.execute("INSERT INTO reference.products (sku, name) VALUES ('A', 'Apple'), ('B', 'Bread')")
        connection.execute("INSERT INTO reference.suppliers (supplier_id, name, currency) VALUES ('S', 'Sun', 'EUR')")
        connection.execute(
            "INSERT INTO reference.markets (market, name, currency, timezone) VALUES ('DE', 'Germany', 'EUR', 'Europe/Berlin')"
        )
        connection.commit()
        yield connection
        connection.rollback()


def tables(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema IN ('reference', 'control')"
    )
    return {str(row[0]) for row in rows}


def test_the_head_told_in_code_is_the_newest_file() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_a_new_database_has_every_table(connection: psycopg.Connection) -> None:
    reference = ("markets", "products", "suppliers", "supplier_products", "planning_parameters")
    control = (
        *("files", "runs", "table_runs", "reference_pins", "published_days", "crashes", "exceptions_history"),
        *("alerts_sent", "launches", "order_states", "lake", "schema_version"),
    )
    assert tables(connection) == {f"reference.{name}" for name in reference} | {f"control.{name}" for name in control}


def test_every_table_and_column_says_what_it_is(connection: psycopg.Connection) -> None:
    silent = connection.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND c.relkind = 'r'"
        " WHERE n.nspname IN ('reference', 'control') AND c.relname <> 'schema_version'"
        " AND (coalesce(col_description(c.oid, a.attnum), '') = '' OR coalesce(obj_description(c.oid), '') = '')"
    ).fetchall()
    assert silent == []


def test_down_and_up_again(database: Database, connection: psycopg.Connection) -> None:
    connection.rollback()
    migrate.migrate(database.connect, down=True)
    assert tables(connection) == {"control.schema_version"}
    connection.rollback()
    migrate.migrate(database.connect)
    assert "reference.markets" in tables(connection)
    assert connection.execute("SELECT count(*) FROM reference.markets").fetchone() == (0,)
    connection.rollback()
    migrate.migrate(database.connect)
    connection.autocommit = True
    assert migrate.revision(connection) == migrate.HEAD


def test_a_ledger_of_an_earlier_version_is_brought_up_with_its_rows(
    database: Database, home: Settings, connection: psycopg.Connection
) -> None:
    connection.rollback()
    migrate.migrate(database.connect, down=True)
    migrate.migrate(database.connect, to="0001")
    connection.execute(
        "INSERT INTO control.files (file_id, feed, run_date, name, file_name, market, format, sha256, size_bytes, state, withdrawn_by)"
        " VALUES ('f', 'orders', '2025-12-20', 'DE', 'DE.csv', 'DE', 'csv', 's', 1, 'withdrawn', 'ann')"
    )
    connection.commit()
    Database(home).ensure()
    assert connection.execute("SELECT withdrawn_by, reinstated_by, reinstated_at FROM control.files").fetchone() == ("ann", None, None)


def test_files_of_an_earlier_version_get_their_ids_wherever_they_are_named(
    database: Database, home: Settings, connection: psycopg.Connection
) -> None:
    connection.rollback()
    migrate.migrate(database.connect, down=True)
    migrate.migrate(database.connect, to="0002")
    for number, name in (("b", "DE.csv"), ("a", "Ä__x+1.jsonl")):
        reason = "DE is no market that is active on 2025-12-20: correct" if number == "b" else "DE is no market, says row 3"
        connection.execute(
            "INSERT INTO control.files"
            " (file_id, feed, run_date, name, file_name, market, format, sha256, size_bytes, state, reason, raw_path)"
            " VALUES (%s, 'orders', '2025-12-20', %s, %s, 'DE', 'csv', 's', 1, 'rejected', %s, 'kept')",
            (number, name.split(".")[0], name, reason),
        )
    connection.execute(
        "INSERT INTO control.published_days (domain, run_date, run_id, tables, manifest, inputs)"
        """ VALUES ('p', '2025-12-20', 'r', '{}', '[]', '{"files": ["b", "gone", "a"], "reference": "v"}')"""
    )
    connection.commit()
    Database(home).ensure()
    first, second = (file_id("orders", dt.date(2025, 12, 20), name, "s") for name in ("DE.csv", "Ä__x+1.jsonl"))
    rows = connection.execute("SELECT file_id, awaits_reference FROM control.files").fetchall()
    assert sorted(rows) == sorted([(first, True), (second, False)])
    inputs = connection.execute("SELECT inputs FROM control.published_days").fetchone()
    assert inputs == ({"files": [first, "gone", second], "reference": "v"},)


def test_a_database_of_a_newer_version_is_refused(database: Database, home: Settings, connection: psycopg.Connection) -> None:
    connection.execute("UPDATE control.schema_version SET version_num = '9999'")
    connection.commit()
    with pytest.raises(ConfigurationError, match=r"schema revision 9999.*none after 0004.*newer version made it; install that one"):
        Database(home).ensure()
    assert connection.execute("SELECT version_num FROM control.schema_version").fetchone() == ("9999",)


def test_processes_that_migrate_at_once(own_home: Settings) -> None:
    program = (
        "from procurement_platform.database.connect import Database; from procurement_platform.settings import Settings;"
        " Database(Settings(_env_file=None)).ensure()"
    )
    EmbeddedServer(own_home).connect().close()
    at_once = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in at_once] == [""] * 4


def test_a_failed_migration_leaves_nothing(own_home: Settings) -> None:
    server = EmbeddedServer(own_home)
    with server.connect(autocommit=True) as connection:
        connection.execute("CREATE SCHEMA control CREATE TABLE launches (in_the_way int)")
        with pytest.raises(Exception, match="launches"):
            Database(own_home).ensure()
        assert tables(connection) == {"control.launches"}
        connection.execute("DROP TABLE control.launches")
    database = Database(own_home)
    database.ensure()
    database.close()


def test_the_migrations_are_in_the_wheel(tmp_path: Path) -> None:
    package = Path(migrate.__file__).parents[1]
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    if not (package.parent / "pyproject.toml").exists():
        pytest.skip("no checkout")
    done = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=package.parent, capture_output=True, text=True, check=False)
    if "No module named 'hatchling'" in done.stderr:
        assert package.parent in Path(migrate.__file__).parents  # no build tool here; test_packaging builds the wheel
        pytest.skip("hatchling is not installed")
    wheel = zipfile.ZipFile(tmp_path / done.stdout.split()[-1])
    names = {path.relative_to(package.parent).as_posix() for path in migrate.MIGRATIONS.rglob("*.py")}
    assert names <= set(wheel.namelist())


OFFER = (
    "INSERT INTO reference.supplier_products (supplier_id, sku, min_quantity, unit_price, valid_from, valid_to)"
    " VALUES ('S', %s, %s, 1, %s, %s)"
)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((None, None), (None, None)),
        ((None, None), ("2025-06-01", "2025-06-01")),
        ((None, "2025-06-01"), ("2025-06-01", None)),
        (("2025-01-01", "2025-06-30"), ("2025-03-01", "2025-04-01")),
        (("2025-03-01", None), (None, "2025-12-31")),
    ],
)
def test_offers_must_not_overlap(connection: psycopg.Connection, first: tuple[str, str], second: tuple[str, str]) -> None:
    connection.execute(OFFER, ("A", 0, *first))
    connection.execute(OFFER, ("A", 0, *second))
    with pytest.raises(psycopg.errors.ExclusionViolation, match=r"supplier S, SKU A, min_quantity 0\.000: offers overlap, one valid from"):
        connection.commit()


def test_offers_may_follow_each_other_and_differ(connection: psycopg.Connection) -> None:
    connection.execute(OFFER, ("A", 0, None, "2025-05-31"))
    connection.execute(OFFER, ("A", 0, "2025-06-01", None))
    connection.execute(OFFER, ("A", 100, None, None))
    connection.execute(OFFER, ("B", 0, None, None))
    connection.commit()
    # Within a transaction they may overlap for a while, also behind a savepoint, and a row that is gone by the end counts for nothing.
    with connection.transaction():
        connection.execute(OFFER, ("A", 0, "2025-07-01", None))
        connection.execute(OFFER, ("A", 0, None, None))
        connection.execute(
            "DELETE FROM reference.supplier_products WHERE sku = 'A' AND valid_from IS NULL AND valid_to IS NULL AND min_quantity = 0"
        )
        connection.execute("UPDATE reference.supplier_products SET valid_to = '2025-06-30' WHERE sku = 'A' AND valid_from = '2025-06-01'")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM reference.supplier_products WHERE sku = 'A'").fetchone() == (4,)


def test_an_update_that_makes_offers_overlap_is_refused(connection: psycopg.Connection) -> None:
    connection.execute(OFFER, ("A", 0, None, "2025-05-31"))
    connection.execute(OFFER, ("A", 0, "2025-06-01", None))
    connection.commit()
    connection.execute("SAVEPOINT s")
    connection.execute("UPDATE reference.supplier_products SET valid_to = NULL WHERE valid_from IS NULL")
    with pytest.raises(psycopg.errors.ExclusionViolation):
        connection.commit()


def test_of_two_transactions_that_would_overlap_one_fails(database: Database, connection: psycopg.Connection) -> None:
    connection.execute(OFFER, ("A", 0, None, None))
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # checked, not yet committed
    with database.connect() as other:
        other.execute("SET lock_timeout = '200ms'")
        other.execute(OFFER, ("A", 0, None, None))
        with pytest.raises(psycopg.errors.LockNotAvailable):  # it waits for the first
            other.execute("SET CONSTRAINTS ALL IMMEDIATE")
        other.rollback()
        connection.commit()
        other.execute(OFFER, ("A", 0, None, None))
        with pytest.raises(psycopg.errors.ExclusionViolation):
            other.commit()


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE reference.markets SET currency = 'eur'", "currency_is_iso_4217"),
        ("UPDATE reference.markets SET when_missing = 'guess'", "when_missing_is_known"),
        ("UPDATE reference.markets SET active_from = '2025-02-01', active_to = '2025-01-01'", "active_from_before_to"),
        ("UPDATE reference.suppliers SET min_order_value = -1", "min_order_value_not_negative"),
        (
            "INSERT INTO reference.supplier_products (supplier_id, sku, unit_price, pack_size) VALUES ('S', 'A', 1, 0)",
            "pack_size_positive",
        ),
        (
            "INSERT INTO reference.supplier_products (supplier_id, sku, unit_price, priority) VALUES ('S', 'A', 1, -1)",
            "priority_not_negative",
        ),
        (
            "INSERT INTO reference.supplier_products (supplier_id, sku, unit_price, rounding) VALUES ('S', 'A', 1, 'down')",
            "rounding_is_known",
        ),
        ("INSERT INTO reference.planning_parameters (sku, safety_stock) VALUES ('A', -1)", "safety_stock_not_negative"),
        ("INSERT INTO reference.planning_parameters (sku, policy) VALUES ('A', 'min_max')", "policy_is_known"),
        ("INSERT INTO reference.planning_parameters (sku) VALUES ('A'), ('A')", "planning_parameters_unique"),
        ("INSERT INTO reference.planning_parameters (sku, market) VALUES ('A', 'DE'), ('A', 'DE')", "planning_parameters_unique"),
        ("INSERT INTO control.runs (run_id, domain, run_date, state) VALUES ('r', 'd', '2025-01-01', 'lost')", "run_state_is_known"),
    ],
)
def test_what_cannot_be_is_refused(connection: psycopg.Connection, statement: str, constraint: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError) as caught:
        connection.execute(statement.encode())
    assert caught.value.diag.constraint_name == constraint


def test_left_out_columns_take_their_defaults(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "SELECT sends_orders, sends_stock, orders_cutoff::text, stock_cutoff::text, when_missing, active_from FROM reference.markets"
    ).fetchone()
    assert found == (True, True, "06:00:00", "06:00:00", "withhold", None)
    connection.execute("INSERT INTO reference.supplier_products (supplier_id, sku, unit_price) VALUES ('S', 'A', 1.5)")
    offer = connection.execute(
        "SELECT priority, min_quantity::text, moq::text, pack_size::text, max_order_quantity, lead_time_days, rounding"
        " FROM reference.supplier_products"
    ).fetchone()
    assert offer == (1, "0.000", "0.000", "1.000", None, 0, "up")


def test_one_accepted_file_per_identity(connection: psycopg.Connection) -> None:
    file = (
        "INSERT INTO control.files (file_id, feed, run_date, name, file_name, market, format, sha256, size_bytes, state)"
        " VALUES (%s, 'orders', '2025-12-20', 'DE', 'DE.avro', 'DE', 'avro', 'x', 1, %s)"
    )
    connection.execute(file, ("a", "superseded"))
    connection.execute(file, ("b", "accepted"))
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(file, ("c", "accepted"))


def test_the_history_has_the_columns_of_a_violation(connection: psycopg.Connection) -> None:
    types = {"varchar": "text", "decimal(38,3)": "numeric"}
    rows = connection.execute(
        "SELECT column_name, data_type, is_nullable = 'NO' FROM information_schema.columns"
        " WHERE table_schema = 'control' AND table_name = 'exceptions_history'"
    ).fetchall()
    columns = {name: (kind, required) for name, kind, required in rows if name not in ("domain", "run_id", "recorded_at")}
    assert columns == {column.name: (types.get(column.type, column.type), column.required) for column in VIOLATIONS.columns}
