"""Simulated days: deterministic, in the markets' ways, and as wrong as the report says, no less and no more."""

import datetime as dt
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from procurement_platform.errors import ConfigurationError
from procurement_platform.procurement.simulator.files import WrittenFile
from procurement_platform.procurement.simulator.reference_set import make_reference
from procurement_platform.procurement.simulator.simulate import SimulationReport, simulate
from procurement_platform.procurement.simulator.world import world_of
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.simulator.market_files import broken_rules, read_rows

DAY = dt.date(2025, 12, 20)
REFERENCE = make_reference(8, 300, 10)
ZONES = {row["market"]: row["timezone"] for row in REFERENCE["markets"].to_pylist()}


def active_on(day: dt.date, markets: int | None = None, skus: int | None = None) -> set[str]:
    return set(map(str, world_of(REFERENCE, day, markets, skus).skus.to_pylist()))


def settings_of(folder: Path) -> Settings:
    return Settings(_env_file=None, home=folder)


def inbox(folder: Path) -> Path:
    return folder / "lake" / "inbox"


def hashes(folder: Path) -> dict[str, str]:
    found = [path for feed in ("orders", "stock") for path in (inbox(folder) / feed).rglob("*")]
    files = sorted(path for path in found if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(inbox(folder))): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(folder: Path, report: SimulationReport) -> dict[str, list[dict[str, object]]]:
    found = {}
    for file in report.files:
        feed, _, name = file.path.split("/")
        found[file.path] = read_rows(inbox(folder) / file.path, feed, ZONES[name.split(".")[0].split("__")[0]])
    return found


@pytest.mark.parametrize("faults", ["none", "typical", "hostile"])
def test_the_same_options_give_the_same_bytes_and_a_day_alone_those_of_a_range(tmp_path: Path, faults: str) -> None:
    for name, start, end in (("one", DAY, DAY), ("two", DAY, DAY), ("range", DAY - dt.timedelta(1), DAY + dt.timedelta(1))):
        simulate(settings_of(tmp_path / name), start, end, REFERENCE, orders=400, faults=faults)  # type: ignore[arg-type]
    one, two, whole = (hashes(tmp_path / name) for name in ("one", "two", "range"))
    assert one == two
    assert one == {path: value for path, value in whole.items() if f"/{DAY}/" in path}
    days = {day: {value for path, value in whole.items() if f"/{day}/" in path} for day in ("2025-12-19", "2025-12-20", "2025-12-21")}
    assert all(days.values())


def test_another_seed_gives_other_files_of_the_same_names(tmp_path: Path) -> None:
    for seed in (1, 2, -3):
        simulate(settings_of(tmp_path / str(seed)), DAY, DAY, REFERENCE, orders=400, faults="none", seed=seed)
    names = {seed: set(hashes(tmp_path / str(seed))) for seed in (1, 2, -3)}
    assert names[1] == names[2] == names[-3]
    assert len({tuple(hashes(tmp_path / str(seed)).values()) for seed in (1, 2, -3)}) == 3


def test_without_faults_every_market_sends_sound_files_in_its_own_format(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=3000, faults="none")
    files = rows_of(tmp_path, report)
    assert not report.faults
    assert not report.lines
    assert sum(len(rows) for path, rows in files.items() if path.startswith("orders/")) == 3000
    assert {file.path: file.rows for file in report.files} == {path: len(rows) for path, rows in files.items()}
    assert {file.path: file.bytes for file in report.files} == {path: (inbox(tmp_path) / path).stat().st_size for path in files}
    assert sorted(path.split("/")[2] for path in files if path.startswith("orders/")) == [
        "BR.jsonl", "DE.avro", "FR.avro", "GB.csv", "JP.avro", "PL.avro", "SE.parquet", "US.csv.gz",
    ]  # fmt: skip
    assert not broken_rules(files, active_on(DAY))
    assert not list(inbox(tmp_path).rglob(".*"))


def test_times_of_all_formats_lie_in_the_market_s_day(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=3000, faults="none")
    midnights = {market.code: market.midnight(DAY) for market in world_of(REFERENCE, DAY).markets}
    for path, rows in rows_of(tmp_path, report).items():
        if path.startswith("orders/"):
            first = midnights[path.split("/")[2].split(".")[0]] / 1e6
            moments = [row["ordered_at"].timestamp() - first for row in rows]  # type: ignore[attr-defined]
            assert -2 * 86400 <= min(moments) <= max(moments) < 86400
            assert sum(moment >= 0 for moment in moments) > 0.9 * len(moments)


@pytest.mark.parametrize("seed", range(6))
def test_typical_faults_are_those_reported_and_no_others(tmp_path: Path, seed: int) -> None:
    day = DAY + dt.timedelta(seed)
    report = simulate(settings_of(tmp_path), day, day, REFERENCE, orders=2000, seed=seed)
    active = active_on(day)
    expected: Counter[tuple[str, str]] = Counter()
    for fault in report.faults:
        if fault.rule not in ("", "MISSING_FILE"):
            expected[fault.file, fault.rule] += fault.rows
    assert broken_rules(rows_of(tmp_path, report), active) == expected
    assert expected
    written = {file.path.rsplit("/", 1)[0] + "/" + file.path.rsplit("/", 1)[1].split(".")[0] for file in report.files}
    every = {f"{feed}/{day}/{market}" for feed in ("orders", "stock") for market in ZONES}
    missing = {fault.file for fault in report.faults if fault.rule == "MISSING_FILE"}
    assert len(missing) == 1
    assert every - written == missing


def test_faults_vary_by_date_and_show_every_rule_over_a_week(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY + dt.timedelta(6), REFERENCE, orders=800)
    by_day = {fault.file.split("/")[1]: set[tuple[str, str]]() for fault in report.faults}
    for fault in report.faults:
        by_day[fault.file.split("/")[1]].add((fault.file.split("/")[2], fault.rule))
    assert len(by_day) == 7
    assert len({frozenset(day) for day in by_day.values()}) == 7
    assert {fault.rule for fault in report.faults} == {
        "", "MISSING_FILE", "UNKNOWN_PRODUCT", "INVALID_ROW", "STOCK_LOGIC", "DUPLICATE_ORDER", "CONFLICTING_ORDER",
    }  # fmt: skip


def test_each_line_of_the_report_names_file_rule_and_what(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=800, faults="hostile")
    assert len(report.lines) == len(report.faults)
    for line, fault in zip(report.lines, report.faults, strict=True):
        assert line.startswith(f"{fault.file}: ")
        assert fault.what in line
        assert (fault.rule or "accepted") in line


def test_options_choose_who_takes_part(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=500, markets=3, skus=20, faults="none")
    files = rows_of(tmp_path, report)
    assert {path.split("/")[2].split(".")[0] for path in files} == {"BR", "DE", "FR"}
    assert len({row["sku"] for rows in files.values() for row in rows}) == 20


def test_not_mixed_all_files_are_avro(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=500, faults="none", mixed=False)
    assert {file.path.rsplit(".", 1)[1] for file in report.files} == {"avro"}


def test_a_day_without_orders_has_files_without_rows(tmp_path: Path) -> None:
    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=0)
    orders = {file.path: file.rows for file in report.files if file.path.startswith("orders/")}
    assert len(orders) >= 7
    assert not any(orders.values())
    assert sum(file.rows for file in report.files) > 0


def test_one_market_of_few_lines_can_have_all_faults(tmp_path: Path) -> None:
    for seed in range(8):
        report = simulate(settings_of(tmp_path / str(seed)), DAY, DAY, REFERENCE, orders=3, markets=1, seed=seed, skus=2)
        active = active_on(DAY, 1, 2)
        expected: Counter[tuple[str, str]] = Counter()
        for fault in report.faults:
            if fault.rule:
                expected[fault.file, fault.rule] += fault.rows
        assert broken_rules(rows_of(tmp_path / str(seed), report), active) == +expected


def test_files_are_told_as_they_are_whole(tmp_path: Path) -> None:
    seen: list[WrittenFile] = []

    def progress(file: WrittenFile) -> None:
        assert (inbox(tmp_path) / file.path).stat().st_size == file.bytes
        seen.append(file)

    report = simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, orders=500, faults="hostile", progress=progress)
    assert tuple(seen) == report.files
    assert report.rows == sum(file.rows for file in seen)


def test_impossible_wishes_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ends .* before it begins"):
        simulate(settings_of(tmp_path), DAY, DAY - dt.timedelta(1), REFERENCE)
    with pytest.raises(ConfigurationError, match="8 markets active on 2025-12-20, 9 are asked for"):
        simulate(settings_of(tmp_path), DAY, DAY, REFERENCE, markets=9)
    assert not inbox(tmp_path).exists()


_MEASURE = r"""
import datetime as dt, re, sys
from pathlib import Path
from procurement_platform.procurement.simulator.reference_set import make_reference
from procurement_platform.procurement.simulator.simulate import simulate
from procurement_platform.settings import Settings

def peak_mib():
    # not ru_maxrss: that of a child begins with its parent's
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

reference, day, home = make_reference(2, 1000, 5), dt.date(2025, 12, 20), Path(sys.argv[1])
simulate(Settings(_env_file=None, home=home), day, day, reference, orders=100_000, faults="none")
before = peak_mib()
simulate(Settings(_env_file=None, home=home), day, day, reference, orders=1_000_000, faults="none")
print(before, peak_mib())
"""


def test_ten_times_the_lines_take_no_more_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120)
    before, after = map(int, done.stdout.split())
    assert after - before < 60, f"{before} MiB at 100,000 lines, {after} at 1,000,000"
    assert after < 400
