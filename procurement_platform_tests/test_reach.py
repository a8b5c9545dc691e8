"""The cluster's servers, looked at: on the real ones, and each of them away."""

from collections.abc import Callable
from typing import Any

import pytest

from procurement_platform.cli.doctor import examine
from procurement_platform.profiles import CLUSTER_PACKAGES, PROFILES
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import procurement
from procurement_platform_tests.stack.live import Cluster, free_ports

__all__ = ["procurement"]  # a fixture, found by its name here


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def away(home: Settings, nobody: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A home of the cluster profile none of whose servers answers but the database; their address."""
    for package in CLUSTER_PACKAGES:
        pytest.importorskip(package, reason="the packages of the cluster profile are not installed")
    host, port = nobody.split(":")
    for name, value in {
        "PROCUREMENT_PROFILE": "cluster",
        "PROCUREMENT_LAKE": f"hdfs://{nobody}/lake",
        "HDFS_BASE_URL": f"http://{nobody}",
        "PROCUREMENT_METASTORE_URI": f"thrift://{nobody}",
        "TRINO_HOST": host,
        "TRINO_PORT": port,
    }.items():
        monkeypatch.setenv(name, value)
    return nobody


def found() -> dict[str, tuple[str, str, str]]:
    """Of the servers and the lake: state, what was found, how to mend it."""
    return {f.what: (f.state, f.found, f.mend) for f in examine() if f.what in ("trino", "metastore", "hdfs", "lake")}


def test_each_server_that_is_away_is_named_with_its_address_and_remedy(away: str) -> None:
    looked = found()
    assert {what: state for what, (state, _, _) in looked.items()} == {"trino": "wrong", "metastore": "wrong", "hdfs": "wrong"}
    assert all(away in told and "\n" not in told for _, told, _ in looked.values())
    assert "TRINO_PORT" in looked["trino"][2]
    assert "PROCUREMENT_METASTORE_URI" in looked["metastore"][2]
    assert "PROCUREMENT_LAKE" in looked["hdfs"][2]


def test_a_password_without_tls_is_not_sent(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_TRINO_PASSWORD", "hunter2")
    state, told, _ = found()["trino"]
    assert state == "wrong"
    assert "PROCUREMENT_TRINO_TLS=true" in told
    assert "hunter2" not in str(found())


def test_the_embedded_profile_asks_no_server(home: Settings) -> None:
    assert set(found()) == {"lake"}


@pytest.mark.parametrize("command", [("run", "2025-12-20"), ("files", "2025-12-20"), ("repair", "raw")])
def test_missing_packages_are_one_line(
    procurement: Callable[..., Any], home: Settings, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCUREMENT_PROFILE", "cluster")
    monkeypatch.setenv("PROCUREMENT_LAKE", "hdfs://127.0.0.1:9/lake")
    monkeypatch.setattr("procurement_platform.profiles.find_spec", lambda name: None if name == "trino" else object())
    done = procurement(*command)
    assert done.code == 1
    [told] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert told.rstrip(".").endswith(
        "PROCUREMENT_PROFILE=cluster needs packages that are not installed (trino): make setup-cluster, "
        "or pip install 'procurement-platform[cluster]'"
    )
    lines = procurement("doctor", "--format", "json").json
    [lake] = [line for line in lines if line["what"] == "lake"]
    assert lake["state"] == "wrong"
    assert "procurement-platform[cluster]" in lake["found"]


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_the_real_servers_are_found_in_order(cluster: Cluster, cluster_home: Settings) -> None:
    looked = found()
    assert {what: state for what, (state, _, _) in looked.items()} == {"trino": "ok", "metastore": "ok", "hdfs": "ok", "lake": "look"}
    assert looked["trino"][1].endswith("version 476")
    assert f"{cluster_home.table_schema} not yet there" in looked["metastore"][1]
    assert PROFILES["cluster"].lake(cluster_home).files("") == []  # what was written is removed


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_run_that_stumbles_over_a_server_names_it(
    procurement: Callable[..., Any], cluster_home: Settings, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRINO_PORT", nobody.partition(":")[2])
    assert procurement("simulate", "2025-12-20", "--orders", 50, "--faults", "none").code == 0
    done = procurement("run", "2025-12-20")
    assert done.code == 1
    [told] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert f"Trino at http://{nobody} cannot be used" in told
