"""What holds for every file in git: no index or machine is named, files stay readable, SQL is never formatted, tests mirror the package."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from procurement_platform.project import CHECKOUT

# Built in pieces, so that this file does not name them.
INDEXES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted"),
        ("repo", "maven"),
        ("repo1", "maven"),
        ("registry", "npmjs"),
        ("proxy", "golang"),
        ("index", "crates"),
    )
)
MACHINE_PATHS = re.compile(
    "|".join(f"(?<![\\w.$}}])/{folder}/[\\w.-]" for folder in ("ho" + "me", "Us" + "ers", "ro" + "ot", "wo" + "rk", "mnt"))
)

# Modules whose behaviour is asserted where it shows, in the test of what uses them.
TESTED_BY = {
    "database/launch.py": "database/test_embedded.py",
    "database/migrations/env.py": "database/test_migrate.py",
    "database/migrations/versions/r0001_tables.py": "database/test_migrate.py",
    "database/migrations/versions/r0002_reinstated_files.py": "database/test_migrate.py",
    "database/migrations/versions/r0003_files_by_name.py": "database/test_migrate.py",
    "database/migrations/versions/r0004_restored_runs.py": "database/test_migrate.py",
    "database/postgres_folder.py": "database/test_embedded.py",
    "engines/base.py": "engines/test_duckdb.py",
    "engines/compile.py": "engines/test_queries.py",
    "engines/trino_client.py": "engines/test_trino.py",
    "engines/trino_errors.py": "engines/test_trino_words.py",
    "engines/trino_sql.py": "engines/test_trino_words.py",
    "errors.py": "cli/test_app.py",
    "finished.py": "procurement/test_live_dagster.py",
    "inbox/check.py": "inbox/test_worker.py",
    "inbox/decoders/avro_schema.py": "inbox/decoders/test_avro_rows.py",
    "inbox/decoders/avro_texts.py": "inbox/decoders/test_avro_rows.py",
    "inbox/decoders/streams.py": "inbox/decoders/test_csv.py",
    "inbox/feeds.py": "inbox/test_contracts.py",
    "inbox/intake.py": "inbox/test_worker.py",
    "inbox/ledger.py": "procurement/test_day.py",
    "inbox/output.py": "inbox/test_worker.py",
    "inbox/quarantine.py": "inbox/test_worker.py",
    "inbox/receive.py": "procurement/test_day.py",
    "inbox/task.py": "inbox/test_pool.py",
    "inbox/waiting.py": "inbox/test_late.py",
    "inbox/words.py": "inbox/test_worker.py",
    "lake/committing.py": "lake/test_metastore.py",
    "lake/hdfs.py": "lake/test_files_everywhere.py",
    "lake/hdfs_rpc.py": "lake/test_files_everywhere.py",
    "lake/hdfs_web.py": "lake/test_files_everywhere.py",
    "lake/metastore_client.py": "lake/test_metastore.py",
    "lake/runs.py": "lake/test_publish.py",
    "lake/tables.py": "lake/test_catalog.py",
    "procurement/versions.py": "cli/test_history.py",
    "procurement/assets/day.py": "procurement/test_day.py",
    "procurement/assets/planning.py": "procurement/assets/test_shared.py",
    "procurement/assets/preview.py": "procurement/assets/test_shared.py",
    "procurement/assets/publication.py": "procurement/assets/test_shared.py",
    "procurement/cutoff.py": "procurement/test_live_dagster.py",
    "procurement/derive.py": "procurement/test_day.py",
    "procurement/endings.py": "procurement/test_live_dagster.py",
    "procurement/feeds.py": "inbox/test_contracts.py",
    "procurement/intake.py": "procurement/test_day.py",
    "procurement/jobs.py": "test_definitions.py",
    "procurement/planning.py": "procurement/test_day.py",
    "procurement/publication.py": "procurement/test_day.py",
    "procurement/reference/currencies.py": "procurement/reference/test_read.py",
    "procurement/reference/pins.py": "procurement/test_day.py",
    "procurement/running.py": "procurement/test_killed.py",
    "procurement/sensors.py": "procurement/test_live_dagster.py",
    "procurement/service.py": "procurement/test_day.py",
    "procurement/simulator/faults.py": "procurement/simulator/test_simulate.py",
    "procurement/simulator/styles.py": "procurement/simulator/test_files.py",
    "procurement/simulator/vocabulary.py": "procurement/simulator/test_reference_set.py",
    "project.py": "test_packaging.py",
}

SQL_START = re.compile(r"\s*(SELECT|INSERT INTO|DELETE FROM|CREATE|DROP|ALTER|COPY|TRUNCATE|ATTACH|PRAGMA|GRANT|LISTEN)\b")
SQL_ANYWHERE = re.compile(
    r"\b(select\b.+\bfrom|insert\s+into|delete\s+from|update\s+\S+\s+set|(create|drop|alter)\s+(table|schema|view|database|role))\s",
    re.IGNORECASE | re.DOTALL,
)


@cache
def tracked() -> tuple[Path, ...]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in names.split("\0") if name and (path := CHECKOUT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(CHECKOUT).parts[0] in folders]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def places(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_package_index_is_named() -> None:
    assert places(re.compile("|".join(map(re.escape, INDEXES)), re.IGNORECASE)) == []


def test_no_path_of_a_developers_machine_is_named() -> None:
    assert places(MACHINE_PATHS) == []


@pytest.mark.parametrize("line", ["cd /ro" + "ot/project", 'open("/ho' + 'me/ann/x.csv")', "PATH=/wo" + "rk/bin"])
def test_the_machine_pattern_finds_what_it_should(line: str) -> None:
    assert MACHINE_PATHS.search(line)


def test_files_tell_one_story_each() -> None:
    long = {
        str(path.relative_to(CHECKOUT)): count
        for path in tracked()
        if path.suffix in {".py", ".sql", ".sh"} and (count := len(text_of(path).splitlines())) > 500
    }
    assert long == {}


def formatted_sql(source: str) -> list[int]:
    """Lines of a Python source where a value is formatted into text that reads as SQL."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "x" for part in node.values)
            formatted = any(isinstance(part, ast.FormattedValue) and not is_constant(part.value) for part in node.values)
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mod)
            and isinstance(node.left, ast.Constant)
            and isinstance(node.left.value, str)
        ):
            text, formatted = node.left.value, True
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "format"
            and isinstance(node.func.value, ast.Constant)
        ):
            text, formatted = str(node.func.value.value), True
        else:
            continue
        if formatted and (SQL_START.match(text) or SQL_ANYWHERE.search(text)):
            lines.append(node.lineno)
    return lines


def is_constant(node: ast.expr) -> bool:
    """A module's own constant, such as a common sub-query: `_HOLDER`."""
    return isinstance(node, ast.Name) and node.id.isupper()


@pytest.mark.parametrize(
    "source",
    [
        'f"SELECT * FROM {table}"',
        'f"delete from reference.markets where market = {m}"',
        '"INSERT INTO t VALUES (%s)" % value',
        '"create table {} (a int)".format(name)',
        'f"COPY (x) TO {path}"',
    ],
)
def test_formatted_sql_is_found(source: str) -> None:
    assert formatted_sql(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        '"SELECT 1"',
        'f"SELECT FROM ({_HOLDER}) WHERE pid = 1"',
        'f"select the {thing} you want"',
        'sql.SQL("SELECT {}").format(sql.Identifier(name))',
        'f"{path} cannot be dropped"',
    ],
)
def test_what_is_no_formatted_sql_is_left_alone(source: str) -> None:
    assert formatted_sql(source) == []


def test_no_value_is_formatted_into_sql() -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{line}" for path in python_files("procurement_platform") for line in formatted_sql(text_of(path))
    ]
    assert found == []


def mirrored(module: Path) -> Path:
    return CHECKOUT / "procurement_platform_tests" / module.parent / f"test_{module.name}"


def test_every_module_has_a_test() -> None:
    modules = [path.relative_to(CHECKOUT / "procurement_platform") for path in python_files("procurement_platform")]
    untested = [
        str(module)
        for module in modules
        if module.name != "__init__.py" and not mirrored(module).is_file() and str(module) not in TESTED_BY
    ]
    assert untested == []


@pytest.mark.parametrize("module", TESTED_BY)
def test_what_is_said_to_be_tested_elsewhere_is(module: str) -> None:
    assert (CHECKOUT / "procurement_platform" / module).is_file()
    assert (CHECKOUT / "procurement_platform_tests" / TESTED_BY[module]).is_file()
