"""Readers of a date that is overwritten all the time see all of its old rows or all of its new ones."""

import datetime as dt
import threading
from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.expressions import EqualTo
from trino.dbapi import Connection

from procurement_platform.procurement.tables import NET_DEMAND, ORDER_LINES, SUPPLIER_ORDERS
from procurement_platform_tests.procurement.faults import STATES, Far, Rows
from procurement_platform_tests.procurement.shop import DAY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

OVERWRITES, READERS = 50, 3
PARTS, LINES = 20, 3  # files of a date, and rows of each
OTHER_DAY = DAY + dt.timedelta(days=40)
TABLES = (NET_DEMAND, SUPPLIER_ORDERS)


class Reader(threading.Thread):
    """Asks Trino for a date's rows of both tables, in turn, until it is told to end."""

    def __init__(self, far: Far, done: threading.Event) -> None:
        super().__init__()
        self.seen: dict[str, list[Rows]] = {table.name: [] for table in TABLES}
        self.errors: list[Exception] = []
        self._far, self._done = far, done

    def run(self) -> None:
        while not self._done.is_set():
            for table in TABLES:
                try:
                    self.seen[table.name].append(self._far.in_trino(table))
                except Exception as problem:  # noqa: BLE001 -- whatever it is, it is one too many
                    self.errors.append(problem)


def test_three_readers_see_whole_dates_during_fifty_overwrites(far: Far) -> None:
    catalog, files = far.platform.catalog, {}
    for _ in STATES:
        far.heal(far.send())
        files[far.state] = {table.name: catalog.files(table, DAY) for table in TABLES}
    done = threading.Event()
    readers = [Reader(far, done) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, OVERWRITES + 1):
            state = STATES[(STATES.index(far.state) + number) % 2]
            for table in TABLES:
                catalog.replace(table, DAY, files[state][table.name], {}, holder="the test")
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert [problem for reader in readers for problem in reader.errors] == []
    for table in TABLES:
        expected = {state: far.rows[state][table.name] for state in STATES}
        for reader in readers:
            seen = reader.seen[table.name]
            assert all(rows in expected.values() for rows in seen)
            assert sum(first != second for first, second in pairwise(seen)) > 1, "the reads fell between overwrites"
    far.check_whole()


def stage(far: Far, version: int) -> list[str]:
    """Order lines of a date in many new files; the quantity of each says which version it is of."""
    found = []
    for part in range(PARTS):
        values = {
            "run_date": OTHER_DAY, "order_id": str(part), "line_number": None, "market": "DE", "sku": "A", "quantity": Decimal(version),
            "unit_price": Decimal(1), "currency": None, "ordered_at_us": 0, "customer_id": None, "file_id": f"{part:016x}",
        }  # fmt: skip
        rows = {name: [value] * LINES for name, value in values.items()} | {"row_number": list(range(1, LINES + 1))}
        path = far.platform.lake.path(ORDER_LINES.folder(OTHER_DAY), f"version-{version}", f"part-{part}.parquet")
        with far.platform.lake.fs.open(path, "wb") as file:
            pq.write_table(pa.table(rows, schema=ORDER_LINES.arrow), file, store_decimal_as_integer=True)
        found.append(path)
    return found


class Counter(threading.Thread):
    """Asks for the date's rows by version, until it is told to end: Trino, or PyIceberg."""

    def __init__(self, far: Far, done: threading.Event, *, trino: bool) -> None:
        super().__init__()
        self.seen: list[list[tuple[int, int]]] = []
        self.errors: list[Exception] = []
        self._far, self._done, self._ask = far, done, self._trino if trino else self._pyiceberg

    def run(self) -> None:
        while not self._done.is_set():
            try:
                self.seen.append(self._ask())
            except Exception as problem:  # noqa: BLE001 -- whatever it is, it is one too many
                self.errors.append(problem)

    def _trino(self) -> list[tuple[int, int]]:
        settings = self._far.settings
        cursor = Connection(host=settings.trino_host, port=settings.trino_port, user="reader").cursor()
        cursor.execute(
            f"SELECT CAST(quantity AS bigint), count(*) FROM iceberg.{settings.table_schema}.{ORDER_LINES.name}"  # noqa: S608
            f" WHERE run_date = DATE '{OTHER_DAY}' GROUP BY 1"
        )
        return [tuple(row) for row in cursor.fetchall()]

    def _pyiceberg(self) -> list[tuple[int, int]]:
        scan = self._far.platform.catalog.load(ORDER_LINES).scan(row_filter=EqualTo(term="run_date", value=OTHER_DAY.isoformat()))
        counted = scan.to_arrow().group_by("quantity").aggregate([("quantity", "count")]).to_pylist()
        return [(int(row["quantity"]), row["quantity_count"]) for row in counted]


def test_readers_of_many_files_see_all_of_one_version(far: Far) -> None:
    catalog = far.platform.catalog
    far.heal(far.send())
    catalog.replace(ORDER_LINES, OTHER_DAY, stage(far, 0), {}, holder="the test")
    done = threading.Event()
    readers = [*(Counter(far, done, trino=True) for _ in range(READERS)), Counter(far, done, trino=False)]
    for reader in readers:
        reader.start()
    try:
        for version in range(1, OVERWRITES + 1):
            catalog.replace(ORDER_LINES, OTHER_DAY, stage(far, version), {}, holder="the test")
    finally:
        done.set()
        for reader in readers:
            reader.join()
        catalog.replace(ORDER_LINES, OTHER_DAY, [], {}, holder="the test")
    for reader in readers:
        assert reader.errors == []
        assert all(len(versions) == 1 and versions[0][1] == PARTS * LINES for versions in reader.seen), reader.seen
        versions = [versions[0][0] for versions in reader.seen]
        assert versions == sorted(versions), "an older version after a newer one"
        assert len(set(versions)) > 2, "the reads fell between overwrites"
