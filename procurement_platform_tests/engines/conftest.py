from collections.abc import Iterator
from pathlib import Path

import pytest

from procurement_platform.engines.duckdb import DuckDBEngine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    """One DuckDB for the session: it keeps nothing between queries."""
    engine = DuckDBEngine(temporary=tmp_path_factory.mktemp("duckdb"))
    yield engine
    engine.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
