"""A small retailer on the real servers, for tests that break them: a day with two states of its inbox, and what each is to become.

A run is the real command in a process of its own, which can be held at any call of a function, so that a fault hits just there.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.expressions import EqualTo
from trino.dbapi import Connection

from procurement_platform.dayrun import without_paths
from procurement_platform.lake.files import Lake
from procurement_platform.lake.tables import Table
from procurement_platform.platform import Platform
from procurement_platform.procurement import service
from procurement_platform.procurement.publication import DOMAIN, exceptions_folder, orders_folder
from procurement_platform.procurement.reference.load import load_reference
from procurement_platform.procurement.tables import (
    AGGREGATED_ORDERS,
    NET_DEMAND,
    ORDER_LINES,
    STOCK_LINES,
    SUPPLIER_ORDER_ALLOCATIONS,
    SUPPLIER_ORDERS,
)
from procurement_platform.quality.crashes import RunLog
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order
from procurement_platform_tests.stack.live import Cluster

READ = (ORDER_LINES, STOCK_LINES, AGGREGATED_ORDERS, NET_DEMAND, SUPPLIER_ORDERS, SUPPLIER_ORDER_ALLOCATIONS)
STATES = ("before", "after")
OURS = ("PROCUREMENT_", "HDFS_", "TRINO_", "DAGSTER_", "RUN_DATE")
PATIENT = 60.0
WEB = "HDFS_BASE_URL"  # by which small files are written in a tenth of the time; without it: by the NameNode's own protocol
Rows = list[tuple[object, ...]]

# Holds the run at the n-th call of a function among whose arguments' texts is a word: says so, and goes on when it is told to.
# Servers that are away are waited for, and answers too, for as long as is said.
CHILD = """
import sys
from importlib import import_module
patience, place, number, word, *arguments = sys.argv[1:]
from procurement_platform.engines.trino import TrinoEngine
from procurement_platform.lake import hdfs_rpc, metastore
from procurement_platform.lake.hdfs import Hdfs
seconds = float(patience)
hdfs_rpc.SECONDS = min(seconds, hdfs_rpc.SECONDS)
TrinoEngine.__init__.__kwdefaults__["patience"] = metastore.PATIENCE_SECONDS = Hdfs.patience = seconds
metastore.Metastore.__init__.__kwdefaults__["answer_seconds"] = seconds
if place:
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    function, left = getattr(owner, name), int(number)
    def held(*given, **named):
        global left
        if word in " ".join(map(str, (*given, *named.values()))):
            left -= 1
            if left == 0:
                print("held", file=sys.stderr, flush=True)
                sys.stdin.readline()
        return function(*given, **named)
    setattr(owner, name, held)
from procurement_platform.cli import main
sys.argv[1:] = arguments
main()
"""


@dataclass
class Run:
    """A run under way."""

    process: subprocess.Popen[str]
    told: str = ""

    def wait_held(self) -> None:
        """Until it is where it is to be held; fails where it ends before."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line == "held\n":
                return
            self.told += line
        raise AssertionError(f"the run was never there: {self.told}")

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL

    def end(self) -> int:
        """Its exit code, once it ended; what it said is in `told`."""
        out, error = self.process.communicate(timeout=300)
        self.told += error + out
        return self.process.returncode

    @property
    def error(self) -> str:
        """The one line that says what went wrong."""
        [line] = [each for each in self.told.splitlines() if each.startswith("error: ")]
        return line


@dataclass
class Far:
    """The retailer on the cluster. `rows` and `published` are what a state of the inbox becomes where nothing goes wrong, by state."""

    cluster: Cluster
    environment: dict[str, str]
    settings: Settings
    platform: Platform
    state: str = ""  # what the day was published as last
    inbox: dict[str, dict[str, bytes]] = field(default_factory=dict)
    rows: dict[str, dict[str, Rows]] = field(default_factory=dict)
    published: dict[str, dict[str, bytes]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def send(self) -> str:
        """Puts the files of the other state into the inbox, over those of this one; returns its name."""
        state = next(each for each in STATES if each != self.state)
        for path, data in self.inbox[state].items():
            self.platform.lake.write(path, data)
        return state

    def start(
        self, place: str = "", *, number: int = 1, word: str = "", patience: float = PATIENT, settings: Mapping[str, str] | None = None
    ) -> Run:
        """Starts the day's run; with a `place` (module:function) it is held there."""
        command = [sys.executable, "-c", CHILD, str(patience), place, str(number), word, "run", DAY.isoformat()]
        pipe = subprocess.PIPE
        environment = {**self.environment, **(settings or {})}
        self.runs.append(Run(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)))
        return self.runs[-1]

    def heal(self, state: str) -> None:
        """A run to which nothing happens; then the day is that of a state, to the byte, and no crash is told any more."""
        self.finish(self.start(), state)

    def finish(self, run: Run, state: str) -> None:
        """The run succeeds, and the day is that of a state."""
        assert run.end() == 0, run.told
        self.state = state
        for table in READ:
            assert self.in_pyiceberg(table) == self.rows[state][table.name], table.name
        found, expected = stable_files(self.platform.lake), self.published[state]
        differing = {path: (found.get(path), expected.get(path)) for path in found | expected if found.get(path) != expected.get(path)}
        assert not differing, differing
        assert RunLog(self.platform.database, DOMAIN).standing_crash(DAY) is None

    def fail(self, run: Run, *words: str, recorded: bool = True) -> None:
        """The run ends with exit code 1 and a line with these words; where it is `recorded`, the same is the newest of the day's crashes.

        It is not of a run that never had the day, nor of one that lost it with PostgreSQL: the next run has recorded that one as killed.
        """
        assert run.end() == 1, run.told
        assert all(word in run.error for word in words), run.error
        assert "Traceback" not in run.told
        if recorded:
            _, _, why = run.error.partition(f"{DAY} failed: ")
            assert service.crashes(self.platform, DAY)[-1].message == without_paths(why, self.platform)

    def close(self) -> None:
        """Ends what was started, also the runs of a test that failed."""
        for run in self.runs:
            with run.process as process:
                process.kill()
        self.platform.close()

    def in_trino(self, table: Table) -> Rows:
        connection = Connection(host=self.settings.trino_host, port=self.settings.trino_port, user="reader")
        cursor = connection.cursor()
        cursor.execute(f"SELECT {', '.join(c.name for c in table.columns)} FROM iceberg.{self.settings.table_schema}.{table.name}"  # noqa: S608
                       f" WHERE run_date = DATE '{DAY}'")  # fmt: skip
        return sorted((tuple(row) for row in cursor.fetchall()), key=repr)

    def in_pyiceberg(self, table: Table) -> Rows:
        found = self.platform.catalog.load(table).scan(row_filter=EqualTo(term="run_date", value=DAY.isoformat())).to_arrow()
        return sorted_rows(found.to_pylist(), table)

    def check_whole(self) -> None:
        """Every reader of a table sees all rows of one of the two states, through Trino as through PyIceberg; so do buyers of files."""
        for table in READ:
            found = self.in_trino(table)
            assert found in [self.rows[state][table.name] for state in STATES], table.name
            assert self.in_pyiceberg(table) == found, table.name
        assert manifest(self.platform) in list(self.published.values())

    def crashes(self) -> list[str]:
        """What is known of the day's crashes, oldest first."""
        return [f"{crash.step}: {crash.message}" for crash in service.crashes(self.platform, DAY)]


def stable_files(lake: Lake) -> dict[str, bytes]:
    """What buyers read, by path."""
    folders = (orders_folder(DAY), exceptions_folder(DAY))
    return {f"{folder}/{name}": lake.read(f"{folder}/{name}") for folder in folders for name in lake.files(folder) if name[0] != "."}


def manifest(platform: Platform) -> dict[str, bytes]:
    """The files of the published day, by their stable paths."""
    return {file.stable: platform.days.read(file) for file in service.published_day(platform, DAY).manifest}


def sorted_rows(rows: list[dict[str, Any]], table: Table) -> Rows:
    return sorted((tuple(row[column.name] for column in table.columns) for row in rows), key=repr)


def _put(shop: Shop, state: str) -> None:
    shop.put("orders", "DE", [order("1", "A", 20), order("2", "B", 5 if state == "before" else 6), order("3", "GONE", 1)])
    shop.put("orders", "GB", [order("7", "B", 3), order("8", "C", 2 if state == "before" else 11)])
    shop.put("stock", "DE", [count("A", 4), count("B", 0 if state == "before" else 9, 1)])
    shop.put("stock", "GB", [count("B", 1), count("C", 0)])


@contextmanager
def far_of(cluster: Cluster, near: Shop, environment: dict[str, str]) -> Iterator[Far]:
    """The retailer with a day that was run undisturbed in both states near, and in the first of them on the cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = {**environment, WEB: cluster.variables[WEB]}
    settings = _settings(environment)
    far = Far(cluster, {**kept, **environment, "PROCUREMENT_SETTLE_SECONDS": "0"}, settings, Platform(settings))
    try:
        for state in STATES:
            _put(near, state)
            far.inbox[state] = {near.platform.lake.relative(str(path)): path.read_bytes() for path in near.inbox.rglob("*.avro")}
            near.run()
            far.rows[state] = {
                table.name: sorted_rows(
                    [row for file in near.platform.catalog.files(table, DAY) for row in pq.read_table(file).to_pylist()], table
                )
                for table in READ
            }
            far.published[state] = manifest(near.platform)
        assert all(far.rows["before"][table.name] != far.rows["after"][table.name] for table in READ)
        load_reference(far.platform.database, near.platform.settings.home / "reference-csv")
        far.state = "after"
        far.heal(far.send())
        yield far
    finally:
        far.close()


def _settings(environment: dict[str, str]) -> Settings:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return Settings(_env_file=None)
    finally:
        os.environ.clear()
        os.environ.update(before)
