"""Dates and choices as people type them."""

import datetime as dt
from typing import get_args

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.cli.options import FeedOption, parse_date
from procurement_platform.procurement.feeds import FEED_BY_NAME


@given(st.dates(min_value=dt.date(1000, 1, 1)))
def test_a_date_is_read_as_it_is_written(date: dt.date) -> None:
    assert parse_date(date.isoformat()) == date


@pytest.mark.parametrize("text", ["2025-13-01", "2025-02-29", "20251220", "20.12.2025", "today", "", "2025-12-20T00:00"])
def test_what_is_no_date_is_said(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no date; write YYYY-MM-DD"):
        parse_date(text)


def test_the_feeds_offered_are_those_there_are() -> None:
    literal, _ = get_args(FeedOption)
    assert set(get_args(literal)) == set(FEED_BY_NAME)
