"""The benchmark's hand-written scripts come to exactly what the platform comes to, on a small day with every branch in it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from procurement_platform.platform import Platform
from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, Shop

BENCH = CHECKOUT / "bench"
MARKETS, SKUS, LINES = 6, 300, 6000
RULES = {"CONFLICTING_ORDER", "DUPLICATE_ORDER", "INVALID_ROW", "UNKNOWN_PRODUCT"}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The benchmark's own modules, which lie beside its scripts."""
    import importlib

    monkeypatch.syspath_prepend(str(BENCH))
    return {name: importlib.import_module(name) for name in ("market_files", "results", "measure")}


@pytest.fixture
def platform(home: Settings) -> Iterator[Platform]:
    platform = Platform(home.model_copy(update={"settle_seconds": 0.0}))
    yield platform
    platform.close()


def test_every_script_comes_to_the_platforms_results(platform: Platform, scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    market_files, results = scripts["market_files"], scripts["results"]
    tables = market_files.make_reference_set(platform, MARKETS, SKUS)
    market_files.export_reference(tables, tmp_path / "parquet")
    market_files.write_day(platform.lake, tables, DAY, LINES, SKUS)
    Shop(platform).run()
    expected = results.results_of_platform(platform, DAY)
    assert set(expected.left_out["rule"]) == RULES
    assert set(expected.tables["net_demand"]["stock_basis"]) == {"counted", "zero", "unknown"}
    assert set(expected.tables["supplier_order_allocations"]["kind"]) == {"net_demand", "surplus"}
    assert len(expected.csvs) > 1
    for peer, processes in (("duckdb", 2), ("polars", 2), ("fastavro_pandas", 1), ("fastavro_pandas", 2)):
        out = tmp_path / f"{peer}_{processes}"
        asked = [platform.lake.path("inbox"), tmp_path / "parquet", out, DAY, processes]
        script = BENCH / "peers" / f"{peer}_day.py"
        done = subprocess.run([sys.executable, script, *map(str, asked)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{peer}: {done.stderr[-2000:]}"
        found = results.results_of_script(out)
        assert results.differences(expected, found) == [], peer
        assert found.counts == expected.counts


def test_a_difference_is_told(scripts: dict[str, ModuleType]) -> None:
    results = scripts["results"]
    left_out = pl.DataFrame({"feed": ["orders"], "file": ["DE.avro"], "row_number": [1], "rule": ["INVALID_ROW"]})
    table = pl.DataFrame({"sku": ["A"], "net_demand": [1]})
    one = results.Results({"S1.csv": b"1"}, {"net_demand": table}, left_out, {"order_lines": 1})
    other = results.Results({"S1.csv": b"2"}, {"net_demand": table.clear()}, left_out.clear(), {"order_lines": 2})
    assert results.differences(one, one) == []
    told = results.differences(one, other)
    assert [text.split(" ")[0] for text in told] == ["1", "net_demand", "rows", "rows"]
    assert "S1.csv" in told[0]


def test_a_command_is_measured_with_its_children(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    held = "import time, sys; x = bytearray(b'1') * (64 << 20); t = time.process_time()\nwhile time.process_time() - t < 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}], check=True)"
    measured = scripts["measure"].measure([sys.executable, "-c", parent], tmp_path / "log")
    assert measured.cpu >= 0.3
    assert measured.wall >= 0.3
    assert measured.peak_mib > 64
    assert measured.server_mib == 0


def test_a_command_that_fails_says_why(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        scripts["measure"].measure([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path / "log")
