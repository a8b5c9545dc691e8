import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from procurement_platform.engines.duckdb import DuckDBEngine
from procurement_platform_tests.engines.cluster_lake import ClusterLake
from procurement_platform_tests.stack.live import Cluster


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    """One DuckDB for the session: it keeps nothing between queries."""
    engine = DuckDBEngine(temporary=tmp_path_factory.mktemp("duckdb"))
    yield engine
    engine.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="session")
def session_lake(session_cluster: Cluster) -> Iterator[ClusterLake]:
    found = ClusterLake(session_cluster, f"engine_{uuid.uuid4().hex[:12]}")
    yield found
    found.remove()


@pytest.fixture
def remote(session_lake: ClusterLake, cluster: Cluster) -> ClusterLake:
    """A lake on the real HDFS with a Trino engine over it: one for the session, with every server of it running as the test begins."""
    return session_lake
