"""What the inbox may hold, and how often: no name and no order of sending stops the other markets, and nothing is told twice or lost."""

import os

import pytest

from procurement_platform_tests.procurement.shop import DAY, Shop, order


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
