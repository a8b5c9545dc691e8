import datetime as dt
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from procurement_platform.lake.files import Lake
from procurement_platform.lake.maintenance.listing import Line, entries, remove, some_dates, weigh

TODAY = dt.date(2025, 12, 31)


def test_links_are_listed_as_links_and_removed_without_what_they_lead_to(lake: Lake) -> None:
    lake.write("a/run/kept.csv", b"12345")
    folder = lake.path("a")
    Path(folder, "link").symlink_to("run")
    Path(folder, "lost").symlink_to("nowhere")
    found = {entry.name: entry for entry in entries(lake, "a")}
    assert [(name, entry.folder) for name, entry in found.items()] == [("link", False), ("lost", False), ("run", True)]
    remove(lake, "a/link", found["link"])
    remove(lake, "a/lost", found["lost"])
    remove(lake, "a/lost", found["lost"])
    assert lake.read("a/run/kept.csv") == b"12345"
    assert [entry.name for entry in entries(lake, "a")] == ["run"]


def test_a_folder_weighs_what_is_in_it_at_any_depth(lake: Lake) -> None:
    lake.write("a/b/one", b"1")
    lake.write("a/b/c/two", b"22")
    (folder,) = entries(lake, "a")
    weight = weigh(lake, "a/b", folder)
    assert (weight.files, weight.bytes) == (2, 3)
    assert weight.modified == max(entries(lake, "a/b/c")[0].modified, entries(lake, "a/b")[1].modified)


def test_an_empty_folder_is_as_old_as_itself_and_none_has_no_entries(lake: Lake) -> None:
    lake.make_folder("a/empty")
    (folder,) = entries(lake, "a")
    assert weigh(lake, "a/empty", folder).modified == folder.modified
    assert entries(lake, "not/there") == []


def test_a_busy_place_is_told_with_its_holder() -> None:
    assert Line.busy("shop 2025-12-01", "the buyer's run").note == "the buyer's run is at work there"


@given(st.sets(st.dates(TODAY - dt.timedelta(days=400), TODAY), max_size=80), st.integers(1, 9))
def test_every_old_date_has_its_turn_and_recent_ones_always(dates: set[dt.date], old: int) -> None:
    recent = {date for date in dates if date >= TODAY - dt.timedelta(days=35)}
    seen: set[dt.date] = set()
    for n in range(-(-len(dates - recent) // old) or 1):
        chosen = some_dates(dates, TODAY + dt.timedelta(days=n), recent=35 + n, old=old)
        assert recent <= set(chosen)
        assert len(set(chosen) - recent) <= old
        assert chosen == sorted(chosen)
        seen |= set(chosen)
    assert seen == dates
