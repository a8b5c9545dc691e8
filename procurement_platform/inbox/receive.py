"""Takes in what a day's inbox holds: every file is read once, from the inbox or, where it is known already, from its raw copy.

The inputs of a day are the ledger's active files overlaid by what the inbox holds: a file that is no longer in the inbox stays in use,
the same identity with other bytes replaces it, the same bytes change nothing. A file that was refused for its market, which the reference
did not have as active, is looked at again by each run, in the inbox or from the bytes that were kept.
"""

import datetime as dt
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from procurement_platform.errors import InputGone
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.identity import FileIdentity, Unfit, file_id, parse_name, safe_name
from procurement_platform.inbox.landing import decode
from procurement_platform.inbox.ledger import Ledger, LedgerFile
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.scan import FoundFile, UnfitFile, scan
from procurement_platform.inbox.task import DecodeOutcome, DecodeTask, Limits
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import sha256_of
from procurement_platform.settings import Settings

OTHER_FORMATS = "_other"  # Hive and Trino skip what starts with an underscore
SUPERSEDED = "_superseded"
_PIECE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Place:
    """Where a feed's staged Parquet goes, as absolute paths."""

    lines: str
    quarantine: str


@dataclass(frozen=True)
class Receipt:
    """A file of the day and what became of it. `outcome` is None where it was not decoded (no market of ours, not a file).

    `sent`: the inbox holds it, or held it when it was refused for its market.
    """

    file: LedgerFile
    outcome: DecodeOutcome | None
    sent: bool = False


@dataclass(frozen=True)
class Received:
    """What a day is made of. `growing` are feed and name of files that are still being written: a later run takes them."""

    receipts: tuple[Receipt, ...]
    growing: tuple[str, ...]


@dataclass(frozen=True)
class Receiver:
    """Receives a day's files. `senders` maps the day's active markets to their time zones; `products` is the Parquet file of known SKUs."""

    settings: Settings
    lake: Lake
    ledger: Ledger
    decoders: DecoderPool
    run_date: dt.date
    run_id: str
    senders: Mapping[str, str]
    products: str

    def receive(self, feeds: Sequence[Feed], places: Mapping[str, Place]) -> Received:
        """Decodes the day's files into the places given. What became of them is the caller's to record.

        Raises:
            InputGone: the raw copy of a file in use is gone, and the inbox does not hold the file either.
        """
        known = self.ledger.files(self.run_date)
        active = {(f.feed, f.name): f for f in known if f.state == "accepted"}
        withdrawn = {f.file_id for f in known if f.state == "withdrawn"}
        scans = {
            feed.name: scan(self.lake.path("inbox"), feed.name, self.run_date, self.settings.settle_seconds, files=self.lake.fs)
            for feed in feeds
        }
        receipts: list[Receipt] = []
        growing = [_shown(f) for found in scans.values() for f in found.growing]
        fresh: list[tuple[Feed, FoundFile]] = []
        for feed in feeds:
            receipts += [Receipt(self._unfit(unfit), None) for unfit in scans[feed.name].unfit]
            for found in scans[feed.name].files:
                if found.identity.market in self.senders:
                    fresh.append((feed, found))
                elif (feed.name, found.identity.name) not in active:
                    receipts.append(Receipt(self._stranger(found), None))
            receipts += [Receipt(file, None) for rival in scans[feed.name].replaced if (file := self._replaced(rival, known)) is not None]
        taken = {(feed.name, f.identity.name) for feed, f in fresh}
        by_name = {feed.name: feed for feed in feeds}
        fresh += [(by_name[f.feed], self._kept(f)) for f in known if self._may_count_now(f) and (f.feed, f.name) not in taken]
        old = [f for key, f in active.items() if key not in taken and f.market in self.senders]
        receipts += [Receipt(self._inactive(f), None) for f in active.values() if f.market not in self.senders]

        tasks = [self._fresh_task(feed, f, places[feed.name]) for feed, f in fresh] + [self._old_task(feeds, f, places) for f in old]
        outcomes = list(self._decoded(tasks))
        fallen_back: list[LedgerFile] = []
        touched: dict[str, dt.datetime] = {}
        for (feed, found), outcome in zip(fresh, outcomes[: len(fresh)], strict=True):
            before = active.get((feed.name, found.identity.name))
            if outcome.status == "unsettled":
                growing.append(_shown(found))
            elif outcome.file_id in withdrawn:
                self._discard(outcome)
                touched[outcome.file_id] = found.modified_at
            else:
                receipts.append(Receipt(self._ledger_file(feed, found, outcome, before), outcome, sent=True))
                if outcome.status == "accepted":
                    continue
            if before is not None and before.file_id != outcome.file_id:
                fallen_back.append(before)
        receipts += [Receipt(self._again(f, o), o) for f, o in zip(old, outcomes[len(fresh) :], strict=True)]
        again = list(self._decoded([self._old_task(feeds, f, places) for f in fallen_back]))
        receipts += [Receipt(self._again(f, o), o) for f, o in zip(fallen_back, again, strict=True)]
        touched |= {r.file.file_id: r.file.sent_at for r in receipts if r.file.file_id in withdrawn}
        receipts = [r for r in receipts if r.file.file_id not in withdrawn]
        self.ledger.seen_again(touched)
        return Received(tuple(sorted(receipts, key=lambda r: (r.file.feed, r.file.file_name, r.file.file_id))), tuple(sorted(growing)))

    def _decoded(self, tasks: Sequence[DecodeTask]) -> Iterator[DecodeOutcome]:
        return decode(self.decoders, self.lake, tasks, self.settings.home / "tmp")

    def _discard(self, outcome: DecodeOutcome) -> None:
        for path in (*outcome.lines_files, *outcome.quarantine_files):
            self.lake.remove(self.lake.relative(path))

    def tidy_raw(self, feeds: Iterable[Feed]) -> None:
        """Makes the day's raw folders hold exactly the files in use; others move to `_superseded`, where they stay.

        The ledger first: killed before a file is moved, the next run moves it to where the ledger has it.
        """
        used = {f.raw_path for f in self.ledger.files(self.run_date, states=("accepted",))}
        moved: dict[str, str] = {}
        for feed in feeds:
            *folders, aside = self._raw_folders(feed.name)
            for folder in folders:
                for name in self.lake.files(folder):
                    if f"{folder}/{name}" not in used and not name.startswith("."):
                        moved[f"{folder}/{name}"] = f"{aside}/{name}"
        self.ledger.moved(moved)
        for before, after in moved.items():
            self.lake.move(before, after)

    def _fresh_task(self, feed: Feed, found: FoundFile, place: Place) -> DecodeTask:
        identity = found.identity
        avro, other, _ = self._raw_folders(feed.name)
        raw = self.lake.path(avro if identity.format == "avro" else other)
        return self._task(feed, identity.market, identity.name, identity.file_name, identity.format, found.path, raw, place)

    def _old_task(self, feeds: Sequence[Feed], file: LedgerFile, places: Mapping[str, Place]) -> DecodeTask:
        if not self.lake.exists(file.raw_path):
            raise InputGone(
                f"{file.raw_path}, the raw copy of {file.file_name}, is gone: put the file into the inbox again, "
                f"or withdraw it (`procurement files withdraw`)"
            )
        feed = next(feed for feed in feeds if feed.name == file.feed)
        source = self.lake.path(file.raw_path)
        return self._task(feed, file.market, file.name, file.file_name, file.format, source, None, places[file.feed])

    def _task(
        self, feed: Feed, market: str, name: str, file_name: str, form: str, source: str, raw_folder: str | None, place: Place
    ) -> DecodeTask:
        return DecodeTask(
            feed=feed.name,
            run_date=self.run_date,
            market=market,
            timezone=self.senders[market],
            name=name,
            file_name=file_name,
            format=form,  # type: ignore[arg-type]  # the ledger keeps it as text
            source=source,
            raw_folder=raw_folder,
            rejected_folder=self.lake.path(self._rejected_folder(feed.name)),
            lines_folder=place.lines,
            quarantine_folder=place.quarantine,
            contract=feed.contract.avsc,
            columns=feed.lines.sql_types,
            products=self.products,
            limits=Limits.of(self.settings),
        )

    def _raw_folders(self, feed: str) -> tuple[str, str, str]:
        """Where the raw copies of a feed's day are: Avro files in use, others in use, those not in use any more."""
        base = f"raw/{feed}/{self.run_date.isoformat()}"
        return base, f"{base}/{OTHER_FORMATS}", f"{base}/{SUPERSEDED}"

    def _rejected_folder(self, feed: str) -> str:
        return f"quarantine/files/{feed}/{self.run_date.isoformat()}"

    def _ledger_file(self, feed: Feed, found: FoundFile, outcome: DecodeOutcome, before: LedgerFile | None) -> LedgerFile:
        reason = outcome.reason
        if outcome.status == "rejected" and before is not None and before.file_id != outcome.file_id:
            reason = f"{reason}. The file of this name that was sent before stays in use"
        return LedgerFile(
            file_id=outcome.file_id,
            feed=feed.name,
            run_date=self.run_date,
            name=found.identity.name,
            file_name=found.identity.file_name,
            market=found.identity.market,
            format=found.identity.format,
            sha256=outcome.sha256,
            size_bytes=outcome.size,
            sent_at=found.modified_at,
            state=outcome.status,
            reason=reason,
            rows=outcome.rows,
            accepted=outcome.accepted,
            quarantined=outcome.quarantined,
            duplicates=0,
            notes="\n".join(outcome.notes) or None,
            raw_path=self.lake.relative(outcome.raw_path) if outcome.raw_path else "",
            run_id=self.run_id,
        )

    def _again(self, file: LedgerFile, outcome: DecodeOutcome) -> LedgerFile:
        """A file in use that was read again from its raw copy."""
        if outcome.status != "accepted":
            raise InputGone(
                f"{file.raw_path}, the raw copy of {file.file_name}, cannot be read any more ({outcome.reason}): "
                "put the file into the inbox again, or withdraw it (`procurement files withdraw`)"
            )
        if outcome.sha256 != file.sha256:
            raise InputGone(
                f"{file.raw_path} is not what was sent (its SHA-256 differs): put the file into the inbox again, or withdraw it"
            )
        changed: dict[str, Any] = {
            "rows": outcome.rows,
            "accepted": outcome.accepted,
            "quarantined": outcome.quarantined,
            "duplicates": 0,
            "notes": "\n".join(outcome.notes) or None,
        }
        return replace(file, **changed)

    def _inactive(self, file: LedgerFile) -> LedgerFile:
        """A file in use whose market is no longer active on the day (its reference was refreshed)."""
        refused = replace(file, state="rejected", reason=self._not_active(file.market), accepted=0, quarantined=0, duplicates=0)
        return replace(refused, awaits_reference=True)

    def _may_count_now(self, file: LedgerFile) -> bool:
        """Whether a file that was refused for its market can be looked at again."""
        awaits = file.state == "rejected" and file.awaits_reference and file.market in self.senders
        return awaits and self._place_of(file) is not None

    def _kept(self, file: LedgerFile) -> FoundFile:
        """The bytes that were kept of a refused file, as if they lay in the inbox."""
        identity = FileIdentity(file.feed, file.run_date, file.market, file.name, file.file_name, file.format)  # type: ignore[arg-type]
        return FoundFile(identity, self.lake.path(self._place_of(file) or file.raw_path), file.size_bytes, file.sent_at)

    def _place_of(self, file: LedgerFile) -> str | None:
        """Where the bytes of a refused file are: where the ledger has them, or where a killed run did not move them from."""
        name = file.raw_path.rpartition("/")[2]
        places = [file.raw_path, *(f"{folder}/{name}" for folder in self._raw_folders(file.feed))]
        return next((place for place in places if name and self.lake.exists(place)), None)

    def _not_active(self, market: str) -> str:
        return (
            f"{market} is no market that is active on {self.run_date}: correct the file's name, or have the market added to the "
            "reference and the day run with --refresh-reference"
        )

    def _stranger(self, found: FoundFile) -> LedgerFile:
        reason = self._not_active(found.identity.market)
        identity = found.identity
        refused = self._refused(
            identity.feed, identity.name, identity.file_name, identity.market, identity.format, found.path, found.modified_at, reason
        )
        return replace(refused, awaits_reference=refused.raw_path != "")

    def _unfit(self, unfit: UnfitFile) -> LedgerFile:
        return self._refused(unfit.feed, unfit.file_name, unfit.file_name, "", "", unfit.path, unfit.modified_at, unfit.reason)

    def _replaced(self, rival: UnfitFile, known: Sequence[LedgerFile]) -> LedgerFile | None:
        """A file in whose place a newer one of another format is taken; None where the ledger has it already."""
        identity = parse_name(rival.feed, rival.run_date, rival.file_name)
        if isinstance(identity, Unfit):
            return self._unfit(rival)
        digest = self._sha256(rival.path) or ""
        if any(f.sha256 == digest and f.file_name == rival.file_name for f in known):
            return None
        noted = self._refused(
            rival.feed, identity.name, rival.file_name, identity.market, identity.format, rival.path, rival.modified_at, rival.reason
        )
        return replace(noted, state="superseded")

    def _keep(self, path: str, kept: str) -> None:
        """Copies a file in the inbox to where it is kept, whole or not at all."""
        folder, _, name = kept.rpartition("/")
        beside = f"{folder}/.{name}.part"
        self.lake.make_folder(folder)
        with self.lake.open(path) as source, self.lake.fs.open(self.lake.path(beside), "wb") as sink:
            shutil.copyfileobj(source, sink, _PIECE)
        self.lake.move(beside, kept)

    def _plain_size(self, path: str) -> int | None:
        """A plain file's size; None for anything else."""
        try:
            if self.lake.local:
                found = os.lstat(path)
                return found.st_size if stat.S_ISREG(found.st_mode) else None
            told = self.lake.fs.info(path)
        except OSError:
            return None
        return int(told["size"]) if told["type"] == "file" else None

    def _sha256(self, path: str) -> str | None:
        """A file's hash; None where it may not be read, or went away."""
        try:
            return sha256_of(self.lake, path)
        except OSError:
            return None

    def _refused(
        self, feed: str, name: str, file_name: str, market: str, form: str, path: str, sent_at: dt.datetime, reason: str
    ) -> LedgerFile:
        """A file that is not decoded; where it is one and small enough, its bytes are kept like those of every rejected file."""
        size = self._plain_size(path)
        digest = self._sha256(path) if size is not None and size <= self.settings.max_file_bytes else None
        readable = digest is not None
        digest = digest or hashlib.sha256(reason.encode()).hexdigest()
        identifier = file_id(feed, self.run_date, file_name, digest)
        kept = f"{self._rejected_folder(feed)}/{safe_name(file_name)}.{identifier}" if readable else ""
        if readable and not self.lake.exists(kept):
            self._keep(path, kept)
        return LedgerFile(
            file_id=identifier,
            feed=feed,
            run_date=self.run_date,
            name=name,
            file_name=file_name,
            market=market,
            format=form,
            sha256=digest,
            # 0: no file, or one that may not be read; `inbox.waiting` looks at it again.
            size_bytes=size if size is not None and (readable or size > self.settings.max_file_bytes) else 0,
            sent_at=sent_at,
            state="rejected",
            reason=reason,
            rows=None,
            accepted=None,
            quarantined=None,
            duplicates=None,
            notes=None,
            raw_path=kept,
            run_id=self.run_id,
        )


def _shown(found: FoundFile) -> str:
    return f"{found.identity.feed} {found.identity.file_name}"
