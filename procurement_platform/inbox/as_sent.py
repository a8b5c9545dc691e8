"""Rows of a file, asked for by their numbers once it was decoded, read again from its raw copy and shown as the quarantine shows a row.

Which rows conflict is known only when the lines of all files are written; what a market sent beyond them is in its bytes alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow.parquet as pq

from procurement_platform.inbox.contracts import Contract
from procurement_platform.inbox.decoders import Decoder, open_decoder
from procurement_platform.inbox.intake import Taken, too_large, unfinished
from procurement_platform.inbox.output import ParquetOutput
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask

ROWS_AS_SENT_TYPES = {"file_id": "varchar", "row_number": "bigint", "row": "varchar"}


class Asked:
    """Row numbers that are asked for, ascending. Only as many are held as a decoder's batch needs.

    Raises (every method):
        ValueError: the pieces do not ascend.
    """

    def __init__(self, pieces: Iterable[pl.Series]) -> None:
        self._pieces = iter(pieces)
        self._held = pl.Series(dtype=pl.Int64)

    def any(self, first: int, last: int) -> bool:
        """Whether a row of these is asked for, and not taken."""
        self._hold(last)
        at = int(self._held.search_sorted(first))
        return at < len(self._held) and int(self._held[at]) <= last

    def take(self, last: int) -> pl.Series:
        """Those up to a row that were not taken before."""
        self._hold(last)
        at = int(self._held.search_sorted(last, side="right"))
        taken, self._held = self._held[:at], self._held[at:]
        return taken

    def _hold(self, last: int) -> None:
        while self._held.is_empty() or int(self._held[-1]) <= last:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._held = pl.concat([self._held, piece])
            if not self._held.is_sorted():
                raise ValueError("the rows asked for do not ascend")


def asked_of(files: Sequence[str], file_id: str, kind: str) -> Iterator[pl.Series]:
    """The numbers of a file's rows of one kind, from Parquet files sorted by `file_id` and `row_number`; of others little is read."""
    for path in files:
        with pq.ParquetFile(path) as file:
            at = file.schema_arrow.names.index("file_id")
            groups = [
                number for number in range(file.num_row_groups) if _may_hold(file.metadata.row_group(number).column(at).statistics, file_id)
            ]
            for part in file.iter_batches(row_groups=groups, columns=["file_id", "row_number", "kind"], use_threads=False):
                yield cast("pl.DataFrame", pl.from_arrow(part)).filter(file_id=file_id, kind=kind)["row_number"]


def _may_hold(known: pq.Statistics | None, value: str) -> bool:
    return known is None or not known.has_min_max or bool(known.min <= value <= known.max)  # type: ignore[operator]


def rows_as_sent(decoder: Decoder, contract: Contract, asked: Asked) -> Iterator[pl.DataFrame]:
    """The rows asked for (`row_number`, `row`), in their order, a part at a time."""
    for batch in decoder.batches(set(contract.match(decoder.schema).values()), asked.any):
        numbers = batch.row_numbers
        if numbers.is_empty():
            continue
        wanted, at = asked.take(int(numbers[-1])), 0
        for rows in batch.sent(numbers.search_sorted(wanted)):
            yield pl.DataFrame({"row_number": wanted.slice(at, len(rows)), "row": rows})
            at += len(rows)


def write_rows_as_sent(task: DecodeTask, taken: Taken, contract: Contract) -> DecodeOutcome:
    """Writes the rows that a task asks for as one Parquet file: `file_id`, `row_number`, `row`.

    Raises:
        InvalidFile: the file cannot be read as what it was decoded as.
    """
    if taken.path is None:
        raise too_large(taken, task)
    folder = Path(task.lines_folder)
    output = ParquetOutput(
        folder / f"{taken.file_id}.parquet", unfinished(task.lines_folder, task), ROWS_AS_SENT_TYPES, {"file_id": taken.file_id}
    )
    try:
        asked = Asked(asked_of(task.asked, taken.file_id, task.asked_kind))
        for rows in rows_as_sent(open_decoder(taken.path, task.format, task.limits, strict=task.used), contract, asked):
            output.add(rows)
        files = output.keep()
    except BaseException:
        output.discard()
        raise
    return DecodeOutcome("accepted", None, taken.sha256, taken.size, taken.file_id, str(taken.path), rows=output.rows, lines_files=files)
