"""Memory of a day's run on the cluster: that of the run process is the same however many order lines the day has.

Run, with the settings of a running stack and of an empty home, lake and database in the environment (docs/cluster.md):
    .venv/bin/python bench/cluster_memory.py --lines 100000 1000000 10000000
Ends with exit code 1 where the largest peak is more than --at-most times the smallest.
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from procurement_platform.settings import Settings, load_settings

FIRST, APART = dt.date(2025, 3, 1), dt.timedelta(days=30)  # so that no day is compared with another for duplicates
SECONDS_BETWEEN, SECONDS_BETWEEN_QUERIES = 0.1, 1.0
WORKER = "procurement_platform.inbox.worker"
UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@dataclass
class Watched:
    """A run under way: peaks (KiB, the kernel's own account: VmHWM) of its process and of each decoding process, by process id."""

    process: int = 0
    decoders: dict[int, int] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict)
    queries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def look(self, pid: int) -> None:
        self.process = _peak(pid) or self.process
        for child in _below(pid):
            found = self.decoders if WORKER in _command(child) else self.others
            found[child] = _peak(child) or found.get(child, 0)

    def ask(self, settings: Settings, since: str) -> None:
        request = urllib.request.Request(
            f"http://{settings.trino_host}:{settings.trino_port}/v1/query", headers={"X-Trino-User": settings.trino_user}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- likewise
            for query in json.load(answer):
                if query["queryStats"]["createTime"] >= since and query["session"].get("source") == "procurement-platform":
                    self.queries[query["queryId"]] = query["queryStats"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[100_000, 1_000_000], help="order lines of each day")
    parser.add_argument("--markets", type=int, default=10, help="markets of every day")
    parser.add_argument("--skus", type=int, default=2_000, help="products of every day")
    parser.add_argument("--faults", default="none", choices=["none", "typical"], help="what is wrong with the files")
    parser.add_argument("--at-most", type=float, default=1.15, help="the largest peak over the smallest")
    options = parser.parse_args()
    settings = load_settings()
    if settings.profile != "cluster":
        raise SystemExit("PROCUREMENT_PROFILE is not cluster: set the settings of a running stack (docs/cluster.md)")
    procurement = str(Path(sys.executable).with_name("procurement"))
    same = ["--markets", str(options.markets), "--skus", str(options.skus), "--faults", options.faults]
    peaks = []
    for number, lines in enumerate(options.lines):
        day = (FIRST + number * APART).isoformat()
        began = time.perf_counter()
        _run([procurement, "simulate", day, "--orders", str(lines), *same])
        print(
            f"\n{lines:,} order lines, {options.markets} markets, {options.skus:,} SKUs; simulated in {time.perf_counter() - began:.0f} s"
        )
        watched, wall = _watch([procurement, "run", day], settings)
        _tell(watched, wall)
        peaks.append(watched.process)
    ratio = max(peaks) / min(peaks)
    print(f"\nPeak of the run process, the largest over the smallest: {ratio:.3f} (at most {options.at_most})")
    raise SystemExit(ratio > options.at_most)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def _watch(command: Sequence[str], settings: Settings) -> tuple[Watched, float]:
    """Runs a command to its end; its peaks, and the seconds it took."""
    watched, since = Watched(), dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = threading.Event()

    def until_done(look: Callable[[], None], seconds: float) -> None:
        while not done.wait(seconds):
            look()

    with ThreadPoolExecutor(2) as pool:  # apart from each other: no answer of Trino's that is slow in coming hides a peak
        watchers = [
            pool.submit(until_done, lambda: watched.look(process.pid), SECONDS_BETWEEN),
            pool.submit(until_done, lambda: watched.ask(settings, since), SECONDS_BETWEEN_QUERIES),
        ]
        told, _ = process.communicate()
        wall = time.perf_counter() - began
        done.set()
    for watcher in watchers:
        watcher.result()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{told[-2000:]}")
    return watched, wall


def _tell(watched: Watched, wall: float) -> None:
    print(f"run: {wall:.0f} s; peak of its process {watched.process / 1024:,.0f} MiB")
    print(f"decoding processes, each: {', '.join(f'{kib / 1024:,.0f} MiB' for kib in watched.decoders.values()) or 'none'}")
    stats = list(watched.queries.values())
    if stats:
        memory = max(_bytes(each["peakUserMemoryReservation"]) for each in stats)
        read = sum(int(each["rawInputPositions"]) for each in stats)
        print(f"Trino: {len(stats)} statements, {read:,} rows read; the one of most memory took {memory / (1 << 20):,.0f} MiB")


def _bytes(text: str) -> float:
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * UNITS[unit]


def _peak(pid: int) -> int:
    """KiB; 0 where it has gone, or ends."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _below(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found[1:]


if __name__ == "__main__":
    os.environ.setdefault("PROCUREMENT_SETTLE_SECONDS", "0")
    main()
