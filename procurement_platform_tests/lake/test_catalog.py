import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitStateUnknownException, NoSuchTableError
from pyiceberg.io import FileIO, pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update.snapshot import ExpireSnapshots

from procurement_platform.database.connect import Database
from procurement_platform.errors import LakeUnavailable, LockLost
from procurement_platform.lake import catalog as catalogs
from procurement_platform.lake.catalog import KEEP_SNAPSHOTS, NAMESPACE, PROPERTIES, TableCatalog, iceberg_schema
from procurement_platform.lake.committing import COMMITTING
from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.snapshots import expire_snapshots
from procurement_platform.lake.metastore_locks import TableHeld
from procurement_platform.lake.publish import Publisher
from procurement_platform.platform import Platform
from procurement_platform.procurement.tables import TABLES
from procurement_platform.settings import Settings
from procurement_platform_tests.lake.parts import PARTS, Stage
from procurement_platform_tests.lake.test_database_catalog import hold

FIRST = dt.date(2025, 1, 1)


def test_every_declared_type_has_its_iceberg_type() -> None:
    for table in TABLES:
        schema = iceberg_schema(table)
        assert [f.name for f in schema.fields] == [c.name for c in table.columns]
        assert [f.doc for f in schema.fields] == [c.doc for c in table.columns]


def test_a_range_of_dates_gives_the_files_of_its_days_alone(publisher: Publisher, stage: Stage) -> None:
    days = [FIRST + dt.timedelta(days=n) for n in range(4)]
    files = {day: stage(day, "run", ["bolt"])[0] for day in days}
    for day in days:
        publisher.catalog.replace(PARTS, day, [files[day]], {})
    assert publisher.catalog.files(PARTS, days[1], days[2]) == [files[days[1]], files[days[2]]]
    by_folder = publisher.catalog.by_folder(PARTS, days[1], days[2])
    assert by_folder == {publisher.lake.relative(files[day]).removesuffix("/part-0.parquet"): [files[day]] for day in days[1:3]}


def test_a_table_that_goes_while_it_is_used_is_not_taken_for_one_without_rows(publisher: Publisher, stage: Stage) -> None:
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run", ["bolt"]), {})
    publisher.catalog._catalog.drop_table(f"{NAMESPACE}.{PARTS.name}")
    with pytest.raises(NoSuchTableError):
        publisher.catalog.files(PARTS, FIRST)


def test_replacing_nothing_by_nothing_commits_nothing(publisher: Publisher) -> None:
    assert publisher.catalog.replace(PARTS, FIRST, [], {}) is None
    assert publisher.catalog.load(PARTS).current_snapshot() is None


def test_a_commit_reads_the_tables_state_once(publisher: Publisher, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.catalog.load(PARTS)
    read: list[object] = []
    load = SqlCatalog.load_table

    def counted(catalog: SqlCatalog, name: str) -> Table:
        read.append(name)
        return load(catalog, name)

    monkeypatch.setattr(SqlCatalog, "load_table", counted)
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run-1", ["bolt"]), {})
    assert len(read) == 1


def test_the_snapshot_says_which_run_made_it(publisher: Publisher, stage: Stage) -> None:
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run-7", ["bolt"]), {"procurement.run-id": "run-7"})
    snapshot = publisher.catalog.load(PARTS).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary["procurement.run-id"] == "run-7"


def test_metadata_stays_small_however_many_commits_there_were(publisher: Publisher, stage: Stage) -> None:
    kept = int(PROPERTIES["write.metadata.previous-versions-max"])
    for n in range(45):
        day = FIRST + dt.timedelta(days=n % 15)
        publisher.catalog.replace(PARTS, day, stage(day, f"run-{n}", ["bolt"]), {})
    table = publisher.catalog.load(PARTS)
    assert len(table.snapshots()) <= 2 * KEEP_SNAPSHOTS
    metadata = Path(unquote(urlsplit(table.metadata_location).path))
    assert len(list(metadata.parent.glob("*.metadata.json"))) <= kept + 2
    assert len(publisher.catalog.files(PARTS, FIRST, FIRST + dt.timedelta(days=14))) == 15


@pytest.mark.parametrize(
    ("retention", "expected"), [(5, [1, 2, 3, 4, 5, 6, 5, 6, 5]), (1, [1, 2, 3, 2, 3, 2, 3, 2, 3])], ids=["more are kept", "never fewer"]
)
def test_commits_leave_as_many_snapshots_as_the_setting_says_where_that_is_more(
    home: Settings, stage: Stage, monkeypatch: pytest.MonkeyPatch, retention: int, expected: list[int]
) -> None:
    monkeypatch.setattr(catalogs, "KEEP_SNAPSHOTS", 2)
    monkeypatch.setattr(catalogs, "EXPIRE_EVERY", 2)
    platform, found = Platform(home.model_copy(update={"snapshot_retention": retention})), []
    for n in range(9):
        day = FIRST + dt.timedelta(days=n)
        platform.catalog.replace(PARTS, day, stage(day, "run", ["bolt"]), {})
        found.append(len(platform.catalog.load(PARTS).snapshots()))
    platform.close()
    assert found == expected


def test_a_tag_on_an_old_snapshot_keeps_that_one_alone(publisher: Publisher, stage: Stage) -> None:
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run", ["bolt"]), {})
    first = publisher.catalog.load(PARTS).snapshots()[0].snapshot_id
    publisher.catalog.load(PARTS).manage_snapshots().create_tag(first, "audit").commit()
    for n in range(1, 25):
        day = FIRST + dt.timedelta(days=n)
        publisher.catalog.replace(PARTS, day, stage(day, "run", ["nut"]), {})
    kept = [snapshot.snapshot_id for snapshot in publisher.catalog.load(PARTS).snapshots()]
    assert first in kept
    assert len(kept) <= 2 * KEEP_SNAPSHOTS + 1


def test_who_asked_for_a_table_reads_it_after_many_commits_of_other_days(publisher: Publisher, stage: Stage) -> None:
    """As many as days that are committed side by side make meanwhile: metadata files go by number."""
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run", ["bolt"]), {})
    asked = publisher.catalog.load(PARTS)
    for n in range(1, 16):
        day = FIRST + dt.timedelta(days=n)
        publisher.catalog.replace(PARTS, day, stage(day, "run", ["nut"]), {})
    assert asked.metadata_location != publisher.catalog.load(PARTS).metadata_location
    found = StaticTable.from_metadata(asked.metadata_location)
    assert found.scan().to_arrow()["part"].to_pylist() == ["bolt"]


def test_a_commit_writes_no_more_than_a_few_days_entries_however_many_days_there_are(publisher: Publisher, stage: Stage) -> None:
    """Else each commit would cost more than the one before. The largest manifest is what a replaced day makes PyIceberg write again."""
    most = int(PROPERTIES["commit.manifest.target-size-bytes"])
    for n in range(60):
        day = FIRST + dt.timedelta(days=n)
        copies = []
        for copy in range(6):
            [path] = stage(day, f"run-{copy}", ["bolt"])
            copies.append(path)
        publisher.catalog.replace(PARTS, day, copies, {})
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run-again", ["bolt"]), {})
    table = publisher.catalog.load(PARTS)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    sizes = [manifest.manifest_length for manifest in snapshot.manifests(table.io)]
    assert max(sizes) <= most
    assert sum(sizes) > most, "else this shows nothing"
    assert len(sizes) <= sum(sizes) // (most // 2) + 12, "small ones are merged all the same"
    assert len(publisher.catalog.files(PARTS, FIRST, FIRST + dt.timedelta(days=59))) == 59 * 6 + 1


def test_a_table_of_an_earlier_version_gets_the_properties_that_it_lacks(
    publisher: Publisher, stage: Stage, lake: Lake, database: Database
) -> None:
    publisher.catalog.load(PARTS).transaction().remove_properties("commit.manifest.target-size-bytes").commit_transaction()
    assert "commit.manifest.target-size-bytes" not in publisher.catalog.load(PARTS).properties
    later, named = TableCatalog(lake, database.sqlalchemy_url), list[object]()
    try:
        assert not PROPERTIES.items() <= later.load(PARTS).properties.items(), "who reads changes nothing"
        later.replace(PARTS, FIRST, stage(FIRST, "run", ["bolt"]), {}, guard=lambda: named.append(COMMITTING.get().work))
        assert PROPERTIES.items() <= later.load(PARTS).properties.items()
        assert named == [FIRST] * 3, "the attempt, the properties, the rows"
    finally:
        later.close()


def test_days_committed_side_by_side_all_land(publisher: Publisher, stage: Stage, lake: Lake, database: Database) -> None:
    days = [FIRST + dt.timedelta(days=n) for n in range(6)]
    files = {day: stage(day, "run", ["bolt"]) for day in days}
    publisher.catalog.load(PARTS)

    def commit(day: dt.date) -> None:
        catalog = TableCatalog(lake, database.sqlalchemy_url)
        catalog.replace(PARTS, day, files[day], {})
        catalog.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(commit, days))
    assert len(publisher.catalog.files(PARTS, days[0], days[-1])) == 6


@pytest.mark.parametrize("first", [True, False], ids=["first rows", "rows to be replaced"])
def test_a_slow_commit_lands_also_when_the_snapshot_that_it_began_with_is_gone(
    publisher: Publisher, stage: Stage, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr(catalogs, "KEEP_SNAPSHOTS", 2)
    monkeypatch.setattr(catalogs, "EXPIRE_EVERY", 2)
    days = [FIRST + dt.timedelta(days=n) for n in range(6)]
    publisher.catalog.replace(PARTS, days[1], stage(days[1], "run-0", ["old"]), {})
    if not first:
        publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run-0", ["old"]), {})
    files, quick = stage(FIRST, "run-1", ["new"]), {day: stage(day, "run-1", ["bolt"]) for day in days[1:]}
    began = publisher.catalog.load(PARTS).current_snapshot()
    there, go_on = hold(monkeypatch, "before", SqlCatalog, "commit_table")
    read, entry = list[str](), pyarrow.parquet_file_to_data_file

    def reading(io: FileIO, metadata: TableMetadata, path: str) -> DataFile:
        read.append(path)
        return entry(io, metadata, path)

    monkeypatch.setattr(pyarrow, "parquet_file_to_data_file", reading)
    slow = TableCatalog(lake, database.sqlalchemy_url)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(slow.replace, PARTS, FIRST, files, {})
        try:
            assert there.wait(60)
            for day in days[1:]:
                publisher.catalog.replace(PARTS, day, quick[day], {})
            assert began not in publisher.catalog.load(PARTS).snapshots(), "else this shows nothing"
        finally:
            go_on.set()
        late.result(60)
    slow.close()
    assert publisher.catalog.files(PARTS, FIRST) == files
    assert sum(path.endswith(lake.relative(files[0])) for path in read) == 1, "its footer is read once, however many attempts"
    assert len(publisher.catalog.files(PARTS, days[0], days[-1])) == 6


@pytest.fixture
def due(publisher: Publisher, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A table of whose snapshots the next commit expires some."""
    monkeypatch.setattr(catalogs, "KEEP_SNAPSHOTS", 2)
    for n in range(3):
        publisher.catalog.replace(PARTS, FIRST + dt.timedelta(days=n), stage(FIRST + dt.timedelta(days=n), "run", ["bolt"]), {})
    monkeypatch.setattr(catalogs, "EXPIRE_EVERY", 2)
    return publisher


def test_snapshots_that_another_commit_expired_meanwhile_fail_no_run(
    due: Publisher, stage: Stage, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files, commit = stage(FIRST, "run-1", ["new"]), ExpireSnapshots.commit

    def overtaken(mine: ExpireSnapshots) -> None:
        monkeypatch.setattr(ExpireSnapshots, "commit", commit)
        list(expire_snapshots(lake, other, [PARTS], keep=1))
        # The metastore's catalog applies the change to the newest state, which has none of these any more; PostgreSQL's does not apply it.
        ExpireSnapshots(other.load(PARTS).transaction()).by_ids(sorted(mine._snapshot_ids_to_expire)).commit()

    other = TableCatalog(lake, database.sqlalchemy_url)
    monkeypatch.setattr(ExpireSnapshots, "commit", overtaken)
    try:
        assert due.catalog.replace(PARTS, FIRST, files, {}) is not None
    finally:
        other.close()
    assert due.catalog.files(PARTS, FIRST) == files
    [told] = caplog.messages
    assert told.startswith("old snapshots of parts stay until the next commit: Snapshot with ID ")


@pytest.mark.parametrize("problem", [TableHeld("held by others"), LakeUnavailable("away"), CommitStateUnknownException("no answer")])
def test_old_snapshots_that_cannot_be_expired_fail_no_run(
    due: Publisher, stage: Stage, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    files = stage(FIRST, "run-1", ["new"])
    monkeypatch.setattr(ExpireSnapshots, "commit", raising(problem))
    assert due.catalog.replace(PARTS, FIRST, files, {}) is not None
    assert due.catalog.files(PARTS, FIRST) == files


def test_a_run_that_loses_its_day_while_old_snapshots_are_expired_says_so(
    due: Publisher, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExpireSnapshots, "commit", raising(LockLost("gone")))
    with pytest.raises(LockLost):
        due.catalog.replace(PARTS, FIRST, stage(FIRST, "run-1", ["new"]), {})


def raising(problem: Exception) -> Callable[[object], None]:
    def raised(_: object) -> None:
        raise problem

    return raised


def test_a_reader_sees_the_old_rows_or_the_new_ones_during_overwrites(
    publisher: Publisher, stage: Stage, lake: Lake, database: Database
) -> None:
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run-0", ["v0"] * 3), {})
    reader = """
import json, sys, datetime as dt
import pyarrow.parquet as pq
from procurement_platform.lake.catalog import TableCatalog
from procurement_platform.lake.files import Lake
from procurement_platform_tests.lake.parts import PARTS
catalog = TableCatalog(Lake(sys.argv[1]), sys.stdin.readline().strip())
seen = []
while True:
    rows = [v for f in catalog.files(PARTS, dt.date(2025, 1, 1)) for v in pq.read_table(f)["part"].to_pylist()]
    seen.append(rows)
    print(len(seen), flush=True)
    if rows and rows[0] == "v30":
        break
catalog.close()
print(json.dumps(seen))
"""
    process = subprocess.Popen([sys.executable, "-c", reader, lake.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(database.sqlalchemy_url + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "1\n"
    for n in range(1, 31):
        publisher.catalog.replace(PARTS, FIRST, stage(FIRST, f"run-{n}", [f"v{n}"] * 3), {})
    seen = json.loads(process.communicate()[0].splitlines()[-1])
    assert process.returncode == 0
    assert all(len(rows) == 3 and len(set(rows)) == 1 for rows in seen)
    order = [int(rows[0][1:]) for rows in seen]
    assert order == sorted(order)


def test_what_pyiceberg_scans_is_what_was_committed(publisher: Publisher, stage: Stage) -> None:
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run", ["bolt", "nut"]), {})
    scanned: pa.Table = publisher.catalog.load(PARTS).scan().to_arrow()
    assert scanned["part"].to_pylist() == ["bolt", "nut"]
    assert scanned["run_date"].to_pylist() == [FIRST, FIRST]
    assert pq.read_schema(publisher.catalog.files(PARTS, FIRST)[0]).names == ["run_date", "part", "amount"]


def test_a_table_of_an_earlier_version_is_widened_and_keeps_its_rows(
    publisher: Publisher, stage: Stage, lake: Lake, database: Database
) -> None:
    publisher.catalog.replace(PARTS, FIRST, stage(FIRST, "run-1", ["bolt"]), {})
    columns = tuple(replace(c, type="decimal(38,3)") if c.name == "amount" else c for c in PARTS.columns)
    wide = replace(PARTS, columns=columns)
    catalog = TableCatalog(lake, database.sqlalchemy_url)
    day, path = FIRST + dt.timedelta(days=1), Path(publisher.stage(PARTS, FIRST, "run-2")[0]) / "part-0.parquet"
    rows = pa.table({"run_date": [day], "part": ["nut"], "amount": [Decimal("1999999999999999.998")]}, schema=wide.arrow)
    pq.write_table(rows, path)
    catalog.replace(wide, day, [str(path)], {})
    assert catalog.load(wide).schema() == iceberg_schema(wide)
    kept = catalog.load(wide).scan().to_arrow().sort_by("part").to_pylist()
    assert [(row["part"], row["amount"]) for row in kept] == [("bolt", None), ("nut", Decimal("1999999999999999.998"))]
    catalog.close()
