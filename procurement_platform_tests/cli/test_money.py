"""Money for reading: amounts in the minor unit, prices exact."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.money import amount, price, with_money
from procurement_platform.procurement.reference.currencies import CURRENCIES, minor_units

AMOUNTS = st.decimals(0, Decimal(10) ** 30, places=4, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        ("6260.6850", "CHF", "6,260.69"),
        ("6260.6849", "CHF", "6,260.68"),
        ("14640.0000", "BRL", "14,640.00"),
        ("1135945.5000", "JPY", "1,135,946"),
        ("1.0005", "KWD", "1.001"),
        ("0", "EUR", "0.00"),
    ],
)
def test_amounts_are_rounded_half_up_to_the_minor_unit(value: str, currency: str, shown: str) -> None:
    assert amount(Decimal(value), currency) == shown


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [("61.0000", "BRL", "61.00"), ("0.0125", "EUR", "0.0125"), ("2.5000", "JPY", "2.5"), ("200.0000", "JPY", "200"), ("0", "KWD", "0.000")],
)
def test_prices_are_exact(value: str, currency: str, shown: str) -> None:
    assert price(Decimal(value), currency) == shown


@given(AMOUNTS, st.sampled_from(sorted(CURRENCIES)))
def test_a_shown_price_is_the_same_number_and_an_amount_is_within_half_a_unit(value: Decimal, currency: str) -> None:
    assert Decimal(price(value, currency).replace(",", "")) == value
    assert abs(Decimal(amount(value, currency).replace(",", "")) - value) <= Decimal("0.5").scaleb(-minor_units(currency))


def test_only_money_is_changed_and_the_lines_given_stay() -> None:
    lines: list[dict[str, object]] = [{"sku": "A", "quantity": Decimal("1.500"), "amount": Decimal("2.3450"), "currency": "EUR"}]
    assert with_money(lines) == [{"sku": "A", "quantity": Decimal("1.500"), "amount": "2.35", "currency": "EUR"}]
    assert lines[0]["amount"] == Decimal("2.3450")


def test_the_minor_units_are_those_of_iso_4217() -> None:
    assert {minor_units(code) for code in CURRENCIES} == {0, 2, 3}
    assert [minor_units(code) for code in ("EUR", "JPY", "KRW", "KWD", "TND", "HUF")] == [2, 0, 0, 3, 3, 2]
