"""What the README and the pages promise, done as a reader would."""

import re

from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings, settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay
from procurement_platform_tests.market_files_page import EXAMPLES


def test_the_snippet_reads_the_current_state_of_a_table(procurement: Procurement, ran_day: RanDay) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert DAY in snippet
    settings.cache_clear()
    found: dict[str, object] = {}
    exec(snippet.replace("print(", "result = ("), found)  # noqa: S102 -- our own page
    expected = procurement("demand", DAY, "--format", "json").json
    assert len(expected) == found["result"].num_rows  # type: ignore[attr-defined]
    assert expected


def test_the_example_files_are_taken_whole(procurement: Procurement, quick: Settings) -> None:
    for feed, text in EXAMPLES.items():
        path = quick.home.parent / "DE.csv"
        path.write_text(text, encoding="utf-8")
        done = procurement("put", path, "--market", "DE", "--feed", feed, "--date", DAY)
        assert done.code == 0, done.err
    assert procurement("run", DAY).code == 0
    files = [line for line in procurement("files", DAY, "--format", "json").json if line["market"] == "DE"]
    assert [(line["state"], line["rows"]) for line in files] == [("accepted", 3), ("accepted", 3)]
    assert [row for row in procurement("quarantine", DAY, "--format", "json").json if row["market"] == "DE"] == []
