"""Servers of the cluster that go, fill up, answer late or hand out damaged bytes while a day is run.

The run says which in one line, readers see whole tables, and the next run gives what an undisturbed one gives.
"""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode, urlsplit

import pytest
from trino.exceptions import TrinoQueryError

from procurement_platform.errors import LakeUnavailable
from procurement_platform.procurement.tables import AGGREGATED_ORDERS
from procurement_platform.stack.place import HOST
from procurement_platform.stack.probes import NotYet
from procurement_platform.stack.processes import holders, start
from procurement_platform_tests.lake.proxy import Proxy
from procurement_platform_tests.procurement.faults import WEB, Far
from procurement_platform_tests.procurement.shop import DAY
from procurement_platform_tests.stack.live import Cluster, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

IMPATIENT = 3.0  # seconds that a run waits for what is away: enough for what is there
LOCKED = "procurement_platform.lake.metastore_locks:TableLock.check"
STATEMENT = "procurement_platform.engines.trino_client:Client.run"
SENT = "procurement_platform.lake.hdfs:Hdfs.send"


@contextmanager
def frozen(cluster: Cluster, server: str) -> Iterator[None]:
    """A server that does nothing for a while."""
    [pid, *_] = holders(cluster.place.run / server)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("server", "place"), [("trino", STATEMENT), ("datanode", SENT), ("metastore", LOCKED)])
def test_a_server_that_restarts_is_waited_for(far: Far, server: str, place: str) -> None:
    state = far.send()
    run = far.start(place, number=3, settings={WEB: ""})
    run.wait_held()
    far.cluster.kill(server)
    run.go_on()
    far.cluster.heal()
    far.finish(run, state)


def is_writing(cluster: Cluster, table: str) -> bool:
    """Whether Trino is at a CREATE TABLE … AS that makes a table's rows. Asked over HTTP: a query would wait with the others."""
    connection = http.client.HTTPConnection(HOST, cluster.place.ports.trino, timeout=30)
    try:
        connection.request("GET", "/v1/query?state=RUNNING", headers={"X-Trino-User": "test"})
        queries = [each["query"] for each in json.loads(connection.getresponse().read())]
    finally:
        connection.close()
    return any(query.startswith("CREATE TABLE") and f"/{table}/" in query for query in queries)


def fsck(cluster: Cluster, path: str) -> str:
    """What the NameNode knows of a file's blocks."""
    query = urlencode({"ugi": cluster.place.hdfs_user, "path": path, "files": 1, "blocks": 1})
    with urllib.request.urlopen(f"http://{HOST}:{cluster.place.ports.webhdfs}/fsck?{query}", timeout=30) as answer:
        return str(answer.read().decode())


def test_trino_killed_while_it_writes_a_table(far: Far) -> None:
    state = far.send()
    run = far.start(STATEMENT, word="/net_demand/", patience=IMPATIENT)
    run.wait_held()
    with frozen(far.cluster, "datanode"):
        run.go_on()
        until(lambda: is_writing(far.cluster, "net_demand"))
        far.cluster.kill("trino")
    far.fail(run, "net_demand: Trino at http://", "cannot be used", "Mend it, then run again")
    far.cluster.heal()
    far.check_whole()
    far.heal(state)


def test_the_metastore_killed_while_a_table_is_committed(far: Far) -> None:
    state = far.send()
    run = far.start(LOCKED, number=3, patience=IMPATIENT)
    run.wait_held()
    far.cluster.kill("metastore")
    run.go_on()
    far.fail(run, "the Hive Metastore at thrift://", "cannot be reached", "run again")
    far.cluster.heal()
    far.check_whole()
    far.heal(state)


def test_a_metastore_that_answers_a_commit_too_late_is_asked_what_became_of_it(far: Far) -> None:
    state = far.send()
    with Proxy(HOST, far.cluster.place.ports.metastore, b"alter_table_with_environment_context", "late") as proxy:
        proxy.listen()
        run = far.start(patience=IMPATIENT, settings={"PROCUREMENT_METASTORE_URI": f"thrift://{HOST}:{proxy.port}"})
        far.finish(run, state)
        assert proxy.seen.is_set()
    far.check_whole()


def test_the_namenode_killed_and_started_again_is_waited_for(far: Far) -> None:
    state = far.send()
    run = far.start(SENT, number=3, patience=IMPATIENT, settings={WEB: ""})
    run.wait_held()
    far.cluster.kill("namenode")
    run.go_on()
    far.fail(run, f"HDFS at hdfs://{HOST}:", "cannot be used", "mend it, then run again")
    patient = far.start(settings={WEB: ""})
    far.cluster.heal()  # the NameNode is in safe mode until the DataNode has told it of its blocks
    far.finish(patient, state)


def test_the_datanode_killed(far: Far) -> None:
    state = far.send()
    run = far.start(SENT, number=10, patience=IMPATIENT, settings={WEB: ""})
    run.wait_held()
    far.cluster.kill("datanode")
    run.go_on()
    far.fail(run, f"HDFS at hdfs://{HOST}:", "cannot be used", "mend it, then run again")
    far.cluster.heal()
    far.check_whole()
    far.heal(state)


def is_full(cluster: Cluster) -> bool | None:
    """Whether HDFS says that there is no room for a file; None where it says nothing yet."""
    with suppress(OSError, NotYet):
        return b"could only be written to 0" in cluster.webhdfs("PUT", "/tests/full", "CREATE&overwrite=true", b"x")[1]
    return None


@contextmanager
def without_room(cluster: Cluster) -> Iterator[None]:
    """The DataNode keeps so much of its disk for others that none is left for HDFS."""
    conf, again = cluster.place.conf / "hadoop" / "hdfs-site.xml", started_again(cluster)
    text = conf.read_text()
    reserved = f"<property><name>dfs.datanode.du.reserved</name><value>{1 << 60}</value></property>"
    conf.write_text(text.replace("</configuration>", f"{reserved}</configuration>"))
    try:
        cluster.kill("datanode")
        again()
        until(lambda: is_full(cluster))
        yield
    finally:
        conf.write_text(text)
        cluster.kill("datanode")


@contextmanager
def on_a_full_disk(cluster: Cluster) -> Iterator[None]:
    """The DataNode's folder is a disk of its own, with room for what it has and four blocks more; then something else fills it whole."""
    data, again = cluster.place.data / "datanode", started_again(cluster)
    aside, disk = data.with_name("datanode-aside"), ["mount", "-t", "tmpfs", "-o", "mode=0700"]
    cluster.kill("datanode")
    try:
        data.rename(aside)
        data.mkdir()
        size = sum(file.stat().st_size for file in aside.rglob("*") if file.is_file())
        subprocess.run([*disk, "-o", f"size={size + (512 << 20)}", "tmpfs", str(data)], check=True, capture_output=True)
        moved = False
        try:
            shutil.copytree(aside, data, dirs_exist_ok=True)
            moved = True
            again()
            until(lambda: is_full(cluster) is False)
            with (data / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
                while ballast.write(bytes(1 << 20)):
                    pass
            assert shutil.disk_usage(data).free == 0
            yield
        finally:
            if holders(cluster.place.run / "datanode"):
                cluster.kill("datanode")
            if moved:
                (data / "ballast").unlink(missing_ok=True)
                shutil.rmtree(aside)
                shutil.copytree(data, aside)
            subprocess.run(["umount", str(data)], check=True)
    finally:
        data.rmdir()
        aside.rename(data)


def started_again(cluster: Cluster) -> Callable[[], object]:
    """Starts the DataNode as it was started."""
    place, [pid, *_] = cluster.place, holders(cluster.place.run / "datanode")
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    environment = dict(each.split("=", 1) for each in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if each)
    return lambda: start(place.run / "datanode", place.log("datanode"), command, environment, place.temporary)


def mounts() -> bool:
    """Whether disks may be mounted here: root may, in most places."""
    with TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True)
        return done.returncode == 0 and subprocess.run(["umount", folder], check=False).returncode == 0


@pytest.mark.parametrize("disk", [without_room, on_a_full_disk])
def test_a_full_disk_of_the_datanode(far: Far, disk: Callable[[Cluster], AbstractContextManager[None]]) -> None:
    if disk is on_a_full_disk and not mounts():
        pytest.skip("no disk can be mounted here, so none can be filled")
    state = far.send()
    run = far.start(SENT, number=10, patience=IMPATIENT, settings={WEB: ""})
    run.wait_held()
    with disk(far.cluster):
        run.go_on()
        far.fail(run, f"HDFS at hdfs://{HOST}:", "could only be written to 0", "run again")
    far.cluster.heal()
    far.check_whole()
    far.heal(state)


def damage(cluster: Cluster, path: str) -> None:
    """Overwrites bytes of a file's block where the DataNode keeps it."""
    [block] = set(re.findall(r"blk_\d+", fsck(cluster, urlsplit(path).path)))
    [file] = (cluster.place.data / "datanode").rglob(block)
    data = bytearray(file.read_bytes())
    data[4:-8] = bytes(byte ^ 0xFF for byte in data[4:-8])
    file.write_bytes(data)


def test_a_damaged_block_of_a_table(far: Far) -> None:
    state = far.send()
    run = far.start(STATEMENT, word="/net_demand/", patience=IMPATIENT)
    run.wait_held()
    [path] = far.platform.catalog.files(AGGREGATED_ORDERS, DAY)
    damage(far.cluster, path)
    run.go_on()
    far.fail(run, "net_demand: ", path)
    with pytest.raises(TrinoQueryError):  # no rows rather than wrong ones
        far.in_trino(AGGREGATED_ORDERS)
    with pytest.raises(LakeUnavailable, match=path.rpartition("/")[2]):
        far.in_pyiceberg(AGGREGATED_ORDERS)
    far.heal(state)
    far.check_whole()
