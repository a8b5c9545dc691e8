"""Values are exact: checked against Python's own Decimal and zoneinfo."""

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.contracts import Field
from procurement_platform.inbox.values import as_text, day_start_us, local_time, reading, shown

QUANTITY = Field("quantity", "decimal", "", precision=18, scale=3)
MOMENT = Field("at", "instant", "")
NUMBER = Field("n", "integer", "", optional=True)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")


def read(field: Field, values: list[object], dtype: pl.DataType | None = None, zone: str = "Europe/Berlin") -> list[object]:
    series = pl.Series("c", values, dtype)
    return pl.DataFrame([series]).select(reading(field, "c", series.dtype, zone).value.alias("v"))["v"].to_list()


def micros(text: str, zone: str = "Europe/Berlin") -> object:
    [value] = read(MOMENT, [text], pl.String(), zone)
    return value


def utc(*parts: int) -> int:
    return (dt.datetime(*parts, tzinfo=dt.UTC) - EPOCH) // dt.timedelta(microseconds=1)  # type: ignore[misc,arg-type]


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15) + 1, max_value=10**15 - 1),
    st.integers(0, 40) | st.just(200),
    st.integers(0, 40) | st.just(200),
)
def test_decimals_that_fit_are_read_exactly(number: Decimal, before: int, after: int) -> None:
    text = f"{'-' * number.is_signed()}{'0' * before}{abs(number):f}{'0' * after}"
    assert read(QUANTITY, [text, f" {text} "]) == [number, number]


@pytest.mark.parametrize("zeros", [0, 1, 9, 10, 40, 200])
def test_of_digits_beyond_the_places_only_zeros_are_taken(zeros: int) -> None:
    more = "0" * zeros
    assert read(QUANTITY, [f"1.500{more}", f"{more}15", f"1.500{more}1", f"1{more}1.5"]) == [
        Decimal("1.5"),
        Decimal(15),
        None,
        Decimal(f"1{more}1.5") if zeros < 14 else None,
    ]


@given(st.text("0123456789.-+eE ,_", max_size=25))
def test_text_is_a_decimal_or_nothing(text: str) -> None:
    [value] = read(QUANTITY, [text], pl.String())
    if value is not None:
        assert value == Decimal(text.strip())


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**16), max_value=10**16))
def test_finer_decimals_are_read_only_where_no_digit_is_lost(number: Decimal) -> None:
    [value] = read(QUANTITY, [number], pl.Decimal(38, 6))
    fits = number == number.quantize(Decimal("0.001")) and abs(number) < 10**15
    assert value == (number if fits else None)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_quantities(number: int) -> None:
    assert read(QUANTITY, [number], pl.Int64()) == [Decimal(number) if abs(number) < 10**15 else None]


@given(st.integers(-(2**63), 2**63 - 1))
def test_line_numbers_fit_or_are_nothing(number: int) -> None:
    assert read(NUMBER, [number], pl.Int64()) == [number if -(2**31) <= number < 2**31 else None]
    assert read(NUMBER, [str(number)], pl.String()) == [number if abs(number) < 10**9 else None]


@given(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_times_with_an_offset_are_read_exactly(local: dt.datetime, minutes: int) -> None:
    moment = local.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    expected = (moment - EPOCH) // dt.timedelta(microseconds=1)
    assert micros(moment.isoformat()) == expected
    assert micros(moment.isoformat(" ").lower()) == expected


@given(st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2037, 1, 1)), st.sampled_from(ZONES))  # noqa: DTZ001
def test_times_without_an_offset_are_the_markets(local: dt.datetime, zone: str) -> None:
    moment = local.replace(tzinfo=ZoneInfo(zone))
    exists = moment.astimezone(dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local
    expected = (moment - EPOCH) // dt.timedelta(microseconds=1) if exists else None
    assert micros(local.isoformat(), zone) == expected
    assert read(MOMENT, [local], pl.Datetime("us"), zone) == [expected]


@given(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), st.integers(-14, 14), st.integers(0, 3))  # noqa: DTZ001
def test_offsets_of_hours_and_zeros_beyond_microseconds_are_read_exactly(local: dt.datetime, hours: int, zeros: int) -> None:
    moment = local.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    text = f"{local.isoformat(' ', timespec='microseconds')}{'0' * zeros}"
    assert micros(f"{text}{hours:+03}") == (moment - EPOCH) // dt.timedelta(microseconds=1)
    assert micros(f"{text}Z") == (local.replace(tzinfo=dt.UTC) - EPOCH) // dt.timedelta(microseconds=1)


@given(st.lists(st.sampled_from(["", "Z", "+01", "-0230", "+05:45"]), min_size=1, max_size=8))
def test_a_column_may_mix_the_ways_to_write_an_offset(offsets: list[str]) -> None:
    shift = {"": 60, "Z": 0, "+01": 60, "-0230": -150, "+05:45": 345}
    expected = [utc(2025, 12, 20, 14, 3) - shift[offset] * 60_000_000 for offset in offsets]
    assert read(MOMENT, [f"2025-12-20 14:03:00{offset}" for offset in offsets]) == expected


def test_timestamps_are_shown_also_where_no_calendar_holds_them() -> None:
    numbers = [0, 2**63 - 1, -(2**63), None]
    for dtype in (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ms", "UTC"), pl.Datetime("us", "UTC")):
        column = pl.Series("c", numbers, pl.Int64).cast(dtype)
        words = pl.DataFrame([column]).select(as_text(pl.col("c"), dtype))["c"].to_list()
        assert words[0].startswith("1970-01-01 00:00:00.000")
        assert words[1:] == [str(2**63 - 1), str(-(2**63)), None]
    days = pl.Series("c", [0, 2**31 - 1], pl.Int32).cast(pl.Date)
    assert pl.DataFrame([days]).select(as_text(pl.col("c"), days.dtype))["c"].to_list() == ["1970-01-01", str(2**31 - 1)]


def test_when_clocks_change() -> None:
    assert micros("2025-03-30T02:30:00") is None, "skipped"
    assert micros("2025-10-26T02:30:00") == utc(2025, 10, 26, 0, 30), "twice: the first is meant"


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-20",
        "14:03",
        "2025-12-20T24:01:00",
        "2025-12-20T23:59:60",  # a leap second is no time of any day here: it would be the next day's first
        "2025-02-30T00:00",
        "2025-12-20T14:03:00.1234567",
        "2025-12-20T14:03:00.000000001Z",
        "2025-12-20T14:03:00.1234560000",
        "2025-12-20T14:03:00.",
        "2025-12-20 14:03:00+1",
        "2025-12-20 14:03:00+15",
        "2025-12-20 14:03:00+01:",
        "20.12.2025 14:03",
        "1766188800",
        "",
        "2025-12-20T14:03:00+15:00",
        "2025-12-20T14:03:00 Europe/Berlin",
        "٢٠٢٥-12-20T14:03",
        "2025-12-20T14:03:00\n2025-12-20T14:03:00",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert micros(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-20T14:03",
        "2025-12-20 14:03:00",
        "2025-12-20t14:03:00.000000",
        "2025-12-20t14:03:00.000000000",
        " 2025-12-20T13:03Z ",
        "2025-12-20T13:03:00.0000000Z",
        "2025-12-20T14:03:00+0100",
        "2025-12-20 14:03:00+01",
        "2025-12-20 14:03+01",
        "2025-12-20 03:03:00.000000000-10",
    ],
)
def test_the_ways_to_write_a_time(text: str) -> None:
    assert micros(text) == utc(2025, 12, 20, 13, 3)


def test_timestamps_no_calendar_holds_are_nothing() -> None:
    huge = pl.Series("c", [2**62], pl.Int64).cast(pl.Datetime("ms", "UTC"))
    frame = pl.DataFrame([huge])
    assert frame.select(reading(MOMENT, "c", huge.dtype, "UTC").value.alias("v"))["v"].to_list() == [None]


@pytest.mark.parametrize(
    ("field", "dtype"),
    [
        (QUANTITY, pl.Float64()),
        (QUANTITY, pl.Boolean()),
        (MOMENT, pl.Date()),
        (MOMENT, pl.Int64()),
        (NUMBER, pl.Decimal(5, 0)),
        (Field("t", "text", ""), pl.Float64()),
        (Field("t", "text", ""), pl.Binary()),
        (QUANTITY, pl.List(pl.Int64())),
    ],
    ids=str,
)
def test_types_without_exact_meaning_are_refused(field: Field, dtype: pl.DataType) -> None:
    with pytest.raises(InvalidFile, match=r"column col of the type .*: send"):
        reading(field, "col", dtype, "UTC")


@given(st.dates(dt.date(1990, 1, 1), dt.date(2037, 1, 1)), st.sampled_from((*ZONES, "Asia/Beirut", "America/Sao_Paulo")))
def test_a_day_begins_at_its_first_moment(day: dt.date, zone: str) -> None:
    start = EPOCH + dt.timedelta(microseconds=day_start_us(day, zone))
    assert start.astimezone(ZoneInfo(zone)).date() == day
    assert (start - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() == day - dt.timedelta(days=1)


@given(st.text(max_size=100) | st.none())
def test_a_value_is_shown_in_one_short_line(text: str | None) -> None:
    [words] = pl.DataFrame({"c": [text]}, schema={"c": pl.String}).select(shown(pl.col("c")))["c"].to_list()
    assert len(words) <= 61
    assert not {"\n", "\r", "\x00"} & set(words)
    assert text is not None or words == "nothing"


def test_blanks_around_a_value_are_seen() -> None:
    words = pl.DataFrame({"c": ["A-1 ", " A-1", "A 1", ""]}).select(shown(pl.col("c")))["c"].to_list()
    assert words == ["'A-1 '", "' A-1'", "A 1", ""]


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_instant_can_be_shown(value: int) -> None:
    [words] = pl.DataFrame({"c": [value]}).select(local_time(pl.col("c"), "Europe/Berlin"))["c"].to_list()
    assert words
