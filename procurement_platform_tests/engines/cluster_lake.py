"""A lake on the real HDFS, and Trino over it, for tests marked `cluster`."""

import io
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from procurement_platform.engines.base import Relation
from procurement_platform.engines.trino import TrinoEngine
from procurement_platform.lake.files import Lake
from procurement_platform.lake.parquet import read_columns
from procurement_platform_tests.stack.live import Cluster


class ClusterLake:
    """A folder of HDFS and a schema of Trino's of one name, both of the test's own. `engine` is over both."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.schema = cluster, name
        self.lake = Lake(f"{cluster.hdfs}/tests/{name}", user=cluster.variables["HDFS_USER"])
        self.engine = self.another()

    def another(self, **options: Any) -> TrinoEngine:
        """One more engine over the same lake and schema."""
        variables = self.cluster.variables
        address = {"host": variables["TRINO_HOST"], "port": int(variables["TRINO_PORT"]), "user": "procurement"}
        return TrinoEngine(lake=self.lake, **{**address, "schema": self.schema, **options})

    def folder(self) -> str:
        """A new folder, as a URL."""
        return self.lake.path(uuid.uuid4().hex[:12])

    def put(self, table: pa.Table, path: str) -> str:
        """A table as a Parquet file; its URL."""
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=50_000)
        self.lake.write(self.lake.relative(path), sink.getvalue())
        return path

    def copied(self, relations: Mapping[str, Relation]) -> dict[str, Relation]:
        """Relations of local files, with the same files on HDFS."""
        copies, folder = {}, self.folder()
        for name, relation in relations.items():
            files = []
            for file in map(Path, relation.files):
                path = f"{folder}/{name}/{file.name}"
                self.lake.write(self.lake.relative(path), file.read_bytes())
                files.append(path)
            copies[name] = Relation(relation.columns, tuple(files))
        return copies

    def read(self, files: Sequence[str]) -> pa.Table:
        """Files in order, as one table."""
        return read_columns(self.lake, files)

    def names(self, folder: str) -> tuple[list[str], list[str]]:
        """A folder's files and sub-folders, hidden ones included."""
        relative = self.lake.relative(folder)
        return self.lake.files(relative), self.lake.folders(relative)

    def tables(self) -> list[str]:
        """The names of the schema's tables."""
        query = f"SELECT table_name FROM hive.information_schema.tables WHERE table_schema = '{self.schema}'"  # noqa: S608
        return sorted(str(name) for (name,) in self.cluster.query(query))

    def remove(self) -> None:
        self.engine.close()
        for table in self.tables():
            self.cluster.query(f'DROP TABLE hive.{self.schema}."{table}"')
        self.cluster.query(f"DROP SCHEMA IF EXISTS hive.{self.schema}")
        self.lake.remove_folder(self.lake.relative(self.lake.path()))
