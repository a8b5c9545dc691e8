"""`procurement quarantine`: every rejected row of the published day, as it was sent."""

import csv
import io
import json
from collections import Counter

import pytest

from procurement_platform.cli.quarantine import MOST
from procurement_platform.inbox.quarantine import QUARANTINE
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay, Terminal, plain

COLUMNS = [column.name for column in QUARANTINE.columns]


def test_json_has_every_rejected_row_in_order_with_the_row_as_sent(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("quarantine", DAY, "--format", "json").json
    assert all(list(row) == COLUMNS for row in rows)
    places = [(row["feed"], row["file"], row["row_number"]) for row in rows]
    assert places == sorted(set(places))
    files = procurement("files", DAY, "--format", "json").json
    assert Counter((feed, file) for feed, file, _ in places) == Counter(
        {(line["feed"], line["file"]): line["quarantined"] for line in files if line["quarantined"]}
    )
    assert all(isinstance(json.loads(row["row"]), dict) and row["reasons"] for row in rows)


def test_the_report_tells_what_is_wrong_with_the_row_it_names_whole_in_every_format(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("quarantine", DAY, "--format", "json").json
    reasons = {(row["feed"], row["file"], row["row_number"]): row["reasons"] for row in rows}
    told = [e for e in procurement("exceptions", DAY, "--format", "json").json if e["rule"] in ("INVALID_ROW", "CONFLICTING_ORDER")]
    assert {line["rule"] for line in told} == {"INVALID_ROW", "CONFLICTING_ORDER"}
    for line in told:
        feed = {"order_lines": "orders", "stock_lines": "stock"}[line["dataset"]]
        reason = reasons[feed, line["file"], line["first_row"]]
        assert line["message"].endswith(f" {'Why' if line['rows'] == 1 else 'For example'}: {reason}")
    messages = [line["message"] for line in told]
    report = ran_day.home / f"lake/logs/exceptions/date={DAY}/exceptions.csv"
    for text in (procurement("exceptions", DAY, "--format", "csv").out, report.read_text(encoding="utf-8")):
        found = [e["message"] for e in csv.DictReader(io.StringIO(text)) if e["rule"] in ("INVALID_ROW", "CONFLICTING_ORDER")]
        assert found == messages
    table = procurement("exceptions", DAY).out
    assert all(message in table for message in messages)


def test_csv_has_the_same_rows(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("quarantine", DAY, "--format", "json").json
    lines = list(csv.DictReader(io.StringIO(procurement("quarantine", DAY, "--format", "csv").out)))
    assert [(line["file"], int(line["row_number"]), line["row"]) for line in lines] == [
        (r["file"], r["row_number"], r["row"]) for r in rows
    ]


def test_feed_and_market_pick(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("quarantine", DAY, "--format", "json").json
    for feed, market in {(row["feed"], row["market"]) for row in rows}:
        picked = procurement("quarantine", DAY, "--feed", feed, "--market", market, "--format", "json").json
        assert picked == [row for row in rows if (row["feed"], row["market"]) == (feed, market)]
        assert picked
    assert procurement("quarantine", DAY, "--feed", "stock", "--format", "json").json == [row for row in rows if row["feed"] == "stock"]


def test_a_market_that_the_day_does_not_know_is_one_line_and_one_without_such_rows_is_none(
    procurement: Procurement, ran_day: RanDay
) -> None:
    assert procurement("quarantine", DAY, "--market", "GX").error.startswith(f"GX is no market in the reference that {DAY} was run with; ")
    with_rows = {row["market"] for row in procurement("quarantine", DAY, "--format", "json").json}
    without = min({"BR", "DE", "FR", "GB", "JP", "PL", "SE", "US"} - with_rows)
    done = procurement("quarantine", DAY, "--market", without)
    assert (done.code, done.out) == (0, f"Rejected rows from {without} of {DAY}\n(none)\n")


def test_a_day_that_was_never_run_is_one_line(procurement: Procurement, home: Settings) -> None:
    assert "was never run" in procurement("quarantine", DAY).error


@pytest.fixture
def much(quick: Settings, procurement: Procurement) -> int:
    """A day with many rejected rows, one of them very long; returns how many."""
    folder = quick.home / "lake" / "inbox" / "orders" / DAY
    folder.mkdir(parents=True)
    rows = [f"O-{n},DE,BAB-00001,0,1.00,{DAY}T10:00:00" for n in range(MOST + 10)]
    long = f'O-long,DE,BAB-00001,"{"many " * 500}",1.00,{DAY}T10:00:00'
    (folder / "DE.csv").write_text("\n".join(["order_id,market,sku,quantity,unit_price,ordered_at", long, *rows]) + "\n")
    assert procurement("run", DAY).code == 0
    return len(rows) + 1


def test_the_table_has_the_first_rows_and_says_how_many_more(procurement: Procurement, much: int, terminal: Terminal) -> None:
    done = procurement("quarantine", DAY)
    assert len(done.out.splitlines()) == MOST + 2
    assert done.err == f"… {much - MOST} more, --market and --feed show fewer, --format csv has them all\n"
    assert len(procurement("quarantine", DAY, "--format", "json").json) == much
    first = next(line for line in done.out.splitlines() if "O-long" in line)
    assert first.endswith("many…")
    assert len(first) < 1000
    terminal(80)
    lines = plain(procurement("quarantine", DAY).out).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("INVALID_ROW" in line for line in lines) == MOST
