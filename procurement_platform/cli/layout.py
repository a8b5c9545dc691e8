"""Tables as lines of text that fit a width. Nothing goes missing silently, and a number is never broken.

What is too wide folds its header at `_`, puts its long texts below their rows, folds other texts, and leaves out columns, which it names;
where not even that fits, each row becomes a block of `name: value` lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

GAP = "  "
INDENT = "    "  # of what stands below a row
LONG, SHORT = 32, 16  # characters that a text is folded to, so that more columns stay; so that the others fit at all


@dataclass(frozen=True)
class View:
    """What a table does where it is too wide: `details` go below their row, `spare` columns are left out, the first one first.

    `rest` tells where the rows are of one that is too long.
    """

    details: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    rest: str = "--format csv has them all"


@dataclass(frozen=True)
class Cells:
    """A column as text. `right`: numbers, to the right; `whole`: never folded."""

    name: str
    cells: Sequence[str]
    right: bool = False
    whole: bool = False

    def natural(self) -> int:
        return max(map(cell_len, self.cells), default=0)

    def header(self, width: int) -> list[str]:
        """The name in lines, broken after `_` where it is longer than the width."""
        lines = [""]
        for piece in self.name.replace("_", "_ ").split():
            if lines[-1] and cell_len(lines[-1] + piece) > width:
                lines.append("")
            lines[-1] += piece
        return lines

    def least(self, folded_to: int) -> int:
        """The width it needs with its header folded, and its texts folded to so many characters."""
        header = max(map(cell_len, self.header(0)))
        return max(header, self.natural() if self.whole else min(self.natural(), folded_to))


@dataclass(frozen=True)
class Laid:
    """Lines to print, without blanks at their ends. `header` is empty where rows are blocks; `left_out` names columns."""

    header: Sequence[str]
    body: Sequence[str]
    left_out: tuple[str, ...] = ()


def lay_out(columns: Sequence[Cells], width: int | None, view: View) -> Laid:
    """The table in so many characters a line (None: as many as it takes, and each row one line)."""
    natural = [max(cell_len(column.name), column.natural()) for column in columns]
    if width is None or sum(natural) + len(GAP) * (len(columns) - 1) <= width:
        return _grid(columns, natural, (), width)
    rows = [column for column in columns if column.name not in view.details] or list(columns)
    details = [column for column in columns if column not in rows]
    attempts = [(LONG, view.spare[:count]) for count in range(len(view.spare) + 1)]
    for folded_to, left_out in [*attempts, (SHORT, view.spare)]:
        kept = [column for column in rows if column.name not in left_out]
        widths = [column.least(folded_to) for column in kept]
        room = width - sum(widths) - len(GAP) * (len(kept) - 1)
        if kept and room >= 0:
            _widen(kept, widths, room)
            laid = _grid(kept, widths, details, width)
            return Laid(laid.header, laid.body, tuple(column.name for column in rows if column.name in left_out))
    return Laid((), list(_blocks(columns, width)))


def _widen(columns: Sequence[Cells], widths: list[int], room: int) -> None:
    """Gives what is left to the columns whose texts are folded, a character each in turn; then to headers that it makes whole."""
    while room > 0 and (folded := [n for n, column in enumerate(columns) if column.natural() > widths[n]]):
        for n in folded[:room]:
            widths[n] += 1
            room -= 1
    for n, column in enumerate(columns):
        if 0 < (more := cell_len(column.name) - widths[n]) <= room:
            widths[n] += more
            room -= more


def _grid(columns: Sequence[Cells], widths: Sequence[int], details: Sequence[Cells], width: int | None) -> Laid:
    headers = [column.header(each) for column, each in zip(columns, widths, strict=True)]
    height = max(map(len, headers), default=0)
    header = list(_lines([[*[""] * (height - len(lines)), *lines] for lines in headers], columns, widths))
    body: list[str] = []
    for row in range(len(columns[0].cells) if columns else 0):
        body += _lines([_folded(column.cells[row], each) for column, each in zip(columns, widths, strict=True)], columns, widths)
        for detail in details:
            if detail.cells[row] and width is not None:
                body += [INDENT + line for line in _folded(detail.cells[row], width - len(INDENT))]
    return Laid(header, body)


def _lines(parts: Sequence[Sequence[str]], columns: Sequence[Cells], widths: Sequence[int]) -> Iterator[str]:
    """Cells of several lines each, side by side."""
    for line in range(max(map(len, parts), default=0)):
        shown = []
        for cell, column, width in zip(parts, columns, widths, strict=True):
            text = cell[line] if line < len(cell) else ""
            blank = " " * (width - cell_len(text))
            shown.append(blank + text if column.right else text + blank)
        yield GAP.join(shown).rstrip()


def _blocks(columns: Sequence[Cells], width: int) -> Iterator[str]:
    for row in range(len(columns[0].cells)):
        if row:
            yield ""
        for column in columns:
            if column.cells[row]:
                line = f"{column.name}: {column.cells[row]}"
                first, *more = [line] if cell_len(line) <= width else _folded(line, max(width - len(INDENT), len(INDENT)))
                yield first
                yield from (INDENT + line for line in more)


def _folded(text: str, width: int) -> list[str]:
    """The text in lines of a width, broken between words; words that are longer are broken where the line ends."""
    if cell_len(text) <= width:
        return [text]
    return [line.plain.rstrip() for line in Text(text).wrap(Console(width=width), width, overflow="fold")]
