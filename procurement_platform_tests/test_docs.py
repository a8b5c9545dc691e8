"""The documentation is current, whole, and its links lead somewhere."""

import csv
import re
from pathlib import Path

import pytest

from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.project import CHECKOUT
from procurement_platform.quality.rules import RULES
from procurement_platform.settings import Settings, variable
from procurement_platform_tests.docs_pages import PAGES, commands
from procurement_platform_tests.market_files_page import EXAMPLES

LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")


@pytest.mark.parametrize("path", PAGES)
def test_pages_written_from_the_code_are_current(path: str) -> None:
    assert (CHECKOUT / path).read_text(encoding="utf-8") == PAGES[path](), "`make docs` writes it again"


def test_every_command_says_what_it_reads_and_writes() -> None:
    silent = [path for path, command in commands() if not {"reads", "writes"} <= set(re.findall(r"[a-z]+", (command.help or "").lower()))]
    assert silent == []


def test_every_option_and_argument_is_explained() -> None:
    bare = [f"{path} {parameter.name}" for path, command in commands() for parameter in command.params if not parameter.help]
    assert bare == []


def test_every_setting_is_explained() -> None:
    assert [variable(name) for name, field in Settings.model_fields.items() if not (field.description or "").strip()] == []
    page = (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [variable(name) for name in Settings.model_fields if f"`{variable(name)}`" not in page] == []


def pages() -> list[Path]:
    return [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]


def test_links_lead_to_files_that_are_there() -> None:
    lost = [
        f"{page.relative_to(CHECKOUT)}: {target}"
        for page in pages()
        for target, _ in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert lost == []


def test_the_commands_that_pages_show_exist() -> None:
    """Every `procurement …` in the pages starts with a sub-command there is."""
    known = {path.split()[1] for path, _ in commands()}
    shown = {
        (page.name, word)
        for page in pages()
        for word in re.findall(
            r"(?<![\w/.-])procurement ([a-z]+)\b",
            " ".join(re.findall(r"`[^`\n]+`|^ {4}\S.*$|^\$ .*$", page.read_text(encoding="utf-8"), re.MULTILINE)),
        )
    }
    assert {(page, word) for page, word in shown if word not in known} == set()


def test_the_make_targets_that_pages_show_exist() -> None:
    targets = set(re.findall(r"^\.PHONY: (\S+)$", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {word for page in pages() for word in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert shown - targets == set()
    assert {"setup", "run", "test"} <= shown


def table_rows(page: str, header: str) -> list[list[str]]:
    """The cells of the Markdown table under a header line."""
    lines = (CHECKOUT / page).read_text(encoding="utf-8").splitlines()
    start = lines.index(header) + 2
    end = next(n for n in range(start, len(lines)) if not lines[n].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[start:end]]


def test_the_readme_names_every_rule_with_its_severity() -> None:
    told = {(name, severity) for name, severity, _ in table_rows("README.md", "| rule | severity | what it means |")}
    assert told == {(rule.name, rule.severity) for rule in RULES}


def test_the_readme_names_every_column_of_the_contracts() -> None:
    told = {feed.strip("`"): columns for feed, columns in table_rows("README.md", "| feed | columns (`?`: may be left out) |")}
    for feed in FEEDS:
        fields = ", ".join(f"`{field.name}{'?' if field.optional else ''}`" for field in feed.contract.fields)
        assert told[feed.name] == fields
    assert len(told) == len(FEEDS)


def test_the_example_files_of_the_pages_have_every_column() -> None:
    page = (CHECKOUT / "docs" / "market-files.md").read_text(encoding="utf-8")
    for feed in FEEDS:
        assert EXAMPLES[feed.name] in page
        names, *rows = csv.reader(EXAMPLES[feed.name].splitlines())
        assert set(feed.contract.match(names)) == {field.name for field in feed.contract.fields}
        assert {len(row) for row in rows} == {len(names)}
