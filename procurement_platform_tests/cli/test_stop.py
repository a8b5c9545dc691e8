"""`procurement stop`."""

from procurement_platform.database import embedded
from procurement_platform.database.connect import Database
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import Procurement


def test_the_embedded_server_is_stopped_and_starts_again(procurement: Procurement, own_home: Settings) -> None:
    database = Database(own_home)
    with database.transaction() as connection:
        connection.execute("CREATE TABLE kept (n int)")
    assert embedded.status(own_home).running

    done = procurement("stop")
    assert (done.code, done.out, done.err) == (0, "", f"the embedded PostgreSQL of {own_home.home} is stopped\n")
    assert not embedded.status(own_home).running

    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    database.close()


def test_nothing_to_stop_is_no_error(procurement: Procurement, own_home: Settings) -> None:
    assert procurement("stop").err == f"the embedded PostgreSQL of {own_home.home} was not running\n"
    assert not own_home.home.exists()


def test_a_server_of_its_own_is_left_alone(procurement: Procurement, home: Settings) -> None:
    done = procurement("stop")
    assert done.code == 0
    assert "none to stop here" in done.err
    with Database(home).transaction() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
