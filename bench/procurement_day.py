"""The platform's whole day against hand-written scripts that do the same work on the same files, in one run on one machine.

Run: .venv/bin/python bench/procurement_day.py --lines 1000000 10000000 30000000 --repeat 3

Each size's files are made once, by the platform's simulator: 20 markets, 50,000 SKUs, Avro. Then whole processes take turns: `procurement
run`, and `peers/` by hand with DuckDB, polars, fastavro + pandas. All of them hash, copy, decode and check every file, write accepted lines
as Parquet and others to quarantine, find duplicates and conflicts, and come to supplier orders as Parquet and CSV; the results must be the
same. The platform alone also keeps a ledger, commits Iceberg tables, reports exceptions, and can be killed at any moment.
"""

import argparse
import datetime as dt
import os
import shutil
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from market_files import export_reference, make_reference_set, write_day
from measure import Measured, measure
from results import Results, differences, results_of_platform, results_of_script

from procurement_platform.platform import Platform, platform_for
from procurement_platform.settings import Settings

HERE = Path(__file__).parent
PLATFORM, PANDAS = "platform", "fastavro_pandas"
# How each script is called beyond the day: pandas knows no threads, and is seen both as one process and as one per processor.
PEERS: Mapping[str, tuple[str, ...]] = {
    "duckdb": (),
    "polars": (),
    f"{PANDAS}_alone": ("1",),
    PANDAS: (str(os.cpu_count()),),
}
MARKETS, SKUS = 20, 50_000
DAY, WARM_UP = dt.date(2025, 12, 20), dt.date(2025, 11, 1)
PANDAS_MIB_PER_MILLION = 330  # measured: beyond --most-mib it is left out
COLUMNS = ("lines", "what", "wall s", "platform / it", "CPU s", "peak MiB", "lines/s")


@dataclass(frozen=True)
class Size:
    """One size's home, with its files and reference tables."""

    lines: int
    home: Path
    platform: Platform

    @property
    def scripts(self) -> list[str]:
        return [str(self.home / "lake" / "inbox"), str(self.home / "parquet")]


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    walls: dict[str, dict[int, float]] = {}
    for lines in options.lines:
        size = _prepared(lines, options.work)
        taken, told = _run_all(size, options)
        _print(size, taken, told)
        for name, measured in taken.items():
            walls.setdefault(name, {})[lines] = statistics.median(m.wall for m in measured)
        if options.profile:
            _profile(size, options.work)
        size.platform.close()
    if len(options.lines) > 1:
        print("\nSeconds per million lines, by size (flat is linear):")
        for name, by_size in walls.items():
            print(f"  {name:21}" + "".join(f"  {lines / 1e6:g} M: {wall / lines * 1e6:6.2f}" for lines, wall in by_size.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000, 10_000_000], help="order lines of the day, per size")
    parser.add_argument("--repeat", type=int, default=3, help="how often each takes its turn")
    parser.add_argument("--work", type=Path, default=Path("var/bench"), help="where files and results go; files made before are used again")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="the scripts to run beside the platform")
    parser.add_argument("--most-mib", type=int, default=12_000, help="leave pandas out where it would need more memory")
    parser.add_argument("--profile", action="store_true", help="tell where the platform's time goes")
    return parser.parse_args()


def _prepared(lines: int, work: Path) -> Size:
    """A home whose inbox holds the day, whose database runs and knows the reference set, and which ran another day before."""
    home = (work / f"{lines}").resolve()
    # While this process is connected, the home's PostgreSQL stays up.
    size = Size(lines, home, platform_for(Settings(home=home, settle_seconds=0)))
    size.platform.database.ensure()
    if not (home / "ready").exists():
        print(f"making {lines:,} order lines …", file=sys.stderr)
        tables = make_reference_set(size.platform, MARKETS, SKUS)
        export_reference(tables, home / "parquet")
        write_day(size.platform.lake, tables, WARM_UP, 1000, SKUS)
        bytes_ = write_day(size.platform.lake, tables, DAY, lines, SKUS)
        measure([*_procurement(), str(WARM_UP)], home / "log", _environment(home))
        (home / "ready").write_text(f"{bytes_}\n")
    return size


def _run_all(size: Size, options: argparse.Namespace) -> tuple[dict[str, list[Measured]], Results]:
    """Whole processes, taking turns; every result is compared with the platform's."""
    names = [PLATFORM, *options.peers]
    if size.lines / 1e6 * PANDAS_MIB_PER_MILLION > options.most_mib:
        print(f"{PANDAS} is left out at {size.lines:,} lines: it would need more than {options.most_mib:,} MiB")
        names = [name for name in names if not name.startswith(PANDAS)]
    taken: dict[str, list[Measured]] = {name: [] for name in names}
    expected: list[Results] = []
    for _ in range(options.repeat):
        for name in names:
            print(f"{size.lines:,} lines: {name} …", file=sys.stderr)
            if name == PLATFORM:
                taken[name].append(measure([*_procurement(), str(DAY)], size.home / "log", _environment(size.home), size.home))
                expected = [results_of_platform(size.platform, DAY)]
                continue
            out = size.home / "out"
            shutil.rmtree(out, ignore_errors=True)
            file = HERE / "peers" / f"{name.removesuffix('_alone')}_day.py"
            script = [sys.executable, str(file), *size.scripts, str(out), str(DAY), *PEERS[name]]
            taken[name].append(measure(script, size.home / "log"))
            if odd := differences(expected[0], results_of_script(out)):
                raise SystemExit(f"{name} came to other results: {'; '.join(odd)}")
            shutil.rmtree(out)
    return taken, expected[0]


def _print(size: Size, taken: Mapping[str, list[Measured]], results: Results) -> None:
    print(f"\n{size.lines:,} order lines, {int((size.home / 'ready').read_text()) / 1e6:,.0f} MB of Avro, {os.cpu_count()} processors")
    print(f"the same of all: {results.counts}")
    print("  ".join(f"{name:>21}" for name in COLUMNS))
    platform = statistics.median(m.wall for m in taken[PLATFORM])
    for name, runs in taken.items():
        wall = statistics.median(m.wall for m in runs)
        cells = (
            f"{size.lines:,}",
            name,
            f"{wall:.2f}" + (f" ({min(m.wall for m in runs):.2f})" if len(runs) > 1 else ""),
            f"{platform / wall:.2f}",
            f"{statistics.median(m.cpu for m in runs):.1f}",
            f"{max(m.peak_mib for m in runs):,.0f}",
            f"{size.lines / wall:,.0f}",
        )
        print("  ".join(f"{cell:>21}" for cell in cells))
    print(f"medians of {len(taken[PLATFORM])} (and the best); 'platform / it' is the platform's wall time divided by the script's.")
    print(f"PostgreSQL beside the platform, shared by all commands of the home: {max(m.server_mib for m in taken[PLATFORM]):,.0f} MiB")


def _profile(size: Size, work: Path) -> None:
    measure([sys.executable, str(HERE / "profiling.py"), str(DAY)], work / "profile", _environment(size.home))
    print(f"\nWhere the platform's time goes at {size.lines:,} lines:\n{(work / 'profile').read_text()}")


def _procurement() -> list[str]:
    return [str(Path(sys.executable).with_name("procurement")), "run"]


def _environment(home: Path) -> dict[str, str]:
    return {"PROCUREMENT_HOME": str(home), "PROCUREMENT_SETTLE_SECONDS": "0"}


if __name__ == "__main__":
    main()
