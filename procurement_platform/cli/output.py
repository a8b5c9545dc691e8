"""How results reach the terminal: tables, CSV and JSON on standard output; progress, notes and errors on standard error."""

import datetime as dt
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain, count, islice

from rich.console import Console
from rich.text import Text

from procurement_platform.cli.layout import Cells, View, lay_out
from procurement_platform.cli.options import Format
from procurement_platform.csvs import csv_line

Row = Mapping[str, object]
Choice = Callable[[Iterable[Row], int], Sequence[Row]]  # of all rows, as many as there is room for, in the order they are shown in
TABLE_ROWS = 200  # more than anyone reads; csv and json have them all


class Shown(str):
    """A number as a table is to show it."""

    __slots__ = ()


def out() -> Console:
    """Standard output. A line stays one line, however long; what stands in brackets is no markup."""
    return Console(highlight=False, markup=False, soft_wrap=True)


def err() -> Console:
    """Standard error. A line stays one line, however long."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """One line for the person at the terminal, on standard error."""
    err().print(Text(clean(text), style=style))


def clean(text: str) -> str:
    """Text that a terminal only shows: file names and cells come from outside and may hold escape sequences."""
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(
    rows: Iterable[Row],
    columns: Sequence[str],
    form: Format,
    *,
    title: str = "",
    hidden: Sequence[str] = (),
    view: View | None = None,
    most: int = TABLE_ROWS,
    choice: Choice | None = None,
) -> None:
    """Print rows. Only whole output is begun: an error in finding the first row leaves standard output empty.

    `title`, `hidden` (columns that are the same in every row), `view`, `most` (rows) and `choice` (None: the rows that come first) concern
    the table only.
    """
    iterator = iter(rows)
    rows = chain(list(islice(iterator, 1)), iterator)
    if form == "json":
        _write_json(rows, columns)
    elif form == "csv":
        _write(csv_line(columns))
        for row in rows:
            _write(csv_line([row[column] for column in columns]))
    else:
        passed = count()
        passing = (row for row, _ in zip(rows, passed, strict=False))
        shown = choice(passing, most) if choice else list(islice(passing, most))
        deque(passing, maxlen=0)  # to the end: how many there are
        more = next(passed) - len(shown)
        show_table(shown, [c for c in columns if c not in hidden], title, view)
        if more:
            say(f"… {more:,} more, {(view or View()).rest}")


def show_table(
    rows: Sequence[Row], columns: Sequence[str], title: str = "", view: View | None = None, *, whole: str = "--format csv"
) -> None:
    """A table for reading: on a terminal it fits its width (`lay_out`), elsewhere each row is one line, whole.

    `whole` is the option or command that has the columns for which there is no room.
    """
    console = out()
    cells = [_cells(column, [row[column] for row in rows]) for column in columns]
    laid = lay_out(cells, console.width if console.is_terminal else None, view or View())
    if title:
        console.print(Text(title, style="italic"))
    for line in laid.header if rows else ():
        console.print(Text(line, style="bold"))
    for line in laid.body:
        console.print(Text(line))
    if not rows:
        console.print("(none)")
    elif laid.left_out:
        say(f"columns left out: {', '.join(laid.left_out)} ({whole} has them all)", "dim")


def _cells(column: str, values: Sequence[object]) -> Cells:
    told = [value for value in values if value is not None]
    right = bool(told) and all(isinstance(value, int | Decimal | Shown) and not isinstance(value, bool) for value in told)
    return Cells(column, [cell(value) for value in values], right, right or all(isinstance(value, dt.date) for value in told))


def cell(value: object) -> str:
    """A value as a table shows it: thousands separated, a decimal without trailing zeros (two places kept where it has any)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        whole, _, places = f"{value:,f}".partition(".")
        places = places.rstrip("0")
        return f"{whole}.{places.ljust(2, '0')}" if places else whole
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC") if value.tzinfo else value.strftime("%Y-%m-%d %H:%M")
    return clean(str(value))


def _write_json(rows: Iterable[Row], columns: Sequence[str]) -> None:
    before = "["
    for row in rows:
        _write(f"{before}\n  {json.dumps({column: _plain(row[column]) for column in columns}, ensure_ascii=False)}".encode())
        before = ","
    _write(b"[]\n" if before == "[" else b"\n]\n")


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.date | dt.datetime | dt.time):
        return value.isoformat()
    return value


def _write(data: bytes) -> None:
    """Bytes, UTF-8 whatever the locale says: the output is a file as often as a terminal."""
    sys.stdout.buffer.write(data)


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """Shows which step long work is at, with the seconds it began at: a live line on a terminal, one line a step elsewhere."""
    console = err()
    start = time.monotonic()
    if console.is_terminal:
        with console.status(what) as status:
            yield lambda step: status.update(Text(f"{what}: {clean(step)} ({time.monotonic() - start:.0f} s)"))
    else:
        say(what)
        yield lambda step: say(f"  at {time.monotonic() - start:5.1f} s  {step}")
