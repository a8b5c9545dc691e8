"""The stack's PostgreSQL, run for real."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from procurement_platform.database.postgres_folder import environment
from procurement_platform.errors import StackUnavailable
from procurement_platform.stack import postgres
from procurement_platform.stack.place import Place
from procurement_platform.stack.probes import NotYet
from procurement_platform.stack.processes import holders, start, stop


def begin(place: Place) -> "subprocess.Popen[bytes]":
    postgres.initialise(place)
    process = start(place.run / "postgres", place.log("postgres"), postgres.command(place), environment())
    until_it_answers(lambda: postgres.make_databases(place))
    return process


def until_it_answers(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            ask()
        except NotYet:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def test_it_asks_for_the_password_and_keeps_its_data(place: Place) -> None:
    with pytest.raises(NotYet):
        postgres.answers(place)
    process = begin(place)
    postgres.answers(place)
    with postgres.connect(place, "procurement") as connection:
        connection.execute("CREATE TABLE kept (n int)")
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                f"host=127.0.0.1 port={place.ports.postgres} user=procurement dbname=procurement passfile=/none", password=password
            )

    process.kill()  # and its children end by themselves
    process.wait()
    stop(place.run / "postgres")
    process = begin(place)
    with postgres.connect(place, "procurement") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert stop(place.run / "postgres", signal.SIGINT) is True
    process.wait()
    assert holders(place.run / "postgres") == []


def test_a_schema_is_loaded_once_or_not_at_all(place: Place, tmp_path: Path) -> None:
    process = begin(place)
    bad, good = tmp_path / "bad.sql", tmp_path / "good.sql"
    good.write_text('CREATE TABLE "VERSION" (n int); INSERT INTO "VERSION" VALUES (1);')
    bad.write_text(good.read_text() + "CREATE nonsense;")
    with pytest.raises(psycopg.errors.SyntaxError):
        postgres.load_metastore_schema(place, bad)
    for _ in range(2):
        postgres.load_metastore_schema(place, good)
    with postgres.connect(place, "metastore") as connection:
        assert connection.execute('SELECT count(*) FROM "VERSION"').fetchone() == (1,)
    stop(place.run / "postgres", signal.SIGINT)
    process.wait()


def test_a_data_folder_is_made_whole_or_not_at_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    left = place.data / "postgres.new"
    left.mkdir()
    (left / "half").touch()
    monkeypatch.setattr(postgres, "binary", lambda _: "/bin/false")
    with pytest.raises(StackUnavailable, match=r"the database folder .* cannot be made"):
        postgres.initialise(place)
    assert not postgres.data(place).exists()
    assert not (place.temporary / "password").exists()
