"""A day of which very much is wrong: its report is written, published, kept and shown in pieces, in memory that does not grow with it."""

import csv
import hashlib
import io
import subprocess
import sys
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from procurement_platform.procurement.publication import DOMAIN, KEPT_ROWS, exceptions_folder
from procurement_platform.procurement.reference.pins import pin
from procurement_platform_tests.procurement.shop import DAY, Shop

SKUS, MARKETS = 100_000, 3
LINES = SKUS * MARKETS  # and one MISSING_FILE per market and feed
SQL_MIB, PEAK_MIB = 256, 960  # held whole, these lines took 1,470
CHILD = """
import sys
from pathlib import Path
from procurement_platform.cli.run import print_day
from procurement_platform.platform import Platform
from procurement_platform.procurement import publication
from procurement_platform.procurement.publication import DOMAIN, show_crash
from procurement_platform.quality.crashes import RunLog
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, Shop

platform = Platform(Settings(settle_seconds=0.0, sql_memory_mib=int(sys.argv[1])))
Shop(platform).run()
print_day(platform, DAY, 0.0)
log = RunLog(platform.database, DOMAIN)
log.fail(DAY, "run-that-failed", "intake", "the disk is full")
show_crash(platform, DAY)
platform.close()
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")))
"""


@pytest.fixture
def unknown(shop: Shop) -> Shop:
    """A shop of many products with a safety stock in each market, none of which has sent a file."""
    with shop.platform.database.transaction() as connection:
        connection.execute("DELETE FROM reference.planning_parameters")
        connection.execute("INSERT INTO reference.products (sku, name) SELECT 'SKU-' || n, 'p' FROM generate_series(1, %s) n", (SKUS,))
        connection.execute(
            """
            INSERT INTO reference.planning_parameters (sku, market, safety_stock)
            SELECT sku, market, 1.5 FROM reference.products CROSS JOIN reference.markets WHERE sku LIKE 'SKU-%'
            """
        )
    run = shop.day()
    with run.step("reference"):
        pin(shop.platform, DAY)
    run.close()
    return shop


def independent(rows: list[dict[str, object]]) -> bytes:
    """The report as `csv` writes it, of all rows at once."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([format(value, "f") if isinstance(value, Decimal) else value for value in row.values()] for row in rows)
    return text.getvalue().encode()


@pytest.mark.timeout(400)
def test_a_report_of_many_lines_is_made_in_bounded_memory(unknown: Shop) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(SQL_MIB)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *shown, peak = done.stdout.splitlines()
    platform = unknown.platform
    day = platform.days.get(DOMAIN, DAY)
    assert day is not None
    report = next(file for file in day.manifest if file.stable.endswith("/exceptions.csv"))
    kept = platform.lake.path(report.path.rsplit("/", 1)[0], KEPT_ROWS)
    expected = independent(pq.read_table(kept).to_pylist())
    assert platform.lake.read(report.path) == expected
    assert (report.rows, report.bytes, report.sha256) == (LINES + 2 * MARKETS, len(expected), hashlib.sha256(expected).hexdigest())
    with platform.database.transaction() as connection:
        remembered = connection.execute("SELECT count(*), count(DISTINCT sku) FROM control.exceptions_history").fetchall()
    assert remembered == [(LINES + 2 * MARKETS, SKUS)]
    head, *lines = expected.splitlines(keepends=True)
    crashed = platform.lake.read(f"{exceptions_folder(DAY)}/exceptions.csv").splitlines(keepends=True)
    place = sum(b"MISSING_FILE" in line for line in lines)
    assert b"PIPELINE_CRASH" in crashed[1 + place]
    assert [*crashed[: 1 + place], *crashed[2 + place :]] == [head, *lines]
    assert any("STOCK_UNKNOWN" in line and f"{LINES:,}" in line for line in shown)
    assert int(peak) / 1024 < PEAK_MIB
