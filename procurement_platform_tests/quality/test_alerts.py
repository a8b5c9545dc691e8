"""Alerts, delivered by Apprise to a real HTTP server."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from procurement_platform.database.connect import Database
from procurement_platform.errors import AlertNotDelivered, ConfigurationError
from procurement_platform.quality.alerts import TOLD, Alerts, Finding, Message, deliver, fingerprint

DAY = "2025-12-20"
BAD = Finding("order_lines", "invalid_row", DAY, passed=False, text="2 rows, 0 allowed", fingerprint="a")
WORSE = Finding("raw_orders", "missing_file", DAY, passed=False, text="1 rows, 0 allowed", fingerprint="b")
GOOD = replace(BAD, passed=True, text="none found")
SECRET = "hunter2"  # noqa: S105 -- the test looks for it in logs


@dataclass
class Inbox:
    """A server that takes messages, or answers with another status."""

    port: int
    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> SecretStr:
        return SecretStr(f"json://ann:{SECRET}@127.0.0.1:{self.port}/alerts")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Inbox(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def alerts(database: Database, inbox: Inbox) -> Alerts:
    return Alerts(database, "procurement", [inbox.address])


def test_a_failed_check_is_told_once(alerts: Alerts, inbox: Inbox) -> None:
    told = alerts.tell("Checks of 2025-12-20", "run 1", [BAD], "See the report")
    assert told == Message("Checks of 2025-12-20: 1 failed", "order_lines invalid_row: 2 rows, 0 allowed\nSee the report", good=False)
    assert alerts.tell("Checks of 2025-12-20", "run 2", [BAD]) is None
    assert [(m["title"], m["message"], m["type"]) for m in inbox.messages] == [(told.title, told.body, "failure")]


def test_it_is_told_again_when_it_finds_something_else(alerts: Alerts, inbox: Inbox) -> None:
    alerts.tell("s", "run 1", [BAD])
    assert alerts.tell("s", "run 2", [replace(BAD, fingerprint="other")]) is not None
    assert len(inbox.messages) == 2


def test_it_is_told_when_it_is_over_and_then_no_more(alerts: Alerts, inbox: Inbox) -> None:
    alerts.tell("s", "run 1", [BAD])
    over = alerts.tell("s", "run 2", [GOOD])
    assert over == Message("s: 1 over", "order_lines invalid_row: no longer", good=True)
    assert inbox.messages[-1]["type"] == "success"
    assert alerts.tell("s", "run 3", [GOOD]) is None
    assert alerts.tell("s", "run 4", [BAD]) is not None  # it is back


def test_what_passes_from_the_start_is_not_told(alerts: Alerts, inbox: Inbox) -> None:
    assert alerts.tell("s", "run 1", [GOOD]) is None
    assert inbox.messages == []


def test_a_run_tells_all_in_one_message(alerts: Alerts, inbox: Inbox) -> None:
    alerts.tell("s", "run 1", [BAD])
    told = alerts.tell("s", "run 2", [GOOD, WORSE])
    assert told is not None
    assert told.title == "s: 1 failed, 1 over"
    assert len(inbox.messages) == 2


def test_partitions_and_domains_are_apart(alerts: Alerts, database: Database, inbox: Inbox) -> None:
    alerts.tell("s", "run 1", [BAD])
    assert alerts.tell("s", "run 2", [replace(BAD, partition="2025-12-21")]) is not None
    assert Alerts(database, "sales", [inbox.address]).tell("s", "run 3", [BAD]) is not None


def test_an_alert_nobody_took_is_told_again(alerts: Alerts, inbox: Inbox) -> None:
    inbox.status = 500
    with pytest.raises(AlertNotDelivered, match="address 1") as failure:
        alerts.tell("s", "run 1", [BAD])
    assert SECRET not in str(failure.value)
    inbox.status = 200
    assert alerts.tell("s", "run 1", [BAD]) is not None


def test_one_address_that_fails_keeps_nothing_from_the_others(database: Database, inbox: Inbox) -> None:
    alerts = Alerts(database, "procurement", [SecretStr("json://127.0.0.1:1/closed"), inbox.address])
    assert alerts.tell("s", "run 1", [BAD]) is not None
    assert len(inbox.messages) == 1


def test_what_was_found_without_an_address_is_told_once_there_is_one(database: Database, inbox: Inbox) -> None:
    silent = Alerts(database, "procurement", [])
    assert silent.tell("s", "run 1", [BAD]) is not None
    assert silent.tell("s", "run 2", [BAD]) is None
    assert Alerts(database, "procurement", [inbox.address]).tell("s", "run 3", [BAD]) is not None
    assert len(inbox.messages) == 1


def test_an_address_that_is_none_names_the_setting_and_not_the_secret(inbox: Inbox) -> None:
    address = SecretStr(f"nosuchservice://ann:{SECRET}@example.com")
    with pytest.raises(ConfigurationError, match="PROCUREMENT_ALERT_URLS: address 1 \\(nosuchservice://…\\)") as failure:
        deliver([address], Message("t", "b", good=False))
    assert SECRET not in str(failure.value)


def test_no_log_line_holds_a_secret(inbox: Inbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG, "apprise")
    inbox.status = 500
    with pytest.raises(AlertNotDelivered):
        deliver([inbox.address], Message("t", "b", good=False))
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def test_a_message_stays_readable(alerts: Alerts) -> None:
    many = [replace(BAD, asset=f"asset{n}", text="x\n" * 1000) for n in range(TOLD + 5)]
    told = alerts.tell("s", "run 1", many, "hint")
    assert told is not None
    lines = told.body.splitlines()
    assert (len(lines), lines[-2], lines[-1]) == (TOLD + 2, "… and 5 more", "hint")
    assert max(map(len, lines)) <= 300
    assert all(line.endswith(" x…") for line in lines[:TOLD])


def test_a_fingerprint_depends_on_every_part() -> None:
    assert len({fingerprint("a", 1), fingerprint("a", 2), fingerprint("a"), fingerprint("b", 1)}) == 4
    assert fingerprint("a", 1) == fingerprint("a", 1)
