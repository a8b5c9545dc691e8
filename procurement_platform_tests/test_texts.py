"""Texts are shortened between words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.texts import first_few, shorten


def test_a_text_ends_with_a_whole_word() -> None:
    assert shorten("send the units ordered", 22) == "send the units ordered"
    assert shorten("send the units ordered", 21) == "send the units…"
    assert shorten("send the units ordered", 15) == "send the units…"
    assert shorten("send the units ordered", 14) == "send the…"
    assert shorten("x" * 30, 10) == "x" * 9 + "…"


@given(st.text("ab ", max_size=60), st.integers(1, 60))
def test_what_is_left_is_the_beginning_and_never_half_a_word(text: str, limit: int) -> None:
    short = shorten(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    kept = short.removesuffix("…")
    assert short != kept
    assert len(short) <= limit
    assert text.startswith(kept)
    assert text[len(kept)] == " " or " " not in text[:limit].strip(" ")


@pytest.mark.parametrize(
    ("count", "told"), [(0, ""), (1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (1004, "0, 1, 2 and 1,001 more")]
)
def test_the_first_few_are_named_and_the_others_counted(count: int, told: str) -> None:
    assert first_few([str(number) for number in range(count)], 3) == told
