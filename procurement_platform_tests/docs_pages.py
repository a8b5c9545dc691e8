"""The pages that are written from the code: `make docs` writes them, and a test holds them to it."""

import datetime as dt
import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from procurement_platform.cli.app import command
from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings, variable

FROM_CODE = "<!-- Written from the code by `make docs`; edit the code. -->"


def commands_page() -> str:
    """`docs/commands.md`: every sub-command with what its help says."""
    lines = [
        "# Commands",
        "",
        FROM_CODE,
        "",
        "Results go to standard output; progress, notes and errors go to standard error. Exit codes: 0 done, 1 an error or a failed day",
        "(one line says which), 2 wrong usage, 130 interrupted. Every setting is an environment variable: see [settings](settings.md).",
        "",
        "Before the sub-command: `--debug` shows where in the code an error arose, `--version` shows the version.",
    ]
    for path, each in commands():
        lines += ["", f"## {path}", "", inspect.cleandoc(each.help or "")]
        rows = [row(parameter) for parameter in each.params if parameter.name != "help"]
        if rows:
            lines += ["", "| | | |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Each sub-command that does something, by its whole name, in the order of the help."""

    def below(path: str, each: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(each, "commands"):
            yield path, each
            return
        for name, child in each.commands.items():
            yield from below(f"{path} {name}", child)

    return below("procurement", command())


def row(parameter: Any) -> str:
    """A parameter as a line of a table: how it is written, its default, what it means."""
    if parameter.param_type_name == "argument":
        written = f"`{parameter.metavar}`"
    else:
        names = ", ".join(parameter.opts)
        written = f"`{f'{names} {parameter.metavar}'.strip()}`"
    default = parameter.default
    if parameter.required:
        told = "required"
    elif default in (None, "", False):
        told = ""
    else:
        told = f"default `{default}`"
    return f"| {cell(written)} | {told} | {cell(parameter.help)} |"


def settings_page() -> str:
    """`docs/settings.md`: every setting with its default, kind and meaning."""
    lines = [
        "# Settings",
        "",
        FROM_CODE,
        "",
        "Settings come from the environment, then from `.env` in the folder a command is started in. `procurement env` prints them as they",
        "are; `procurement doctor` says which are set. A malformed one stops every command with a line that names it.",
        "",
        "| variable | kind | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{variable(name)}` | {kind(field)} | {default_of(field)} | {cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


KINDS: dict[Any, str] = {Path: "folder", str: "text", int: "integer", float: "number", dt.date: "date", SecretStr: "secret text"}


def kind(field: FieldInfo) -> str:
    """A field's type in words, with its limits."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [f"{sign} {getattr(rule, name)}" for rule in field.metadata for name, sign in signs.items() if hasattr(rule, name)]
    return ", ".join([in_words(field.annotation), *limits])


def in_words(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin is Annotated:
        return in_words(arguments[0])
    if origin in (Union, types.UnionType):
        return in_words(next(part for part in arguments if part is not type(None)))
    if origin is tuple:
        return f"list, {in_words(arguments[0])}"
    return KINDS[annotation]


def default_of(field: FieldInfo) -> str:
    """A field's default, as one would write it."""
    value = field.default
    return "" if value is None or value == () else f"`{value.as_posix() if isinstance(value, Path) else value}`"


def cell(text: str) -> str:
    """Text inside a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"docs/commands.md": commands_page, "docs/settings.md": settings_page}

if __name__ == "__main__":
    for path, page in PAGES.items():
        (CHECKOUT / path).write_text(page(), encoding="utf-8")
