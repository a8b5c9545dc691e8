"""The pages that are written from the code: `make docs` writes them, and a test holds them to it."""

import datetime as dt
import inspect
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from procurement_platform.cli.app import command
from procurement_platform.procurement.reference.read import CODES, MAX_CODE
from procurement_platform.procurement.reference.tables import MAX_TEXT, REFERENCE_TABLES, ReferenceColumn, ReferenceTable
from procurement_platform.project import CHECKOUT
from procurement_platform.settings import Settings, file_variable, secret_fields, variable
from procurement_platform_tests.market_files_page import market_files_page

FROM_CODE = "<!-- Written from the code by `make docs`; edit the code. -->"


def commands_page() -> str:
    """`docs/commands.md`: every sub-command with what its help says."""
    lines = [
        "# Commands",
        "",
        FROM_CODE,
        "",
        "Results go to standard output; progress, notes and errors go to standard error. Exit codes: 0 done, 1 an error or a failed day",
        "(one line says which), 2 wrong usage, 130 interrupted, 141 nobody reads the output any more. Every setting",
        "is an environment variable: see [settings](settings.md).",
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
        "are; `procurement doctor` says which are set, and names those it does not know. A malformed one stops every command with a line",
        "that names it (of the addresses in `PROCUREMENT_ALERT_URLS`, `procurement doctor` and the sensor that sends alerts say it);",
        "an empty one is not set.",
        "",
        "A secret may be kept in a file, as container engines hand them in:",
        f"{', '.join(f'`{file_variable(name)}`' for name in secret_fields())}",
        "name the file. A setting and its file cannot both be given.",
        "",
        "Those of Trino, HDFS and the Hive Metastore are of the profile `cluster` alone ([the cluster profile](cluster.md)).",
        "",
        "| variable | kind | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{variable(name)}` | {kind(field)} | {default_of(field)} | {cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


KINDS: dict[Any, str] = {
    Path: "folder",
    str: "text",
    bool: "`true` or `false`",
    int: "integer",
    float: "number",
    dt.date: "date",
    SecretStr: "secret text",
}


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


def reference_page() -> str:
    """`docs/reference.md`: every reference table and column."""
    lines = [
        "# Reference tables",
        "",
        FROM_CODE,
        "",
        "What the markets do not send: who they are, what is sold, who sells it to us, and what is kept in reserve. The tables lie in",
        "PostgreSQL (schema `reference`) and travel as CSV files, one a table:",
        "",
        "    procurement reference export tables/      # as they are; an empty database gets a sample set",
        "    procurement reference load tables/        # checked as a whole, then taken in one transaction, or not at all",
        "",
        "- A file replaces its table whole: a row that it does not have is removed. A table without a file stays as it is. `load` prints",
        "  how many rows were added, changed and removed.",
        "- Files are UTF-8, with `,` or `;` between cells, and a header that names the columns in any order. A column that is left out and",
        "  an empty cell take the default. Decimals are exact.",
        "- Dates are inclusive on both ends. What they are compared with is the run date.",
        "- A day keeps the tables as they were when it was first run; `procurement run DATE --refresh-reference` takes them as they are",
        "  now.",
    ]
    for table in REFERENCE_TABLES:
        lines += ["", f"## {table.name}", "", f"{table.doc} Unique: {_unique(table)}."]
        lines += ["", "| column | meaning | unit | default | allowed | example |", "|---|---|---|---|---|---|"]
        lines += [reference_row(table, column) for column in table.columns]
        if table.notes:
            lines += ["", table.notes]
    return "\n".join(lines) + "\n"


def _unique(table: ReferenceTable) -> str:
    if table.one_at_a_time and table.period:
        group, (start, end) = ", ".join(f"`{name}`" for name in table.one_at_a_time), (table.period.start, table.period.end)
        return f"of rows with the same {group}, at most one holds on a day (`{start}` to `{end}`)"
    return ", ".join(f"`{name}`" for name in table.key)


def reference_row(table: ReferenceTable, column: ReferenceColumn) -> str:
    """A reference column as a line of a table."""
    without = "must be given" if column.required else "empty"
    default = without if column.default is None else f"`{column.default}`"
    meaning = f"{column.doc} **Without effect on orders in this version.**" if column.unused else column.doc
    cells = (f"`{column.name}`", cell(meaning), cell(column.unit), default, cell(allowed(table, column)), f"`{column.example}`")
    return f"| {' | '.join(cells)} |"


def allowed(table: ReferenceTable, column: ReferenceColumn) -> str:
    """The values a reference column takes, in words."""
    parent = next((foreign.table for foreign in table.foreign_keys if foreign.column == column.name), None)
    if parent:
        return f"a `{column.name}` of [{parent}](#{parent})"
    if column.choices:
        return " or ".join(f"`{choice}`" for choice in column.choices)
    if column.form in CODES:
        return f"1 to {MAX_CODE} {CODES[column.form][1]}, the first a letter or digit"
    if column.low is not None and column.high is not None:
        places = int(column.type.rstrip(")").split(",")[1]) if column.type.startswith("decimal") else 0
        least = f"more than {column.low}" if column.above else f"{column.low}"
        return f"{least} to {column.high:,}" + (f", up to {places} places" if places else ", whole")
    return ALLOWED[column.form if column.type == "varchar" else column.type]


ALLOWED = {
    "text": f"text of one line, up to {MAX_TEXT} characters",
    "sku": f"text of one line, up to {MAX_TEXT} characters",
    "currency": "an ISO 4217 code",
    "timezone": "an IANA time zone",
    "time": "`00:00` to `23:59`",
    "boolean": "`true` or `false`",
    "date": "YYYY-MM-DD",
}


def cell(text: str) -> str:
    """Text inside a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "docs/commands.md": commands_page,
    "docs/settings.md": settings_page,
    "docs/reference.md": reference_page,
    "docs/market-files.md": lambda: market_files_page(FROM_CODE),
}

if __name__ == "__main__":
    for path, page in PAGES.items():
        (CHECKOUT / path).write_text(page(), encoding="utf-8")
