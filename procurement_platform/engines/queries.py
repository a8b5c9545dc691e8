"""SQL files as queries: found by name, compiled once, remembered on disk.

sqlglot is slow to import and to compile with, so a compiled query is kept under a cache folder. An entry's name is the hash of
everything it depends on (text, relations, sqlglot's version, the compiler's own source) and it carries its own checksum: an entry
is right or it is not used.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from procurement_platform.errors import QueryRefused
from procurement_platform.project import project_file

Schemas = Mapping[str, Mapping[str, str]]
Lineage = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Compiled:
    """A query made for DuckDB: its text, and what has to be bound to run it.

    `relations` → the parameter that takes the relation's list of Parquet files; `ordered`: the text itself fixes the order of the rows.
    """

    sql: str
    relations: dict[str, str]
    parameters: tuple[str, ...]
    ordered: bool


@dataclass(frozen=True)
class Prepared:
    """A query made for Trino: its text, in which relations are named `relation__…`, and the relations it reads."""

    sql: str
    relations: tuple[str, ...]
    ordered: bool


@dataclass(frozen=True)
class Query:
    """One SELECT in Trino's dialect, inside the portable subset (`sql/README.md`).

    `name` is `<domain>/<dataset>`, for messages. `cache` is the folder for compiled queries; without one they live in memory only.
    """

    name: str
    sql: str
    cache: Path | None = None
    _memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def compiled(self, relations: Schemas) -> Compiled:
        """The query for DuckDB, every relation it reads given by name → (column → type).

        Raises:
            QueryRefused: outside the portable subset, or a relation or column it reads is not there.
        """
        found = self._remembered("duckdb", relations, lambda compile_: compile_.for_duckdb(self.name, self.sql, relations))
        return Compiled(found["sql"], dict(found["relations"]), tuple(found["parameters"]), bool(found["ordered"]))

    def prepared(self, relations: Schemas) -> Prepared:
        """The query for Trino over files: what names the relations and binds the parameters is `trino_sql.over_files`.

        Raises:
            QueryRefused: as `compiled`.
        """
        found = self._remembered("trino", relations, lambda compile_: compile_.for_trino_files(self.name, self.sql, relations))
        return Prepared(found["sql"], tuple(found["relations"]), bool(found["ordered"]))

    def for_trino(self, relations: Schemas, params: Mapping[str, object] | None = None) -> str:
        """The query for Trino: helper functions expanded, parameters as typed literals (all of them, or none: placeholders stay)."""
        from procurement_platform.engines import compile as compile_

        return compile_.for_trino(self.name, self.sql, relations, params)

    def lineage(self, relations: Schemas) -> Lineage:
        """For each column of the result, the (relation, column) pairs its value is made of, sorted."""
        found = self._remembered("lineage", relations, lambda compile_: compile_.lineage(self.name, self.sql, relations))
        return {column: [(source[0], source[1]) for source in sources] for column, sources in found.items()}

    def _remembered(self, kind: str, relations: Schemas, make: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        columns = json.dumps({name: list(relations[name].items()) for name in sorted(relations)})
        key = hashlib.sha256(json.dumps([kind, _compiler(), self.name, self.sql, columns]).encode()).hexdigest()
        if key not in self._memory:
            entry = None if self.cache is None else self.cache / f"{key}.json"
            found = _read(entry) if entry else None
            if found is None:
                from procurement_platform.engines import compile as compile_

                found = json.loads(json.dumps(make(compile_)))
                if entry:
                    _write(entry, found)
            self._memory[key] = found
        return self._memory[key]  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def load_query(name: str, *, cache: Path | None = None) -> Query:
    """The query in `sql/<name>.sql`, read once per process.

    Raises:
        QueryRefused: there is no such file.
    """
    path = project_file("sql", *f"{name}.sql".split("/"))
    try:
        return Query(name, path.read_text(encoding="utf-8"), cache)
    except FileNotFoundError:
        raise QueryRefused(f"there is no SQL file {path}") from None


@lru_cache(maxsize=1)
def _compiler() -> str:
    digest = hashlib.sha256(version("sqlglot").encode())
    for name in ("compile.py", "lint.py", "helpers.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def _read(entry: Path) -> dict[str, Any] | None:
    try:
        checksum, body = entry.read_text(encoding="utf-8").split("\n", 1)
    except (OSError, ValueError):
        return None
    if hashlib.sha256(body.encode()).hexdigest() != checksum:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


def _write(entry: Path, found: dict[str, Any]) -> None:
    # A cache that cannot be written (full disk, read-only home) costs time, not the run.
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        body = json.dumps(found)
        with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False, encoding="utf-8") as file:
            file.write(hashlib.sha256(body.encode()).hexdigest() + "\n" + body)
        Path(file.name).replace(entry)
    except OSError:
        return
