"""The profiles: what each refuses before anything is connected, and that an embedded home needs none of the cluster's packages."""

import subprocess
import sys

import pytest

from procurement_platform.errors import ConfigurationError
from procurement_platform.platform import Platform
from procurement_platform.settings import Settings


@pytest.mark.parametrize(
    ("lake", "told"),
    [
        (None, "PROCUREMENT_LAKE is not set: the"),
        ("/srv/lake", "PROCUREMENT_LAKE=/srv/lake is no folder on HDFS: the"),
        ("s3://bucket/lake", "PROCUREMENT_LAKE=s3://bucket/lake is no folder on HDFS: the"),
    ],
)
def test_the_clusters_lake_is_on_hdfs(home: Settings, lake: str | None, told: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^{told} cluster profile .* write hdfs://namenode:port/folder \(`procurement stack env`"
    ):
        _ = Platform(home.model_copy(update={"profile": "cluster", "lake": lake})).lake


def test_a_password_for_trino_without_tls_is_refused(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCUREMENT_PROFILE", "cluster")
    monkeypatch.setenv("PROCUREMENT_LAKE", "hdfs://127.0.0.1:9/lake")
    monkeypatch.setenv("PROCUREMENT_TRINO_PASSWORD", "hunter2")
    with pytest.raises(ConfigurationError, match="PROCUREMENT_TRINO_TLS") as refused:
        _ = Platform(Settings(_env_file=None)).engine
    assert "hunter2" not in str(refused.value)


def test_an_embedded_home_imports_nothing_of_the_clusters(home: Settings) -> None:
    program = (
        "import sys; from procurement_platform.platform import Platform; from procurement_platform.settings import Settings;"
        " platform = Platform(Settings(_env_file=None)); platform.lake, platform.engine, platform.catalog; platform.close();"
        " print([m for m in ('trino', 'hdfs_native', 'thrift', 'hive_metastore') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
