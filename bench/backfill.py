"""What a day costs in a backfill, and whether it stays so: a year of sample days in one process.

Run: .venv/bin/python bench/backfill.py --days 365
"""

import argparse
import datetime as dt
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import measure

HERE = Path(__file__).parent
FIRST = dt.date(2025, 1, 1)
ENDS = 30  # days at either end that are compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365, help="how many days, at least 4")
    parser.add_argument("--orders", type=int, default=10_000, help="order lines a day")
    parser.add_argument("--work", type=Path, default=Path("var/bench/backfill"), help="the platform's home for this; made anew")
    options = parser.parse_args()
    home = options.work.resolve()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    environment = {"PROCUREMENT_HOME": str(home), "PROCUREMENT_SETTLE_SECONDS": "0", "COLUMNS": "200"}
    last = FIRST + dt.timedelta(options.days - 1)
    procurement = str(Path(sys.executable).with_name("procurement"))
    start = time.perf_counter()
    measure([procurement, "simulate", str(FIRST), str(last), "--orders", str(options.orders)], home / "log", environment)
    print(f"{options.days} days of {options.orders:,} order lines simulated in {time.perf_counter() - start:.0f} s")

    measured = measure([procurement, "backfill", str(FIRST), str(last)], home / "log", environment, home)
    days = _days(home)
    ends = min(ENDS, len(days) // 2)
    first, last_days = statistics.mean(days[:ends]), statistics.mean(days[-ends:])
    print(f"backfill: {measured.wall:.0f} s, {measured.cpu:.0f} s of {os.cpu_count()} processors, peak {measured.peak_mib:,.0f} MiB")
    print(f"a day: {first:.2f} s in the first {ends}, {last_days:.2f} s in the last {ends}, ratio {last_days / first:.2f}")
    print(f"median {statistics.median(days):.2f} s, slowest {max(days):.2f} s")

    again = (FIRST + dt.timedelta(max(options.days - ENDS, 0))).isoformat()
    profile = [sys.executable, str(HERE / "profiling.py"), again, str(last)]
    done = subprocess.run(profile, env=os.environ | environment, capture_output=True, text=True, check=True)
    print(f"\nThe last days once more, where their time goes:\n{done.stdout}")


def _days(home: Path) -> list[float]:
    """Seconds of each day, from the runs' own record."""
    from procurement_platform.database.connect import Database
    from procurement_platform.settings import Settings

    with Database(Settings(home=home)).transaction() as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY started_at)) FROM control.runs ORDER BY started_at"
        ).fetchall()
    return [float(row[0]) for row in rows[1:]]


if __name__ == "__main__":
    main()
