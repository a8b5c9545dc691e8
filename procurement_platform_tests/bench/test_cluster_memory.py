"""On the cluster no order line passes through the run's process: its peak is the same for thirty times as many."""

import os
import re
import subprocess
import sys

import pytest

from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.mark.parametrize("faults", ["none", "typical"])
def test_the_run_process_needs_no_more_memory_for_more_lines(faults: str, cluster_home: Settings) -> None:
    assert cluster_home.profile == "cluster"
    bench = [sys.executable, str(CHECKOUT / "bench" / "cluster_memory.py"), "--lines", "10000", "300000", "--faults", faults]
    done = subprocess.run(bench, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    peaks = [int(found.replace(",", "")) for found in re.findall(r"peak of its process ([\d,]+) MiB", done.stdout)]
    assert len(peaks) == 2
    assert 100 < min(peaks) < 1000
    assert "300,000 order lines" in done.stdout
    assert re.search(r"Trino: \d+ statements, [\d,]+ rows read", done.stdout)
