"""What the inbox may hold, and how often: no name and no order of sending stops the other markets, and nothing is told twice or lost."""

import os
from pathlib import Path
from typing import Never

import pytest

from procurement_platform.inbox.ledger import Ledger
from procurement_platform.inbox.receive import SUPERSEDED
from procurement_platform.lake.files import Lake
from procurement_platform_tests.procurement.shop import DAY, REFERENCE, Shop, count, order


class Killed(BaseException):
    """A run ended here."""


def killed(*_: object, **__: object) -> Never:
    raise Killed


def refused(shop: Shop) -> list[tuple[str, str]]:
    """Market and file of each INVALID_FILE of the day's report."""
    return [(market, file) for rule, market, _, file, _ in shop.exceptions() if rule == "INVALID_FILE"]


def in_use(shop: Shop, market: str = "DE") -> object:
    """The day's gross demand of B in a market."""
    row = shop.demand().get((market, "B"))
    return row["gross_demand"] if row else None


@pytest.mark.parametrize(
    "name",
    ["x" * 240 + ".csv", "x" * 251 + ".csv", "x" * 233, "ü" * 120 + ".csv", "ü" * 125 + ".csvx"],
    ids=lambda n: f"{len(os.fsencode(n))} bytes",
)
def test_a_name_as_long_as_a_file_system_takes_stops_nobody(shop: Shop, name: str) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.put_bytes("orders", name, b"x")
    for _ in range(2):
        shop.run()
        assert in_use(shop) == 7
        assert len(refused(shop)) == 1
    [kept] = [f for f in shop.ledger().values() if f.state == "rejected"]
    assert shop.platform.lake.read(kept.raw_path) == b"x"
    assert shop.platform.lake.files(f"quarantine/files/orders/{DAY}") == [kept.raw_path.rpartition("/")[2]]


@pytest.mark.parametrize(
    ("one", "other"),
    [("ü" * 90 + "1.csv", "ü" * 90 + "2.csv"), ("\udcff" * 40 + "1.csv", "\udcff" * 40 + "2.csv"), ("a\\xff", "a\udcff")],
    ids=["letters", "bytes", "escapes"],
)
def test_names_that_look_alike_are_told_apart(shop: Shop, one: str, other: str) -> None:
    for name in (one, other):
        shop.put_bytes("orders", name, os.fsencode(name))
    for _ in range(2):
        shop.run()
        assert len({file for _, file in refused(shop)}) == 2
        kept = [f for f in shop.ledger().values() if f.state == "rejected"]
        assert {shop.platform.lake.read(f.raw_path) for f in kept} == {os.fsencode(one), os.fsencode(other)}
    assert all(file.isprintable() for _, file in refused(shop))


def told(shop: Shop) -> tuple[object, ...]:
    """What buyers see of the day."""
    return shop.report(), shop.csvs(), shop.demand()


def send(shop: Shop, *, good: bool) -> Path:
    """DE's stock, which leaves out B; or a correction of it that cannot be read."""
    if good:
        return shop.put("stock", "DE", [count("A", 3)], form="csv")
    return shop.put_bytes("stock", "DE.csv", b"market,sku\nDE,A\n")


@pytest.fixture
def corrected(shop: Shop) -> tuple[Shop, tuple[object, ...]]:
    """A shop whose first stock was followed by a correction that cannot be read; and what was seen before that."""
    shop.put("orders", "DE", [order("1", "B", 7)])
    send(shop, good=True)
    shop.run()
    before = told(shop)
    assert shop.demand()["DE", "B"]["stock_basis"] == "zero"
    send(shop, good=False)
    shop.run()
    assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    assert refused(shop) == [("DE", "DE.csv")]
    return shop, before


def test_a_file_sent_again_after_a_broken_correction_takes_its_place(corrected: tuple[Shop, tuple[object, ...]]) -> None:
    shop, before = corrected
    path = send(shop, good=True)
    for _ in range(2):
        shop.run()
        assert told(shop) == before
        assert {f.state for f in shop.platform.ledger.files(DAY) if f.name == "DE" and f.feed == "stock"} == {"accepted", "superseded"}
    path.unlink()
    shop.run()
    assert told(shop) == before


@pytest.mark.parametrize("step", ["record", "moved"])
def test_a_run_killed_while_it_takes_the_file_again_heals(
    corrected: tuple[Shop, tuple[object, ...]], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, before = corrected
    send(shop, good=True)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, step, killed)
        with pytest.raises(Killed):
            shop.run()
    shop.run()
    assert told(shop) == before


def test_a_broken_correction_that_left_the_inbox_is_told_until_the_file_is_sent_again(corrected: tuple[Shop, tuple[object, ...]]) -> None:
    """The file before is read from its raw copy: nobody sent it, and it takes nobody's place."""
    shop, before = corrected
    (shop.inbox / "stock" / DAY.isoformat() / "DE.csv").unlink()
    for _ in range(2):
        shop.run()
        assert refused(shop) == [("DE", "DE.csv")]
        assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    send(shop, good=True)
    shop.run()
    assert told(shop) == before


def killed_at(shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch, *, refresh: bool = False) -> None:
    """A run that ends where it would note where raw copies go (`moved`), or where it would move the first (`move`)."""
    move = Lake.move

    def unless_superseded(lake: Lake, source: str, target: str) -> None:
        if f"/{SUPERSEDED}/" in target:
            raise Killed
        move(lake, source, target)

    with monkeypatch.context() as patch:
        if step == "move":
            patch.setattr(Lake, "move", unless_superseded)
        else:
            patch.setattr(Ledger, step, killed)
        with pytest.raises(Killed):
            shop.run(refresh=refresh)


@pytest.mark.parametrize("step", ["moved", "move"])
@pytest.mark.parametrize("form", ["csv", "avro"])
def test_a_run_killed_while_raw_copies_move_leaves_none_that_the_ledger_cannot_find(
    shop: Shop, step: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.put("orders", "DE", [order("1", "B", 7)], form=form).read_bytes()
    shop.run()
    second = shop.put("orders", "DE", [order("1", "B", 4)], form=form).read_bytes()
    killed_at(shop, step, monkeypatch)
    shop.run()
    for state, data in (("superseded", first), ("accepted", second)):
        file = shop.ledger()["orders", f"DE.{form}", state]
        assert shop.platform.lake.read(file.raw_path) == data
        assert (f"/{SUPERSEDED}/" in file.raw_path) is (state == "superseded")


@pytest.mark.parametrize("step", ["moved", "move"])
@pytest.mark.parametrize("form", ["csv", "avro"])
def test_a_refused_file_whose_bytes_were_moving_when_the_run_was_killed_comes_back_with_its_market(
    shop: Shop, step: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop.put("orders", "DE", [order("1", "B", 7)], form=form)
    shop.run()
    path.unlink()
    shop.load({"markets": REFERENCE["markets"].replace("DE,Germany", "XX,Nowhere")})
    killed_at(shop, step, monkeypatch, refresh=True)
    shop.load()
    shop.run(refresh=True)
    assert in_use(shop) == 7
    assert refused(shop) == []


def test_a_ledger_that_an_earlier_version_left_wrong_finds_the_bytes(shop: Shop) -> None:
    """It moved first and noted it after: killed in between, the ledger named a place where there was nothing."""
    path = shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    path.unlink()
    [file] = shop.ledger().values()
    shop.load({"markets": REFERENCE["markets"].replace("DE,Germany", "XX,Nowhere")})
    shop.run(refresh=True)
    [moved] = shop.ledger().values()
    shop.platform.ledger.moved({moved.raw_path: file.raw_path})
    shop.load()
    shop.run(refresh=True)
    assert in_use(shop) == 7
