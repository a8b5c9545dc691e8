"""Alerts: people are told of a failed check once, and again only when what it found changes or is over (`control.alerts_sent`)."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from procurement_platform.database.connect import Database
from procurement_platform.errors import AlertNotDelivered, ConfigurationError
from procurement_platform.texts import shorten

TOLD = 20  # findings a message names; the report has them all
CHARACTERS = 300  # of each
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Finding:
    """A check's result. `fingerprint` is the same as long as the check finds the same; `text` is for people."""

    asset: str
    check: str
    partition: str
    passed: bool
    text: str
    fingerprint: str = ""

    @property
    def key(self) -> _Key:
        return self.asset, self.check, self.partition


@dataclass(frozen=True)
class Message:
    """What is told, in one piece."""

    title: str
    body: str
    good: bool


def fingerprint(*parts: object) -> str:
    """A hash of what makes a finding the same finding."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


class Alerts:
    """Tells people, at the addresses given, of a domain's findings. Without an address it only remembers what it would have told."""

    def __init__(self, database: Database, domain: str, addresses: Sequence[SecretStr]) -> None:
        self._database, self._domain, self._addresses = database, domain, addresses

    def tell(self, subject: str, run_id: str, findings: Iterable[Finding], hint: str = "", word: str = "failed") -> Message | None:
        """Tells in one message what is new among the findings of a run, and what is over; None where all of it was told before.

        `subject` and `word` make the title: "subject: 2 failed, 1 over".

        Raises:
            AlertNotDelivered: no address took it; nothing is remembered, so that it is told again.
        """
        latest = {finding.key: finding for finding in findings}
        open_ones = self._open({partition for _, _, partition in latest})
        failed = [f for f in latest.values() if not f.passed and open_ones.get(f.key) != self._mark(f)]
        over = [f for f in latest.values() if f.passed and f.key in open_ones]
        if not failed and not over:
            return None
        message = _message(f"{subject}: {_counted(word, len(failed), len(over))}", failed, over, hint)
        if self._addresses:
            deliver(self._addresses, message)
        self._remember(run_id, failed, over)
        return message

    def _mark(self, finding: Finding) -> str:
        # What nobody could be told yet is told once there is an address.
        return finding.fingerprint if self._addresses else f"untold {finding.fingerprint}"

    def _open(self, partitions: Iterable[str]) -> dict[_Key, str]:
        with self._database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT asset, check_name, partition, fingerprint FROM control.alerts_sent
                WHERE domain = %s AND partition = ANY(%s) AND state = 'open'
                """,
                (self._domain, list(partitions)),
            ).fetchall()
        return {(asset, check, partition): mark for asset, check, partition, mark in rows}

    def _remember(self, run_id: str, failed: Sequence[Finding], over: Sequence[Finding]) -> None:
        with self._database.transaction() as connection:
            for finding in (*failed, *over):
                connection.execute(
                    """
                    INSERT INTO control.alerts_sent (domain, asset, check_name, partition, fingerprint, state, sent_at, run_id)
                    VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp(), %s)
                    ON CONFLICT (domain, asset, check_name, partition) DO UPDATE SET
                        fingerprint = EXCLUDED.fingerprint, state = EXCLUDED.state, sent_at = EXCLUDED.sent_at, run_id = EXCLUDED.run_id
                    """,
                    (self._domain, *finding.key, self._mark(finding), "cleared" if finding.passed else "open", run_id),
                )


def deliver(addresses: Sequence[SecretStr], message: Message) -> None:
    """Sends a message to every address; one that fails does not keep it from the others.

    Raises:
        AlertNotDelivered: none took it. Addresses hold passwords: the text names them by number and kind only.
        ConfigurationError: an address is none that Apprise knows.
    """
    import apprise  # half a second, and only where there is something to tell

    # Its log lines quote addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.FAILURE
    failed = []
    for number, address in enumerate(addresses, 1):
        sender = apprise.Apprise()
        name = _name(number, address)
        if not sender.add(address.get_secret_value()):
            raise ConfigurationError(f"PROCUREMENT_ALERT_URLS: {name} is no Apprise address: correct it")
        if not sender.notify(title=message.title, body=message.body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
            failed.append(name)
    if len(failed) == len(addresses):
        raise AlertNotDelivered(f"nobody took the alert {message.title!r}: {', '.join(failed)} failed; it is sent again")


def unknown_addresses(addresses: Sequence[SecretStr]) -> list[str]:
    """Those that are none that Apprise knows, by number and kind; nothing is sent."""
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return [_name(number, address) for number, address in enumerate(addresses, 1) if not apprise.Apprise().add(address.get_secret_value())]


def _name(number: int, address: SecretStr) -> str:
    return f"address {number} ({address.get_secret_value().partition('://')[0][:20]}://…)"


def _message(title: str, failed: Sequence[Finding], over: Sequence[Finding], hint: str) -> Message:
    lines = [f"{f.asset} {f.check}: {f.text}" for f in failed] + [f"{f.asset} {f.check}: no longer" for f in over]
    shown = [shorten(" ".join(line.split()), CHARACTERS) for line in lines[:TOLD]]
    if len(lines) > TOLD:
        shown.append(f"… and {len(lines) - TOLD} more")
    return Message(title, "\n".join([*shown, *([hint] if hint else [])]), good=not failed)


def _counted(word: str, failed: int, over: int) -> str:
    return ", ".join([f"{failed} {word}"] * bool(failed) + [f"{over} over"] * bool(over))
