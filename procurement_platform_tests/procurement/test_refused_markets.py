"""Which of a day's bytes a run looks at again: files that were refused for what the reference said of their market."""

from decimal import Decimal

import pytest

from procurement_platform.procurement.handing_in import withdraw
from procurement_platform_tests.procurement.shop import DAY, Shop, order

MARKETS = "market,name,currency,timezone,active_to\nGB,Britain,GBP,Europe/London,\nJP,Japan,JPY,Asia/Tokyo,\n"
INACTIVE = f"{MARKETS}DE,Germany,EUR,Europe/Berlin,2025-12-19\n"


def ordered(shop: Shop) -> object:
    """The day's gross demand of B in DE."""
    row = shop.demand().get(("DE", "B"))
    return row["gross_demand"] if row else None


def of_de(shop: Shop) -> set[str]:
    """The rules that DE's orders break."""
    return {rule for rule, market, *_ in shop.exceptions() if market == "DE" and rule in ("INVALID_FILE", "MISSING_FILE")}


@pytest.fixture
def closed(shop: Shop) -> Shop:
    """The shop, DE not active on the day."""
    shop.load({"markets": INACTIVE})
    return shop


@pytest.mark.parametrize("form", ["csv", "avro"])
def test_a_file_in_use_comes_back_with_its_market(shop: Shop, form: str) -> None:
    path = shop.put("orders", "DE", [order("1", "B", 7)], form=form)
    shop.run()
    before = shop.csvs()
    (sent,) = shop.ledger().values()
    shop.load({"markets": INACTIVE})
    path.unlink()
    shop.run(refresh=True)
    assert ordered(shop) is None
    assert of_de(shop) == {"INVALID_FILE"}
    shop.load()
    shop.run(refresh=True)
    assert ordered(shop) == Decimal(7)
    assert shop.csvs() == before
    assert "INVALID_FILE" not in of_de(shop)
    (back,) = shop.ledger().values()
    assert (back.state, back.file_id, back.sent_at, back.reason, back.awaits_reference) == (
        "accepted",
        sent.file_id,
        sent.sent_at,
        None,
        False,
    )
    assert back.raw_path == sent.raw_path
    shop.run()  # from its raw copy, as any other
    assert ordered(shop) == Decimal(7)


def test_a_file_of_a_market_that_comes_later_counts_once_it_is_there(closed: Shop) -> None:
    path = closed.put("orders", "DE", [order("1", "B", 7)])
    closed.run()
    assert of_de(closed) == {"INVALID_FILE"}
    path.unlink()
    closed.run()  # still inactive: nothing changes
    assert of_de(closed) == {"INVALID_FILE"}
    closed.load()
    closed.run()  # the reference is the day's own until it is refreshed
    assert of_de(closed) == {"INVALID_FILE"}
    closed.run(refresh=True)
    assert ordered(closed) == Decimal(7)
    assert [f.state for f in closed.ledger().values()] == ["accepted"]


def test_what_the_inbox_holds_counts_in_place_of_what_was_kept(closed: Shop) -> None:
    closed.put("orders", "DE", [order("1", "B", 7)])
    closed.run()
    closed.put("orders", "DE", [order("1", "B", 80)])
    closed.load()
    closed.run(refresh=True)
    assert ordered(closed) == Decimal(80)
    assert sorted(f.state for f in closed.platform.ledger.files(DAY)) == ["accepted", "superseded"]


def test_bytes_that_were_kept_are_read_like_any_others(closed: Shop) -> None:
    """Refused for the market first, for what is in it then; after that no run looks at them again."""
    closed.put_bytes("orders", "DE.csv", b"no,such\ncolumns,here\n")
    closed.run()
    (closed.inbox / "orders" / DAY.isoformat() / "DE.csv").unlink()
    closed.load()
    closed.run(refresh=True)
    (found,) = closed.ledger().values()
    assert (found.state, found.awaits_reference) == ("rejected", False)
    assert "column" in str(found.reason)


def test_a_withdrawn_file_does_not_come_back_with_its_market(closed: Shop) -> None:
    closed.put("orders", "DE", [order("1", "B", 7)])
    closed.run()
    withdraw(closed.platform, "DE.avro", "not theirs", DAY)
    closed.load()
    closed.run(refresh=True)
    assert ordered(closed) is None
    assert [f.state for f in closed.ledger().values()] == ["withdrawn"]


def test_a_file_whose_kept_bytes_are_gone_stays_refused(closed: Shop) -> None:
    path = closed.put("orders", "DE", [order("1", "B", 7)])
    closed.run()
    path.unlink()
    (refused,) = closed.ledger().values()
    closed.platform.lake.remove(refused.raw_path)
    closed.load()
    closed.run(refresh=True)
    assert of_de(closed) == {"INVALID_FILE", "MISSING_FILE"}
