"""Takes in what a day's inbox holds: every file is read once, from the inbox or, where it is known already, from its raw copy.

The inputs of a day are the ledger's active files overlaid by what the inbox holds: a file that is no longer in the inbox stays in use,
the same identity with other bytes replaces it, the same bytes change nothing. Of rivals, files of one identity in several formats, one
that no run has seen comes before those that were taken in, and the newest of several first; the first that can be read counts.
A file that was refused for its market, which the reference did not have as active, or for a limit, is looked at again by each run, in the
inbox or from the bytes that were kept.
"""

import datetime as dt
import hashlib
import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from procurement_platform.errors import InputGone
from procurement_platform.inbox.feeds import Feed
from procurement_platform.inbox.identity import FileIdentity, file_id, safe_name, with_suffix_apart
from procurement_platform.inbox.landing import decode
from procurement_platform.inbox.ledger import Ledger, LedgerFile
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.scan import FoundFile, Scan, UnfitFile, newest_first, scan
from procurement_platform.inbox.task import UNDER_ANOTHER_NAME, DecodeOutcome, DecodeTask, Limits
from procurement_platform.inbox.waiting import Seen
from procurement_platform.lake.files import Lake
from procurement_platform.lake.publish import sha256_of
from procurement_platform.settings import Settings

OTHER_FORMATS = "_other"  # Hive and Trino skip what starts with an underscore
SUPERSEDED = "_superseded"
_PIECE = 4 * 1024 * 1024
_TURNS = (None, "rejected", "accepted", "superseded", "withdrawn")  # states of candidates, in the order in which these are tried


@dataclass(frozen=True)
class Place:
    """Where a feed's staged Parquet goes, as absolute paths."""

    lines: str
    quarantine: str


@dataclass(frozen=True)
class Receipt:
    """A file of the day and what became of it. `outcome` is None where it was not decoded (no market of ours, not a file).

    `sent`: it came to the inbox, or came again, since the day's last run; or it lies there and is refused unread.
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
            InputGone: the raw copy of a file in use is gone or has other bytes, and the inbox does not hold the file either.
        """
        known = self.ledger.files(self.run_date)
        scans = {
            feed.name: scan(self.lake.path("inbox"), feed.name, self.run_date, self.settings.settle_seconds, files=self.lake.fs)
            for feed in feeds
        }
        receipts: list[Receipt] = []
        growing = [_shown(f) for found in scans.values() for f in found.growing]
        for found in scans.values():
            receipts += [Receipt(self._unfit(unfit), None, sent=True) for unfit in found.unfit]
        seen = Seen(known, lambda file: self._sha256(file.path))
        receipts += self._of_no_market(scans, known, seen)

        withdrawn = {f.file_id for f in known if f.state == "withdrawn"}
        versions = {f.file_id: f for f in known}
        touched: dict[str, dt.datetime] = {}
        turns = self._candidates(feeds, scans, known, seen)
        while turns:  # the second time for those names whose first file is not accepted, and so on
            outcomes = list(self._decoded([self._task(each[0], places[each[0].feed.name]) for each in turns]))
            again = []
            for (candidate, *others), outcome in zip(turns, outcomes, strict=True):
                used = outcome.status == "accepted" and outcome.file_id not in withdrawn
                if candidate.in_use is not None:
                    receipts.append(Receipt(self._again(candidate.in_use, outcome), outcome))
                elif outcome.status == "unsettled":
                    growing.append(_shown(candidate.found))
                elif outcome.file_id in withdrawn:
                    self._discard(outcome)
                    touched[outcome.file_id] = candidate.found.modified_at
                else:
                    before = versions.get(outcome.file_id)
                    file = self._ledger_file(candidate, outcome, before.raw_path if before else "")
                    receipts.append(Receipt(file, outcome, sent=candidate.came or before is None))
                if used:
                    receipts += [Receipt(self._outdone(rival.found, candidate.found, versions), None) for rival in others if rival.came]
                elif rest := [each for each in others if each.known is None or each.known.file_id != outcome.file_id]:
                    again.append(rest)
            turns = again
        touched |= {r.file.file_id: r.file.sent_at for r in receipts if r.file.file_id in withdrawn}
        receipts = _told([r for r in receipts if r.file.file_id not in withdrawn])
        self.ledger.seen_again(touched)
        return Received(tuple(sorted(receipts, key=lambda r: (r.file.feed, r.file.file_name, r.file.file_id))), tuple(sorted(growing)))

    def rows_as_sent(
        self, feed: Feed, files: Sequence[LedgerFile], asked: Sequence[str], kind: str, folder: str
    ) -> Iterator[DecodeOutcome]:
        """The rows of files in use that are asked for by their numbers, from the raw copies, into Parquet files in a folder.

        `asked` are Parquet files as `DecodeTask` has them. One outcome per file, in their order; `rejected` where its rows cannot be shown.

        Raises:
            InputGone: a raw copy is gone or has other bytes.
        """
        place = Place(folder, folder)
        tasks = [self._task(_Candidate(feed, self._kept(file), file.state, file), place) for file in files]
        asking = [replace(task, asked=tuple(asked), asked_kind=kind) for task in tasks]
        for file, outcome in zip(files, self._decoded(asking), strict=True):
            _as_taken_in(file, outcome)
            yield outcome

    def _of_no_market(self, scans: Mapping[str, Scan], known: Sequence[LedgerFile], seen: Seen) -> Iterator[Receipt]:
        """What becomes of files whose market is not active on the day: of those in use, else of what the inbox holds."""
        in_use = {(f.feed, f.name): f for f in known if f.state == "accepted" and f.market not in self.senders}
        yield from (Receipt(self._inactive(f), None) for f in in_use.values())
        for feed, scanned in scans.items():
            for found in scanned.files:
                strange = found.identity.market not in self.senders and (feed, found.identity.name) not in in_use
                if strange and seen.state(found) != "superseded":  # which may have to read the file
                    yield Receipt(self._stranger(found), None, sent=True)

    def _candidates(
        self, feeds: Sequence[Feed], scans: Mapping[str, Scan], known: Sequence[LedgerFile], seen: Seen
    ) -> list[list["_Candidate"]]:
        """What may be the day's file of each name, in the order in which it is tried.

        First what came since the last run, the newest first; then what was refused, in use, and superseded by a rival. Of one that is in
        use the ledger has only later ones as refused.
        """
        by_name = {feed.name: feed for feed in feeds}
        found: dict[tuple[str, str], list[_Candidate]] = defaultdict(list)
        for feed in feeds:
            for file in newest_first(scans[feed.name].files):
                if file.identity.market in self.senders:
                    found[feed.name, file.identity.name].append(_Candidate(feed, file, seen.state(file)))
        in_use = [f for f in known if f.state == "accepted" and f.market in self.senders]
        for old in [*(f for f in reversed(known) if self._may_count_now(f)), *in_use]:
            found[old.feed, old.name].append(_Candidate(by_name[old.feed], self._kept(old), old.state, old))
        # The order above stays among those of one state: the inbox before what was kept.
        return [sorted(each, key=lambda candidate: _TURNS.index(candidate.state)) for each in found.values()]

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

    def _task(self, candidate: "_Candidate", place: Place) -> DecodeTask:
        feed, identity = candidate.feed, candidate.found.identity
        avro, other, _ = self._raw_folders(feed.name)
        raw_folder = None
        if candidate.in_use is None:
            raw_folder = self.lake.path(avro if identity.format == "avro" else other)
        elif not self.lake.exists(candidate.in_use.raw_path):
            raise InputGone(
                f"{candidate.in_use.raw_path}, the raw copy of {identity.file_name}, is gone: put the file into the inbox again, "
                f"or withdraw it (`procurement files withdraw`)"
            )
        return DecodeTask(
            feed=feed.name,
            run_date=self.run_date,
            market=identity.market,
            timezone=self.senders[identity.market],
            name=identity.name,
            file_name=identity.file_name,
            format=identity.format,
            source=candidate.found.path,
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

    def _ledger_file(self, candidate: "_Candidate", outcome: DecodeOutcome, known_path: str) -> LedgerFile:
        """A file that was read as one that is new; `known_path` is where the ledger has these bytes already, if it does."""
        found = candidate.found
        raw_path = self.lake.relative(outcome.raw_path) if outcome.raw_path else known_path
        return LedgerFile(
            file_id=outcome.file_id,
            feed=candidate.feed.name,
            run_date=self.run_date,
            name=found.identity.name,
            file_name=found.identity.file_name,
            market=found.identity.market,
            format=found.identity.format,
            sha256=outcome.sha256,
            size_bytes=outcome.size,
            sent_at=found.modified_at,
            state=outcome.status,
            reason=outcome.reason,
            rows=outcome.rows,
            accepted=outcome.accepted,
            quarantined=outcome.quarantined,
            duplicates=0,
            notes="\n".join(outcome.notes) or None,
            raw_path=raw_path,
            run_id=self.run_id,
            awaits_reference=outcome.look_again and raw_path != "",
        )

    def _again(self, file: LedgerFile, outcome: DecodeOutcome) -> LedgerFile:
        """A file in use that was read again from its raw copy. It may break a limit that is lower now.

        Raises:
            InputGone: the raw copy is gone, or has other bytes.
        """
        _as_taken_in(file, outcome)
        changed: dict[str, Any] = {
            "state": outcome.status,
            "reason": outcome.reason,
            "rows": outcome.rows,
            "accepted": outcome.accepted,
            "quarantined": outcome.quarantined,
            "duplicates": 0,
            "notes": "\n".join(outcome.notes) or None,
            "awaits_reference": outcome.look_again,
        }
        return replace(file, **changed)

    def _inactive(self, file: LedgerFile) -> LedgerFile:
        """A file in use whose market is no longer active on the day (its reference was refreshed)."""
        refused = replace(
            file, state="rejected", reason=self._not_active(file.market, file.file_name), accepted=0, quarantined=0, duplicates=0
        )
        return replace(refused, awaits_reference=True)

    def _may_count_now(self, file: LedgerFile) -> bool:
        """Whether a file that was refused for what is not in its bytes can be looked at again."""
        awaits = file.state == "rejected" and file.awaits_reference and file.market in self.senders
        return awaits and self._place_of(file) is not None

    def _kept(self, file: LedgerFile) -> FoundFile:
        """The bytes that were kept of a file, as if they lay in the inbox."""
        identity = FileIdentity(file.feed, file.run_date, file.market, file.name, file.file_name, file.format)  # type: ignore[arg-type]
        place = file.raw_path if file.state == "accepted" else self._place_of(file)
        return FoundFile(identity, self.lake.path(place or file.raw_path), file.size_bytes, file.sent_at)

    def _place_of(self, file: LedgerFile) -> str | None:
        """Where the bytes of a refused file are: where the ledger has them, or where a killed run did not move them from."""
        name = file.raw_path.rpartition("/")[2]
        places = [file.raw_path, *(f"{folder}/{name}" for folder in self._raw_folders(file.feed))]
        return next((place for place in places if name and self.lake.exists(place)), None)

    def _not_active(self, market: str, file_name: str) -> str:
        meant = with_suffix_apart(file_name, self.senders)
        remedy = f"name it {meant}" if meant else "correct the file's name"
        return (
            f"{market} is no market that is active on {self.run_date}: {remedy}, or have the market added to the "
            f"reference and the day run with --refresh-reference{UNDER_ANOTHER_NAME}"
        )

    def _stranger(self, found: FoundFile) -> LedgerFile:
        reason = self._not_active(found.identity.market, found.identity.file_name)
        identity = found.identity
        refused = self._refused(
            identity.feed, identity.name, identity.file_name, identity.market, identity.format, found.path, found.modified_at, reason
        )
        return replace(refused, awaits_reference=refused.raw_path != "")

    def _unfit(self, unfit: UnfitFile) -> LedgerFile:
        reason = f"{unfit.reason}{UNDER_ANOTHER_NAME}"
        return self._refused(unfit.feed, unfit.file_name, unfit.file_name, "", "", unfit.path, unfit.modified_at, reason)

    def _outdone(self, rival: FoundFile, winner: FoundFile, versions: Mapping[str, LedgerFile]) -> LedgerFile:
        """A file that came with a newer one of the same identity, which can be read and counts."""
        identity, name = rival.identity, winner.identity.file_name
        digest = self._sha256(rival.path) or ""
        if before := versions.get(file_id(identity.feed, self.run_date, identity.file_name, digest)):
            return replace(before, state="superseded", sent_at=rival.modified_at)
        reason = (
            f"{name} was taken in place of {identity.file_name}: they are the same file by name, and it was the newer one; "
            f"give one a __suffix if both belong to the day"
        )
        noted = self._refused(
            identity.feed, identity.name, identity.file_name, identity.market, identity.format, rival.path, rival.modified_at, reason
        )
        return replace(noted, state="superseded", size_bytes=rival.size)  # by which it is known again, though it may not be read

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


@dataclass(frozen=True)
class _Candidate:
    """Bytes that may be the day's file of their name: what the inbox holds, or what the ledger knows (`known`) and the lake has.

    `state` is what became of it; None where it came, or came again, since the day's last run.
    """

    feed: Feed
    found: FoundFile
    state: str | None
    known: LedgerFile | None = None

    @property
    def came(self) -> bool:
        return self.state is None

    @property
    def in_use(self) -> LedgerFile | None:
        """The file in use, whose bytes are where they belong."""
        return self.known if self.known is not None and self.known.state == "accepted" else None


def _as_taken_in(file: LedgerFile, outcome: DecodeOutcome) -> None:
    """A raw copy that was read again has the bytes that were sent, else InputGone."""
    if outcome.status == "unsettled" or outcome.sha256 != file.sha256:
        raise InputGone(
            f"{file.raw_path}, the raw copy of {file.file_name}, is not what was sent ({outcome.reason or 'its SHA-256 differs'}): "
            "put the file into the inbox again, or withdraw it (`procurement files withdraw`)"
        )


def _told(receipts: Iterable[Receipt]) -> list[Receipt]:
    """The receipts; each rejection of a file in whose place one that was sent before is in use says so."""
    listed = list(receipts)
    in_use = {(r.file.feed, r.file.name) for r in listed if r.file.state == "accepted"}
    stays = "The file of this name that was sent before stays in use"
    return [
        replace(r, file=replace(r.file, reason=f"{r.file.reason}. {stays}"))
        if r.file.state == "rejected" and r.outcome is not None and (r.file.feed, r.file.name) in in_use
        else r
        for r in listed
    ]


def _shown(found: FoundFile) -> str:
    return f"{found.identity.feed} {found.identity.file_name}"
