"""What a buyer sees of a day on terminals of every width, and in a pipe: no number is cut, and what is left out is named."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from decimal import Decimal
from typing import Any

import pytest
from rich.cells import cell_len

from procurement_platform.cli.exceptions import gravity
from procurement_platform.cli.money import amount
from procurement_platform.cli.output import TABLE_ROWS, cell
from procurement_platform_tests.cli.conftest import DAY, Done, Procurement, RanDay, Terminal, plain
from procurement_platform_tests.docs_pages import commands

COMMANDS = ("orders", "demand", "files", "exceptions", "quarantine")
NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")
# What a row cannot do without, at any width.
NEEDED = {
    "orders": ("supplier_id", "sku", "quantity", "amount", "currency"),
    "demand": ("market", "sku", "gross_demand", "net_demand", "stock_basis"),
    "files": ("feed", "market", "file", "state"),
    "exceptions": ("severity", "rule", "market", "sku"),
    "quarantine": ("file", "row_number", "rule"),
}
LEFT_OUT = re.compile(r"columns left out: (.*) \(--format csv has them all\)")


def shown(name: str, row: dict[str, Any]) -> str:
    """A cell of a table, from what JSON has."""
    value = row[name]
    if name == "amount":
        return amount(Decimal(value), row["currency"])
    return cell(Decimal(value) if isinstance(value, str) and re.fullmatch(r"\d+\.\d+", value) else value)


def left_out(done: Done) -> set[str]:
    return {name for line in plain(done.err).splitlines() if (found := LEFT_OUT.fullmatch(line)) for name in found[1].split(", ")}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_terminal_every_line_fits_and_no_number_is_cut(
    procurement: Procurement, ran_day: RanDay, terminal: Terminal, command: str, width: int
) -> None:
    whole = procurement(command, DAY).out
    terminal(width)
    done = procurement(command, DAY)
    lines = plain(done.out).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert not left_out(done) & set(NEEDED[command])
    numbers = {word for word in whole.split() if NUMBER.fullmatch(word)}
    assert {word for line in lines if not line.startswith("    ") for word in line.split() if NUMBER.fullmatch(word)} <= numbers
    header = "".join("".join(lines[1:4]).split())
    rows = procurement(command, DAY, "--format", "json").json
    words = set(plain(done.out).split())
    for name in NEEDED[command]:
        assert all(piece in header for piece in name.split("_"))
        assert {shown(name, row) for row in (sorted(rows, key=gravity) if command == "exceptions" else rows)[:50]} <= words | {""}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_at_every_width_each_exception_has_its_whole_message(
    procurement: Procurement, ran_day: RanDay, terminal: Terminal, width: int
) -> None:
    terminal(width)
    shown = " ".join(plain(procurement("exceptions", DAY).out).split())
    found = procurement("exceptions", DAY, "--format", "json").json
    assert sum(row["message"] in shown for row in found) >= min(len(found), 200)


@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_pipe_rows_are_whole_lines_without_blanks_at_their_ends(
    procurement: Procurement, ran_day: RanDay, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    done = procurement(command, DAY)
    lines = done.out.splitlines()
    assert not left_out(done)
    assert [line for line in lines if line != line.rstrip()] == []
    assert not any(line.startswith(" ") for line in lines)


def test_on_a_real_terminal_the_width_is_its_own(ran_day: RanDay) -> None:
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    script = "from procurement_platform.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "demand", DAY], stdin=far, stdout=far, stderr=subprocess.PIPE, env=environment | {"TERM": "xterm"}
    ) as child:
        os.close(far)
        out = b""
        while True:
            try:
                out += os.read(near, 65536)
            except OSError:  # the other end is closed
                break
        assert child.wait(60) == 0
    os.close(near)
    lines = plain(out.decode()).replace("\r", "").splitlines()
    assert lines[0] == f"Net demand of {DAY}"
    assert 50 < max(map(cell_len, lines)) <= 72


def test_these_are_all_commands_that_have_formats() -> None:
    with_formats = {path for path, each in commands() if any(parameter.name == "form" for parameter in each.params)}
    others = ("doctor", "stack status", "history", "maintain", "repair raw")  # tested with what they do
    assert with_formats == {f"procurement {'files list' if command == 'files' else command}" for command in (*COMMANDS, *others)}


@pytest.mark.parametrize("command", [*COMMANDS, "doctor"])
def test_json_is_all_there_is_on_standard_output(procurement: Procurement, ran_day: RanDay, terminal: Terminal, command: str) -> None:
    terminal(80)
    arguments = () if command == "doctor" else (DAY,)
    done = procurement(command, *arguments, "--format", "json")
    assert done.code in (0, 1)
    rows = json.loads(done.out)
    assert isinstance(rows, list)
    assert rows
    assert done.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_json_of_a_day_without_data_is_an_array_or_nothing(procurement: Procurement, ran_day: RanDay, command: str) -> None:
    done = procurement(command, "2025-12-01", "--format", "json")
    if done.code:
        assert done.error.startswith("2025-12-01 is not published: ")
    else:
        assert command == "files"
        assert {row["state"] for row in done.json} == {"missing"}


def test_exceptions_of_two_datasets_are_told_apart_on_a_terminal_of_80_columns(
    procurement: Procurement, ran_day: RanDay, terminal: Terminal
) -> None:
    terminal(80)
    done = procurement("exceptions", DAY)
    assert "dataset" not in left_out(done)
    lines = plain(done.out).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(("CRITICAL", "HIGH", "MEDIUM")))
    header = " ".join(lines[1:start]).split()  # broken after `_` alone
    assert set(header) <= {"severity", "rule", "market", "sku", "file", "first_", "first_row", "row", "rows", "units", "dataset"}
    assert "dataset" in header
    found = sorted(procurement("exceptions", DAY, "--format", "json").json, key=gravity)[:TABLE_ROWS]
    assert {row["dataset"] for row in found} <= set(" ".join(lines[start:]).split())
