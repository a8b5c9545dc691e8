import gc
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy
from pydantic import SecretStr

from procurement_platform.database.connect import Database
from procurement_platform.database.embedded import status, stop
from procurement_platform.errors import ConfigurationError, DatabaseUnavailable, UnknownOutcome
from procurement_platform.settings import Settings

PASSWORD = "s3cr3t"  # noqa: S105


def at(settings: Settings, url: str) -> Database:
    return Database(settings.model_copy(update={"database_url": SecretStr(url)}))


def one(database: Database, query: str, *values: object) -> object:
    with database.transaction() as connection:
        row = connection.execute(query.encode(), values or None).fetchone()
    return row and row[0]


def test_a_block_is_committed_as_a_whole_or_not_at_all(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE t (x int)")
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg.errors.DivisionByZero), database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (2); SELECT 1 / 0")
    assert one(database, "SELECT array_agg(x) FROM t") == [1]


def test_a_failed_statement_keeps_its_own_error_and_the_connection(database: Database) -> None:
    backend = one(database, "SELECT pg_backend_pid()")
    with pytest.raises(psycopg.errors.LockNotAvailable), database.transaction() as connection:
        connection.execute("DO $$ BEGIN RAISE lock_not_available; END $$")
    assert one(database, "SELECT pg_backend_pid()") == backend


def test_transactions_within_each_other_and_in_threads_are_their_own(database: Database) -> None:
    with database.transaction() as outer:
        outer.execute("CREATE TABLE t (x int)")
        assert one(database, "SELECT to_regclass('t')") is None
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: one(database, "INSERT INTO t VALUES (1) RETURNING pg_sleep(0.01)::text"), range(40)))
    assert one(database, "SELECT count(*) FROM t") == 40


def test_connect_gives_a_connection_of_the_callers_own(database: Database) -> None:
    with database.connect(application_name="nightly run") as first, database.connect(autocommit=True) as second:
        assert first.execute("SHOW application_name").fetchone() == ("nightly run",)
        assert (first.autocommit, second.autocommit) == (False, True)
        assert first.info.backend_pid != second.info.backend_pid


def test_a_kept_connection_that_died_is_replaced_unnoticed(database: Database) -> None:
    backend = one(database, "SELECT pg_backend_pid()")
    with database.connect(autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
    assert one(database, "SELECT pg_backend_pid()") != backend


def test_a_server_that_goes_away_within_a_transaction_is_told(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="nothing was committed: terminating connection"), database.transaction() as connection:
        kill(database, connection).execute("SELECT 1")


def test_a_server_that_goes_away_during_the_commit_is_an_unknown_outcome(database: Database) -> None:
    with pytest.raises(UnknownOutcome, match="during a commit"), database.transaction() as connection:
        kill(database, connection)


def kill(database: Database, connection: psycopg.Connection) -> psycopg.Connection:
    with database.connect(autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
    return connection


def test_it_starts_the_embedded_server_again_after_a_stop(own_home: Settings) -> None:
    database = Database(own_home)
    with database.transaction() as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS x")
    assert stop(own_home)
    assert one(database, "SELECT x FROM t") == 7
    assert stop(own_home)
    engine = sqlalchemy.create_engine(database.sqlalchemy_url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as alchemy:
        assert alchemy.exec_driver_sql("SELECT x FROM t").scalar() == 7
    database.close()


def test_while_it_is_kept_the_embedded_server_stays(own_home: Settings) -> None:
    quick = own_home.model_copy(update={"postgres_idle_seconds": 1})
    database = Database(quick)
    started = one(database, "SELECT pg_postmaster_start_time()")
    with database.connect(autocommit=True) as other:
        other.execute("SELECT pg_sleep(2.5)")
    assert status(quick).clients == 1
    assert one(database, "SELECT pg_postmaster_start_time()") == started
    database.close()


def test_sqlalchemy_reaches_the_same_database(database: Database, home: Settings) -> None:
    engine = sqlalchemy.create_engine(database.sqlalchemy_url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as alchemy:
        assert alchemy.exec_driver_sql("SELECT current_database()").scalar() == one(database, "SELECT current_database()")
    assert engine.dialect.driver == "psycopg"


@pytest.mark.parametrize("form", ["url", "driver", "words"])
def test_every_form_of_address_is_understood(home: Settings, form: str) -> None:
    assert home.database_url is not None
    url = home.database_url.get_secret_value()
    host, _, port = url.partition("?host=")[2].partition("&port=")
    name = url.partition("@/")[2].partition("?")[0]
    forms = {
        "url": url,
        "driver": url.replace("postgresql://", "postgresql+psycopg2://"),
        "words": f"host={host} port={port} user=procurement password='p w/@:%' dbname={name}",
    }
    database = at(home, forms[form])
    assert one(database, "SELECT current_database()") == name
    engine = sqlalchemy.create_engine(database.sqlalchemy_url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as alchemy:
        assert alchemy.exec_driver_sql("SELECT current_database()").scalar() == name
    if form == "words":
        assert engine.url.password == "p w/@:%"  # noqa: S105
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@x@host/db",
        f"postgresql://user:{PASSWORD}/x@host/db",
        f"postgresql://user:12/{PASSWORD}@host/db",
        f"postgresql://user:{PASSWORD}%zz@host/db",
        f"mysql://user:{PASSWORD}@host/db",
        f"{PASSWORD}",
        f"host=x {PASSWORD}",
    ],
)
def test_a_malformed_address_is_told_without_repeating_it(home: Settings, url: str) -> None:
    with pytest.raises(ConfigurationError, match="PROCUREMENT_DATABASE_URL is malformed; write postgresql://") as caught:
        at(home, url).ensure()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None  # nor would a traceback repeat it


def test_a_server_out_of_reach_is_told_in_one_line_without_the_password(home: Settings) -> None:
    with socket.socket() as taken:  # bound and not listening: refuses
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(
            DatabaseUnavailable, match=rf"PROCUREMENT_DATABASE_URL is out of reach: .*port {port} failed: Connection refused"
        ) as caught:
            at(home, f"postgresql://user:{PASSWORD}@localhost:{port}/db").ensure()
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_does_not_exist_is_told(home: Settings) -> None:
    assert home.database_url is not None
    url = home.database_url.get_secret_value()
    with pytest.raises(DatabaseUnavailable, match=r'out of reach: .*database "nowhere" does not exist'):
        at(home, f"postgresql://procurement@/nowhere?{url.partition('?')[2]}").ensure()


def test_a_forked_child_leaves_its_parents_connections_alone(database: Database) -> None:
    backend = one(database, "SELECT pg_backend_pid()")
    child = os.fork()
    if child == 0:
        try:
            other = one(database, "SELECT pg_backend_pid()")
            database.close()
            gc.collect()
        except BaseException:  # noqa: BLE001  (nothing of pytest may go on in the child)
            os._exit(1)
        os._exit(0 if other != backend else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert one(database, "SELECT pg_backend_pid()") == backend


def test_an_object_that_is_dropped_closes_its_connections(database: Database, home: Settings) -> None:
    other = Database(home)
    backend = one(other, "SELECT pg_backend_pid()")
    del other
    gc.collect()
    deadline = time.monotonic() + 20
    while one(database, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", backend):
        assert time.monotonic() < deadline


def test_a_warm_start_imports_neither_alembic_nor_sqlalchemy(database: Database) -> None:
    database.ensure()
    program = (
        "import sys; from procurement_platform.database.connect import Database;"
        " from procurement_platform.settings import Settings;"
        " Database(Settings(_env_file=None)).ensure();"
        " print([m for m in ('alembic', 'sqlalchemy', 'dagster', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_database_speaks_of_one_lake(home: Settings) -> None:
    first, second = Database(home, "/lakes/one"), Database(home, "/lakes/two")
    first.ensure()
    second.ensure()  # nothing is in it yet: a wrong setting at the first look binds nobody
    with second.transaction() as connection:
        connection.execute("INSERT INTO control.reference_pins (run_date, table_name, version) VALUES ('2025-12-20', 'markets', 'ab')")
    with pytest.raises(ConfigurationError, match=r"speaks of the lake /lakes/two, .* /lakes/one: set PROCUREMENT_LAKE=/lakes/two"):
        Database(home, "/lakes/one").ensure()
    Database(home, "/lakes/two").ensure()
    Database(home).ensure()  # who asks for no lake is told of none


def test_first_uses_at_once_agree_on_the_lake(home: Settings) -> None:
    def use(number: int) -> str | None:
        try:
            with Database(home, f"/lakes/{number % 2}").transaction() as connection:
                connection.execute("SELECT 1")
        except ConfigurationError as refused:
            return str(refused)
        return None

    with Database(home).transaction() as connection:
        connection.execute("INSERT INTO control.reference_pins (run_date, table_name, version) VALUES ('2025-12-20', 'markets', 'ab')")
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(use, range(16)))
    assert sorted(refusal is None for refusal in told) == [False] * 8 + [True] * 8  # one lake's half of them
