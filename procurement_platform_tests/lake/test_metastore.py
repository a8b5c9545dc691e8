import datetime as dt
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hive_metastore.ttypes import LockComponent, LockLevel, LockRequest, LockState, LockType, ShowLocksRequest, UnlockRequest

from procurement_platform.database.connect import Database
from procurement_platform.database.locks import DayLock, is_free
from procurement_platform.errors import LakeUnavailable, UnknownOutcome
from procurement_platform.lake import catalog as catalogs
from procurement_platform.lake import metastore
from procurement_platform.lake.catalog import PROPERTIES, TableCatalog, in_metastore
from procurement_platform.lake.committing import MAINTENANCE, Work, unknown
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore import Metastore
from procurement_platform.lake.metastore_client import Connections
from procurement_platform.lake.metastore_locks import Holder
from procurement_platform.stack.place import HOST
from procurement_platform_tests.lake.parts import PARTS
from procurement_platform_tests.lake.proxy import Proxy
from procurement_platform_tests.stack.live import Cluster, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FIRST, SECOND = dt.date(2025, 1, 1), dt.date(2025, 1, 2)


@dataclass(frozen=True)
class Place:
    """A lake and a namespace of the test's own."""

    cluster: Cluster
    lake: Lake
    namespace: str
    uri: str

    def catalog(self, proxy: Proxy | None = None, **seconds: float) -> TableCatalog:
        """A catalog, through a proxy where there is one. `seconds`: the patience of `Metastore`; none: as the platform opens it."""
        uri = f"thrift://{HOST}:{proxy.port}" if proxy else self.uri

        def opened(lake: Lake, namespace: str) -> Metastore:
            return Metastore(lake, namespace, uri, unknown, **seconds)

        return TableCatalog(self.lake, opened if proxy or seconds else in_metastore(uri), namespace=self.namespace)

    def stage(self, day: dt.date, run_id: str, parts: Sequence[str | None]) -> list[str]:
        rows = {"run_date": [day] * len(parts), "part": list(parts), "amount": [Decimal("1.125")] * len(parts)}
        path = self.lake.path(PARTS.folder(day), run_id, "part-0.parquet")
        with self.lake.fs.open(path, "wb") as file:
            pq.write_table(pa.table(rows, schema=PARTS.arrow), file, store_decimal_as_integer=True)
        return [path]

    def trino(self, catalog: str = "iceberg", where: str = "") -> list[list[object]]:
        return self.cluster.query(f"SELECT run_date, part, amount FROM {catalog}.{self.namespace}.parts {where} ORDER BY 1, 2")  # noqa: S608

    def connections(self) -> Connections:
        return Connections(self.uri, 60.0, 60.0)

    def locks(self) -> list[str]:
        with self.connections() as client:
            return [each.agentInfo for each in client.show_locks(ShowLocksRequest(dbname=self.namespace, tablename="parts")).locks or []]

    def lock(self, holder: object) -> int:
        component = LockComponent(LockType.EXCLUSIVE, LockLevel.TABLE, self.namespace, "parts", isTransactional=True)
        with self.connections() as client:
            answer = client.lock(LockRequest([component], user="someone", hostname="somewhere", agentInfo=str(holder)))
        assert answer.state == LockState.ACQUIRED
        return int(answer.lockid)


@pytest.fixture(params=["rpc", "web"])
def either(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Place]:
    yield from placed(cluster, request.param)


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    yield from placed(cluster, "web")  # it closes a file sooner


def placed(cluster: Cluster, kind: str) -> Iterator[Place]:
    namespace = f"t_{uuid.uuid4().hex[:12]}"
    web = cluster.variables["HDFS_BASE_URL"] if kind == "web" else None
    lake = Lake(f"{cluster.hdfs}/tests/{namespace}", web=web, user="root")
    found = Place(cluster, lake, namespace, f"thrift://{HOST}:{cluster.place.ports.metastore}")
    yield found
    left = Metastore(lake, namespace, found.uri)
    for table in left.list_tables(namespace):
        left.drop_table(table)
    left.drop_namespace(namespace)
    lake.remove_folder("")


def rows(catalog: TableCatalog, first: dt.date = FIRST, last: dt.date = SECOND) -> list[tuple[dt.date, str]]:
    found: pa.Table = catalog.load(PARTS).scan().to_arrow()
    return sorted((row["run_date"], row["part"]) for row in found.to_pylist() if first <= row["run_date"] <= last)


def test_what_is_committed_is_what_pyiceberg_and_trino_read(either: Place) -> None:
    catalog = either.catalog()
    assert catalog.replace(PARTS, FIRST, [], {}) is None
    first = catalog.replace(PARTS, FIRST, either.stage(FIRST, "run-1", ["bolt", "nüt 商"]), {"procurement.run-id": "run-1"})
    catalog.replace(PARTS, SECOND, either.stage(SECOND, "run-1", ["screw"]), {})
    expected = [["2025-01-01", "bolt", "1.125"], ["2025-01-01", "nüt 商", "1.125"], ["2025-01-02", "screw", "1.125"]]
    assert either.trino("iceberg") == either.trino("hive") == expected
    assert [[str(day), part, "1.125"] for day, part in rows(catalog)] == expected

    table = catalog.load(PARTS)
    [made] = [each for each in table.snapshots() if each.snapshot_id == first]
    assert made.summary is not None
    assert made.summary["procurement.run-id"] == "run-1"
    assert table.location() == either.lake.path("processed/parts")

    [path] = either.stage(FIRST, "run-2", ["washer"])
    catalog.replace(PARTS, FIRST, [path], {})
    assert catalog.files(PARTS, FIRST) == [path]
    assert either.trino() == [["2025-01-01", "washer", "1.125"], ["2025-01-02", "screw", "1.125"]]
    catalog.replace(PARTS, FIRST, [], {})
    assert either.trino("hive") == [["2025-01-02", "screw", "1.125"]]
    assert either.locks() == []


def test_trino_opens_the_files_of_the_dates_it_is_asked_for_alone(place: Place) -> None:
    catalog = place.catalog()
    [gone] = place.stage(FIRST, "run", ["bolt"])
    catalog.replace(PARTS, FIRST, [gone], {})
    catalog.replace(PARTS, SECOND, place.stage(SECOND, "run", ["screw"]), {})
    place.lake.remove(place.lake.relative(gone))
    for name in ("iceberg", "hive"):
        assert place.trino(name, "WHERE run_date = DATE '2025-01-02'") == [["2025-01-02", "screw", "1.125"]]


def test_files_that_trino_wrote_are_committed_like_any(place: Place) -> None:
    catalog, folder = place.catalog(), f"{PARTS.folder(FIRST)}/run"
    catalog.load(PARTS)
    place.cluster.query(
        f"CREATE TABLE hive.{place.namespace}.staged WITH (format = 'PARQUET', external_location = '{place.lake.path(folder)}') AS"  # noqa: S608
        " SELECT DATE '2025-01-01' AS run_date, CAST(name AS varchar) AS part, CAST(-1.125 AS decimal(18, 3)) AS amount"
        " FROM tpch.tiny.region"
    )
    catalog.replace(PARTS, FIRST, [place.lake.path(folder, name) for name in place.lake.files(folder)], {})
    assert len(place.trino()) == 5
    found = catalog.load(PARTS).scan().to_arrow().sort_by("part").to_pylist()
    assert [[str(each["run_date"]), each["part"], str(each["amount"])] for each in found] == place.trino()
    place.cluster.query(f"DROP TABLE hive.{place.namespace}.staged")


def test_a_table_made_by_hand_lies_in_the_lake(place: Place) -> None:
    place.catalog().load(PARTS)
    place.cluster.query(f"CREATE TABLE iceberg.{place.namespace}.mine AS SELECT 1 AS one")
    assert place.lake.folders("schema")[0].startswith("mine")
    place.cluster.query(f"DROP TABLE iceberg.{place.namespace}.mine")


COMMIT = """
import datetime as dt, os, signal, sys
from procurement_platform.lake.catalog import TableCatalog, in_metastore
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore_locks import TableLock
from procurement_platform_tests.lake.parts import PARTS
url, web, uri, namespace, die, *work = sys.argv[1:]
if die == "die":
    TableLock.check = lambda self: os.kill(os.getpid(), signal.SIGKILL)
catalog = TableCatalog(Lake(url, web=web, user="root"), in_metastore(uri), namespace=namespace)
print("ready", flush=True)
sys.stdin.readline()
for each in work:
    day, path = each.split("=")
    catalog.replace(PARTS, dt.date.fromisoformat(day), [path], {}, holder="run of the test")
"""


def commit(place: Place, die: str, *work: str) -> subprocess.Popen[str]:
    web = place.cluster.variables["HDFS_BASE_URL"]
    arguments = [place.lake.url, web, place.uri, place.namespace, die, *work]
    process = subprocess.Popen([sys.executable, "-c", COMMIT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("after", [FIRST, SECOND], ids=["the same day", "another day"])
def test_a_lock_that_a_killed_process_left_is_taken_away(place: Place, after: dt.date) -> None:
    catalog = place.catalog()
    catalog.replace(PARTS, FIRST, place.stage(FIRST, "run-1", ["old"]), {})
    killed = commit(place, "die", f"{FIRST}={place.stage(FIRST, 'run-2', ['lost'])[0]}")
    killed.communicate("\n", timeout=120)
    assert killed.returncode == -9
    [left] = place.locks()
    assert left.startswith(f"procurement-platform {FIRST} {killed.pid} ")
    assert left.endswith("run of the test")
    assert rows(catalog) == [(FIRST, "old")]
    catalog.replace(PARTS, after, place.stage(after, "run-3", ["new"]), {})
    assert rows(catalog, after, after) == [(after, "new")]
    assert place.locks() == []


def test_a_lock_of_the_same_day_is_taken_away_wherever_its_holder_ran(place: Place) -> None:
    catalog = place.catalog()
    catalog.load(PARTS)
    place.lock(Holder(FIRST, 7, "4026531836", "a-machine-that-burned"))
    catalog.replace(PARTS, FIRST, place.stage(FIRST, "run", ["new"]), {})
    assert rows(catalog) == [(FIRST, "new")]
    assert place.locks() == []


@pytest.mark.parametrize(
    "holder", [Holder.here(SECOND, "alive"), Holder(SECOND, 7, "1", "elsewhere"), "trino"], ids=["here", "elsewhere", "trino"]
)
def test_the_lock_of_another_days_commit_is_waited_for_and_left_alone(place: Place, holder: object) -> None:
    catalog = place.catalog()
    catalog.load(PARTS)
    lock_id = place.lock(holder)
    files = place.stage(FIRST, "run", ["new"])
    with ThreadPoolExecutor(1) as pool:
        committing = pool.submit(catalog.replace, PARTS, FIRST, files, {}, holder="waiting")
        until(lambda: len(place.locks()) == 2)
        assert not committing.done()
        assert str(holder) in place.locks()
        with place.connections() as client:
            client.unlock(UnlockRequest(lockid=lock_id))
        committing.result(60)
    assert rows(catalog) == [(FIRST, "new")]
    assert place.locks() == []


@pytest.mark.parametrize(("work", "lock"), [(SECOND, f"shop {SECOND}"), (MAINTENANCE, MAINTENANCE)], ids=["a day's", "maintenance's"])
def test_a_lock_from_elsewhere_is_taken_away_once_nobody_is_at_its_work(place: Place, database: Database, work: Work, lock: str) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO control.runs (run_id, domain, run_date, state, started_at, launched_by)"
            " VALUES ('1', 'shop', %s, 'running', now(), 'test')",
            (SECOND,),
        )
    catalog = TableCatalog(place.lake, in_metastore(place.uri, partial(is_free, database)), namespace=place.namespace)
    catalog.load(PARTS)
    left = Holder(work, 7, "1", "a-pod-that-was-killed")
    place.lock(left)
    files = place.stage(FIRST, "run", ["new"])
    with ThreadPoolExecutor(1) as pool:
        with DayLock.named(database, lock, "somebody elsewhere"):
            committing = pool.submit(catalog.replace, PARTS, FIRST, files, {})
            until(lambda: len(place.locks()) == 2)
            with pytest.raises(TimeoutError):
                committing.result(1.0)
            assert str(left) in place.locks()
        committing.result(60)
    assert rows(catalog) == [(FIRST, "new")]
    assert place.locks() == []


def test_who_holds_a_table_all_the_time_is_named_and_nothing_is_committed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = place.catalog()
    monkeypatch.setattr(metastore, "LOCK_SECONDS", 0.2)
    catalog.load(PARTS)
    place.lock(Holder.here(SECOND, "a long commit"))
    with pytest.raises(LakeUnavailable, match=r"2025-01-01 was not committed.*a long commit"):
        catalog.replace(PARTS, FIRST, place.stage(FIRST, "run", ["new"]), {})
    assert rows(catalog) == []
    assert len(place.locks()) == 1


def test_a_commit_whose_answer_does_not_come_in_time_is_found_to_be_made(place: Place) -> None:
    direct = place.catalog()
    direct.replace(PARTS, FIRST, place.stage(FIRST, "run-1", ["old"]), {})
    with Proxy(HOST, place.cluster.place.ports.metastore, b"alter_table_with_environment_context", "late") as proxy:
        through = place.catalog(proxy.listen(), answer_seconds=3.0)
        assert through.replace(PARTS, FIRST, place.stage(FIRST, "run-2", ["new"]), {}) is not None
        assert proxy.seen.is_set()
        assert place.locks() == []
    assert rows(direct) == [(FIRST, "new")]
    assert [row[1] for row in place.trino()] == ["new"]


def test_a_commit_that_may_come_yet_leaves_the_table_locked_until_a_bound(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = place.catalog()
    direct.replace(PARTS, FIRST, place.stage(FIRST, "run-1", ["old"]), {})
    direct.replace(PARTS, SECOND, place.stage(SECOND, "run-1", ["other"]), {})
    files = place.stage(FIRST, "run-2", ["new"])
    with Proxy(HOST, place.cluster.place.ports.metastore, b"alter_table_with_environment_context", "lost") as proxy:
        through = place.catalog(proxy.listen(), outcome_seconds=1.0)
        with pytest.raises(UnknownOutcome, match=r"parts 2025-01-01 .* not known .*its files stay"):
            through.replace(PARTS, FIRST, files, {})
        assert proxy.seen.is_set()
    assert place.lake.exists(place.lake.relative(files[0]))  # nothing that the table may need yet was cleaned up
    assert rows(direct) == [(FIRST, "old"), (SECOND, "other")]
    assert [row[1] for row in place.trino()] == ["old", "other"]
    [left] = place.locks()
    with monkeypatch.context() as hasty:
        hasty.setattr(metastore, "LOCK_SECONDS", 0.2)
        for day in (FIRST, SECOND):
            with pytest.raises(LakeUnavailable, match=r"was not committed: .* in doubt since .*: wait until \d\d:\d\d UTC, then run again"):
                direct.replace(PARTS, day, files, {})
    assert place.locks() == [left]
    place.catalog(doubt_seconds=0.0).replace(PARTS, FIRST, files, {})
    assert rows(direct) == [(FIRST, "new"), (SECOND, "other")]
    assert [row[1] for row in place.trino()] == ["new", "other"]
    assert place.locks() == []
    assert not [name for name in place.lake.files("processed/parts/metadata") if name.startswith(".")]


def test_a_metastore_that_restarts_is_waited_for(place: Place) -> None:
    with Proxy(HOST, place.cluster.place.ports.metastore) as proxy:
        catalog = place.catalog(proxy)
        place.catalog().load(PARTS)
        files = place.stage(FIRST, "run", ["new"])
        with ThreadPoolExecutor(1) as pool:
            committing = pool.submit(catalog.replace, PARTS, FIRST, files, {})
            with pytest.raises(TimeoutError):
                committing.result(1.0)
            proxy.listen()
            committing.result(60)
    assert rows(place.catalog()) == [(FIRST, "new")]


@pytest.mark.parametrize("word", [b"check_lock", b"get_table"])
def test_a_connection_that_breaks_before_the_commit_is_asked_for_changes_nothing(place: Place, word: bytes) -> None:
    place.catalog().replace(PARTS, FIRST, place.stage(FIRST, "run-1", ["old"]), {})
    with Proxy(HOST, place.cluster.place.ports.metastore, word, "lost") as proxy:
        place_through = place.catalog(proxy.listen())
        place_through.replace(PARTS, FIRST, place.stage(FIRST, "run-2", ["new"]), {})
        assert proxy.seen.is_set()
    assert rows(place.catalog()) == [(FIRST, "new")]
    assert place.locks() == []


def test_a_metastore_that_is_nowhere_is_named() -> None:
    with Proxy(HOST, 1) as proxy, pytest.raises(LakeUnavailable, match=f"thrift://{HOST}:{proxy.port} cannot be reached"):
        Connections(f"thrift://{HOST}:{proxy.port}", 1.0, 0.0).__enter__()


def test_two_processes_that_commit_different_days_both_land(place: Place) -> None:
    catalog = place.catalog()
    days = [FIRST + dt.timedelta(days=n) for n in range(6)]
    for day in days[:2]:
        catalog.replace(PARTS, day, place.stage(day, "run-1", ["old"]), {})
    work = [f"{day}={place.stage(day, 'run-2', ['new'])[0]}" for day in days]
    processes = [commit(place, "", *work[0::2]), commit(place, "", *work[1::2])]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=300)
        assert process.returncode == 0
    assert rows(catalog, days[0], days[-1]) == [(day, "new") for day in days]
    assert len(place.trino()) == 6
    assert place.locks() == []


def test_threads_share_a_catalog(place: Place) -> None:
    catalog, days = place.catalog(), [FIRST + dt.timedelta(days=n) for n in range(3)]
    files = {day: place.stage(day, "run", ["new"]) for day in days}
    catalog.load(PARTS)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda day: catalog.replace(PARTS, day, files[day], {}), days))
    assert rows(catalog, days[0], days[-1]) == [(day, "new") for day in days]


def test_old_snapshots_and_metadata_go_and_readers_stay(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "KEEP_SNAPSHOTS", 2)
    monkeypatch.setattr(catalogs, "EXPIRE_EVERY", 2)
    monkeypatch.setitem(PROPERTIES, "write.metadata.previous-versions-max", "5")
    catalog, failures, seen, done = place.catalog(), [], [], threading.Event()
    catalog.replace(PARTS, FIRST, place.stage(FIRST, "run-0", ["v0", "v0"]), {})

    def read() -> None:
        while not done.is_set():
            try:
                seen.append([str(row[1]) for row in place.trino()])
            except Exception as problem:  # noqa: BLE001 -- whatever it is, it is one too many
                failures.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for n in range(1, 8):
            catalog.replace(PARTS, FIRST, place.stage(FIRST, f"run-{n}", [f"v{n}"] * 2), {})
    finally:
        done.set()
        reader.join()
    assert failures == []
    assert all(len(each) == 2 and len(set(each)) == 1 for each in seen)
    order = [int(each[0][1:]) for each in seen]
    assert order == sorted(order)
    assert len(catalog.load(PARTS).snapshots()) <= 6
    metadata = [name for name in place.lake.files("processed/parts/metadata") if name.endswith(".metadata.json")]
    assert len(metadata) <= 7
    assert rows(catalog) == [(FIRST, "v7")] * 2
