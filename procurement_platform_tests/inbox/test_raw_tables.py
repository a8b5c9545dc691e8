"""Raw tables on the real servers: what Trino reads is what fastavro reads of the files in use."""

import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from trino.dbapi import connect

from procurement_platform.database.locks import DayLock
from procurement_platform.errors import ConfigurationError, LakeUnavailable
from procurement_platform.inbox.ledger import LedgerFile
from procurement_platform.inbox.raw_tables import Change, RawTables
from procurement_platform.lake.files import Lake
from procurement_platform.lake.metastore_client import Connections
from procurement_platform.platform import Platform
from procurement_platform.procurement.feeds import FEEDS, ORDERS
from procurement_platform.procurement.handing_in import withdraw
from procurement_platform.procurement.intake import take_in
from procurement_platform.procurement.publication import DOMAIN
from procurement_platform.procurement.reference.pins import pin
from procurement_platform.settings import Settings
from procurement_platform.stack.place import HOST
from procurement_platform_tests.cli.conftest import procurement
from procurement_platform_tests.procurement.shop import Shop
from procurement_platform_tests.stack.live import Cluster, free_ports

__all__ = ["procurement"]  # a fixture, found by its name here

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FIRST, SECOND = dt.date(2025, 12, 20), dt.date(2025, 12, 21)
NOON = dt.datetime(2025, 12, 20, 12, 0, 0, 123456, tzinfo=dt.UTC)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
CONTRACT = json.loads(ORDERS.contract.avsc)
Row = dict[str, Any]


def order(order_id: str, **more: object) -> Row:
    plain = {"line_number": 1, "market": "DE", "sku": "A", "quantity": Decimal("2.125"), "unit_price": Decimal("-0.0001"), "currency": None}
    return {"order_id": order_id, **plain, "ordered_at": NOON, "customer_id": "Zoë 商", **more}


def schema(*, without: Sequence[str] = (), **more: object) -> dict[str, Any]:
    """The contract's schema with fields left out, added, or of another type."""
    kept = [each for each in CONTRACT["fields"] if each["name"] not in without]
    fields = [{**each, "type": more.pop(each["name"], each["type"])} for each in kept]
    return {"type": "record", "name": "Sent", "fields": [*fields, *({"name": name, "type": kind} for name, kind in more.items())]}


def plain(value: object) -> object:
    return (value - EPOCH) // dt.timedelta(microseconds=1) if isinstance(value, dt.datetime) else value


@dataclass
class Place:
    """A lake, a raw schema and a ledger of the test's own."""

    cluster: Cluster
    lake: Lake
    schema: str
    ledger: list[LedgerFile] = field(default_factory=list)

    @property
    def tables(self) -> RawTables:
        return RawTables(self.lake, self.connections(), self.schema)

    def connections(self) -> Connections:
        return Connections(f"thrift://{HOST}:{self.cluster.place.ports.metastore}", 60.0, 5.0)

    def put(self, name: str, rows: Sequence[Row], sent: dict[str, Any] | None = None, day: dt.date = FIRST) -> LedgerFile:
        """A file in use."""
        data = io.BytesIO()
        fastavro.writer(data, fastavro.parse_schema(sent or CONTRACT), rows, codec="deflate")
        file_id = uuid.uuid4().hex[:16]
        path = f"raw/orders/{day}/{name}.{file_id}.avro"
        self.lake.write(path, data.getvalue())
        self.ledger.append(
            LedgerFile(
                file_id=file_id,
                feed="orders",
                run_date=day,
                name=name,
                file_name=f"{name}.avro",
                market=name,
                format="avro",
                sha256="",
                size_bytes=len(data.getvalue()),
                sent_at=NOON,
                state="accepted",
                reason=None,
                rows=len(rows),
                accepted=len(rows),
                quarantined=0,
                duplicates=0,
                notes=None,
                raw_path=path,
                run_id="run",
            )
        )
        return self.ledger[-1]

    def no_longer(self, file: LedgerFile, state: str = "superseded") -> None:
        """Takes a file out of use, as the intake does."""
        beside = file.raw_path.replace(f"/{file.run_date}/", f"/{file.run_date}/_superseded/")
        self.lake.move(file.raw_path, beside)
        self.ledger[self.ledger.index(file)] = replace(file, state=state, raw_path=beside)

    def repair(self, days: Sequence[dt.date] | None = None, *, dry_run: bool = False) -> list[Change]:
        return self.tables.reconcile(FEEDS, lambda: self.ledger, days, dry_run=dry_run)

    def done(self, *, dry_run: bool = False) -> list[tuple[str, str]]:
        return [(str(change.run_date), change.done) for change in self.repair(dry_run=dry_run)]

    def sent(self, *columns: str) -> list[tuple[object, ...]]:
        """What fastavro reads of the files in use: the run date, then these columns, in order."""
        rows = []
        for file in self.ledger:
            if file.state == "accepted":
                with self.lake.open(file.raw_path) as opened:
                    read = list(fastavro.reader(opened))
                rows += [(file.run_date, *(plain(row.get(column)) for column in columns)) for row in read]  # type: ignore[union-attr]
        return sorted(rows, key=repr)

    def shown(self, *columns: str) -> list[tuple[object, ...]]:
        """The same as Trino reads it."""
        cursor = connect(host=HOST, port=self.cluster.place.ports.trino, user="reader").cursor()  # type: ignore[no-untyped-call]
        cursor.execute(f"SELECT run_date, {', '.join(columns)} FROM hive.{self.schema}.orders")  # noqa: S608
        return sorted((tuple(row) for row in cursor.fetchall()), key=repr)

    def check(self, *more: str) -> None:
        columns = [each["name"] for each in CONTRACT["fields"]] + list(more)
        assert self.shown(*columns) == self.sent(*columns)


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    found = Place(cluster, Lake(f"{cluster.hdfs}/tests/{name}", user=cluster.variables["HDFS_USER"]), f"{name}_raw")
    yield found
    remove_schema(found.connections(), found.schema)
    found.lake.remove_folder("")


def remove_schema(connections: Connections, schema: str) -> None:
    with connections as client:
        if schema in client.get_all_databases():
            client.drop_database(schema, False, True)


def test_trino_reads_the_files_as_they_were_sent_however_their_schemas_evolve(place: Place) -> None:
    place.put("DE", [order("1"), order("2", line_number=None, quantity=Decimal("-999999999999999.999"))])
    place.put("GB", [order("3", customer_id=None)], {**CONTRACT, "fields": CONTRACT["fields"][::-1]})
    place.put("FR", [order("4")], schema(without=["line_number", "customer_id"]))
    assert [(change.done, change.notes) for change in place.repair()] == [("registered", ())]
    place.check()

    place.put(
        "DE", [order("5", promo="summer", count=7, orderId="x")], schema(promo=["null", "string"], count="int", orderId="string"), SECOND
    )
    place.put("GB", [order("6")], day=SECOND)
    assert place.done() == [(str(SECOND), "registered")]
    place.check()
    assert place.shown("order_id", "promo", "count", "orderid") == place.sent("order_id", "promo", "count", "orderId")  # old files, too
    assert place.done() == []


def test_a_column_that_would_be_read_wrong_is_empty_and_the_others_are_not(place: Place) -> None:
    two = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
    place.put("DE", [order("1", quantity=Decimal("1.25"))], schema(quantity=two))
    place.put("GB", [order("2")])
    place.put("GB", [order("3")], day=SECOND)
    first, second = place.repair()
    assert len(first.notes) == 1
    assert first.notes[0].startswith("quantity is shown empty: DE.avro has it as ")
    assert second.notes == ()
    assert place.shown("order_id", "quantity", "unit_price") == [
        (FIRST, "1", None, Decimal("-0.0001")),
        (FIRST, "2", None, Decimal("-0.0001")),
        (SECOND, "3", Decimal("2.125"), Decimal("-0.0001")),
    ]


def test_repair_registers_unregisters_renews_and_moves(place: Place) -> None:
    assert place.repair() == []
    old = place.put("DE", [order("1")])
    other = place.put("DE", [order("2")], day=SECOND)
    assert place.done(dry_run=True) == [(str(FIRST), "registered"), (str(SECOND), "registered")]
    assert place.done(dry_run=True) == place.done()
    place.check()

    place.no_longer(old)
    place.put("DE", [order("1", promo=1)], schema(promo="long"))
    assert place.done(dry_run=True) == [(str(FIRST), "renewed")]
    assert place.done() == [(str(FIRST), "renewed")]
    place.check("promo")

    place.no_longer(other, "withdrawn")
    assert place.done() == [(str(SECOND), "unregistered")]
    place.check("promo")
    assert place.lake.exists(place.ledger[1].raw_path)

    with place.connections() as client:
        partition = client.get_partition(place.schema, "orders", [str(FIRST)])
        partition.sd.location = place.lake.path("elsewhere")
        client.alter_partition(place.schema, "orders", partition)
    assert place.done() == [(str(FIRST), "moved")]
    place.check("promo")

    with place.connections() as client:
        client.drop_table(place.schema, "orders", False)
    assert place.done() == [(str(FIRST), "registered")]
    place.check("promo")


def test_a_day_whose_raw_copies_are_gone_or_damaged_stops_no_other(place: Place) -> None:
    gone, broken = place.put("DE", [order("1")]), place.put("DE", [order("2")], day=SECOND)
    place.put("DE", [order("3")], day=SECOND + dt.timedelta(1))
    place.repair()
    place.lake.remove(gone.raw_path)
    place.lake.write(broken.raw_path, b"no Avro")
    place.put("GB", [order("4")], day=SECOND)
    unregistered, failed = place.repair()
    assert (unregistered.run_date, unregistered.done) == (FIRST, "unregistered")
    assert (failed.run_date, failed.done) == (SECOND, "failed")
    assert failed.notes[0].startswith(f"{broken.raw_path}, the raw copy of DE.avro, cannot be read any more")


def test_days_that_add_columns_at_the_same_time_are_all_read(place: Place) -> None:
    days = [FIRST + dt.timedelta(n) for n in range(6)]
    for number, day in enumerate(days):
        place.put("DE", [order(str(number), **{f"added_{number}": number})], schema(**{f"added_{number}": "int"}), day)
    with ThreadPoolExecutor(len(days)) as pool:
        changes = list(pool.map(lambda day: place.repair([day]), days))
    assert [[change.done for change in each] for each in changes] == [["registered"]] * len(days)
    place.check(*(f"added_{number}" for number in range(len(days))))


def test_the_tables_of_another_lake_are_left_alone(place: Place) -> None:
    place.put("DE", [order("1")])
    place.repair()
    with pytest.raises(ConfigurationError, match="set PROCUREMENT_RAW_SCHEMA"):
        RawTables(Lake(f"{place.cluster.hdfs}/tests/another"), place.connections(), place.schema).reconcile(FEEDS, list)
    place.check()


def test_a_metastore_that_is_away_is_named(place: Place) -> None:
    address = f"thrift://{HOST}:{free_ports(1)[0]}"
    with pytest.raises(LakeUnavailable, match=address):
        RawTables(place.lake, Connections(address, 5.0, 0.0), place.schema).reconcile(FEEDS, list)


@pytest.fixture
def shop(cluster_home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("PROCUREMENT_SETTLE_SECONDS", "0")
    platform = Platform(Settings(_env_file=None))
    shop = Shop(platform)
    shop.load()
    yield shop
    platform.close()
    remove_schema(Connections(cluster_home.metastore_uri, 60.0, 5.0), cluster_home.raw_schema)


def test_a_run_shows_its_day_and_repair_mends_what_it_could_not(
    shop: Shop, procurement: Callable[..., Any], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = shop.platform
    where = Place(cluster, platform.lake, platform.settings.raw_schema)

    def receive(name: str, *rows: Row) -> tuple[str, ...]:
        if rows:
            data = io.BytesIO()
            fastavro.writer(data, fastavro.parse_schema(CONTRACT), rows)
            platform.lake.write(f"inbox/orders/{FIRST}/{name}.avro", data.getvalue())
        run = shop.day(FIRST)
        with run.step("intake"):
            pin(platform, FIRST)
            found = take_in(run)
        run.close()
        return found.warnings

    def in_use() -> list[tuple[object, ...]]:
        where.ledger = platform.ledger.files(FIRST)
        return where.shown("order_id")

    assert receive("DE", order("1"), order("2")) == ()
    assert in_use() == [(FIRST, "1"), (FIRST, "2")]
    where.check()
    receive("DE", order("3"))  # a correction: the file before is superseded
    assert in_use() == [(FIRST, "3")]
    platform.lake.remove(f"inbox/orders/{FIRST}/DE.avro")
    receive("GB", order("4", market="GB"))
    withdraw(platform, "DE.avro", "a test", FIRST)
    receive("")
    assert in_use() == [(FIRST, "4")]
    where.check()

    there = platform.settings.metastore_uri
    with monkeypatch.context() as away:
        away.setitem(platform.__dict__, "raw_tables", RawTables(platform.lake, Connections("thrift://127.0.0.1:9", 1.0, 0.0), where.schema))
        [warning] = receive("GB", order("5", market="GB"))
    assert "thrift://127.0.0.1:9" in warning
    assert warning.endswith("procurement repair raw")
    assert there == platform.settings.metastore_uri
    [planned] = procurement("repair", "raw", "--dry-run", "--format", "json").json
    assert (planned["feed"], planned["run_date"], planned["done"]) == ("orders", str(FIRST), "renewed")
    with DayLock.acquire(platform.database, DOMAIN, FIRST, "another run"):
        busy = procurement("repair", "raw", "--format", "json")
    assert busy.code == 1
    [left] = busy.json
    assert (left["feed"], left["done"]) == ("orders", "failed")
    assert "being worked on by another run" in left["notes"]
    assert procurement("repair", "raw", "--dry-run", "--format", "json").json == [planned]
    assert procurement("repair", "raw", "--format", "json").json == [planned]
    assert procurement("repair", "raw", "--format", "json").json == []
    assert in_use() == [(FIRST, "5")]
    where.check()
