"""What a lock says of its holder. What is done with locks is tested on a real metastore, in test_metastore.py."""

import datetime as dt
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.lake.metastore_locks import Holder

DAY = dt.date(2025, 12, 20)


@given(st.none() | st.dates(), st.integers(1, 2**22), st.text("abc-.0123456789", min_size=1, max_size=30), st.text(max_size=300))
def test_a_lock_names_its_holder_in_128_characters(run_date: dt.date | None, process: int, host: str, name: str) -> None:
    text = str(Holder(run_date, process, "4026531836", host, name))
    assert len(text) <= 128
    assert text.isascii()
    found = Holder.read(text)
    assert found is not None
    assert (found.run_date, found.process, found.space, found.host) == (run_date, process, "4026531836", host)


@given(st.text(max_size=60))
def test_a_lock_of_another_program_has_no_holder_that_is_known(text: str) -> None:
    assert Holder.read(text) is None
    assert Holder.read(f"procurement-platform {text}".partition(" 2")[0]) is None


def test_a_holder_is_gone_when_its_process_is() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = Holder.here(DAY, "")
    child = Holder(DAY, process.pid, here.space, here.host)
    assert here.process == os.getpid()
    assert not here.is_gone
    assert not child.is_gone
    process.communicate(b"\n")
    assert child.is_gone


def test_nothing_is_known_of_processes_elsewhere() -> None:
    here = Holder.here(DAY, "")
    assert not Holder(DAY, 2**22 + 1, here.space, f"not-{here.host}").is_gone
    assert not Holder(DAY, 2**22 + 1, "1", here.host).is_gone
