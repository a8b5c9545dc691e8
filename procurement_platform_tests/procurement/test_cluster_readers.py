"""Readers of a date that is overwritten all the time see all of its old rows or all of its new ones."""

import threading
from itertools import pairwise

import pytest

from procurement_platform.procurement.tables import NET_DEMAND, SUPPLIER_ORDERS
from procurement_platform_tests.procurement.faults import STATES, Far, Rows
from procurement_platform_tests.procurement.shop import DAY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

OVERWRITES, READERS = 50, 3
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
