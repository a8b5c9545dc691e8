"""The same sentence means the same, whoever it is heard from: HDFS's own client, Trino, or the metastore."""

from typing import Any

import pytest
from hive_metastore.ttypes import MetaException, NoSuchObjectException
from thrift.Thrift import TApplicationException
from thrift.transport.TTransport import TTransportException
from trino import exceptions

from procurement_platform.engines.trino_errors import is_transient
from procurement_platform.lake import hdfs_errors, metastore_client

PASS = [
    "org.apache.hadoop.ipc.StandbyException: Operation category READ is not supported in state standby",
    "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create file/a. Name node is in safe mode.",
    "File /a could only be written to 0 of the 1 minReplication nodes. There are 0 datanode(s) running and 0 node(s) are excluded",
    "File /a could only be written to 0 of the 1 minReplication nodes. There are 1 datanode(s) running and 1 node(s) are excluded",
    "org.apache.hadoop.hdfs.BlockMissingException: Could not obtain block: BP-1 file=/a No live nodes contain current block",
    "java.net.ConnectException: Call From d/10.0.0.2 to n:9000 failed on connection exception",
    "java.net.NoRouteToHostException: No Route to Host from d to n:9000 failed on socket timeout exception",
    "org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException: Not replicated yet: /a",
    "org.postgresql.util.PSQLException: This connection has been closed.",
    "org.postgresql.util.PSQLException: ERROR: deadlock detected",
    "org.postgresql.util.PSQLException: ERROR: could not serialize access due to concurrent update",
    "org.postgresql.util.PSQLException: FATAL: terminating connection due to administrator command",
    "org.postgresql.util.PSQLException: FATAL: the database system is starting up",
    "org.postgresql.util.PSQLException: FATAL: sorry, too many clients already",
    "org.postgresql.util.PSQLException: FATAL: canceling authentication due to timeout",
    'org.postgresql.util.PSQLException: FATAL: too many connections for role "hive"',
    "Unable to open a test connection to the given database. JDBC url = jdbc:postgresql://n/metastore, username = hive.",
]
STAY = [
    "File /a could only be written to 0 of the 1 minReplication nodes. There are 1 datanode(s) running and no node(s) are excluded",
    "File /a could only be written to 0 of the 1 minReplication nodes. There are 3 datanode(s) running and 0 node(s) are excluded",
    "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException: The DiskSpace quota of /a is exceeded",
    "org.apache.hadoop.security.AccessControlException: Permission denied: user=clerk",
    "org.postgresql.util.PSQLException: ERROR: value too long for type character varying(128)",
    'org.postgresql.util.PSQLException: FATAL: password authentication failed for user "hive"',
    'org.postgresql.util.PSQLException: FATAL: database "metastore" does not exist',
    'org.postgresql.util.PSQLException: FATAL: role "hive" is not permitted to log in',
    'org.postgresql.util.PSQLException: FATAL: no pg_hba.conf entry for host "10.0.0.2", user "hive", database "metastore"',
    "java.lang.IllegalArgumentException: Can not create a Path from an empty string",
]


def of_hdfs(words: str) -> bool:
    java, _, said = words.rpartition("Exception: ")
    return hdfs_errors.may_pass(hdfs_errors.as_python(f"{java}Exception" if java else "java.io.IOException", said, "/a"))


def of_trino(words: str) -> bool:
    cause = {"type": "java.io.IOException", "message": words, "cause": None}
    told: dict[str, Any] = {"message": "Failed", "errorName": "HIVE_WRITER_CLOSE_ERROR", "errorType": "EXTERNAL"}
    return is_transient(exceptions.TrinoExternalError(told | {"failureInfo": {"type": "X", "message": "Failed", "cause": cause}}, "1"))


def of_metastore(problem: Exception) -> bool:
    told = metastore_client.explained("thrift://n:1", problem)
    assert told is not None
    assert "\n" not in str(told)
    return metastore_client.may_pass(told)


@pytest.mark.parametrize("words", PASS)
def test_these_may_pass_whoever_says_them(words: str) -> None:
    assert of_hdfs(words)
    assert of_trino(words)
    assert of_metastore(MetaException(f"{words}\n\tat x.y.Z"))


@pytest.mark.parametrize("words", STAY)
def test_these_stay_whoever_says_them(words: str) -> None:
    assert not of_hdfs(words)
    assert not of_trino(words)
    assert not of_metastore(MetaException(words))


def test_what_a_metastore_says_of_a_lock_while_its_database_is_away_may_pass() -> None:
    assert of_metastore(TTransportException(message="TSocket read 0 bytes"))
    assert of_metastore(TApplicationException(TApplicationException.INTERNAL_ERROR, "Internal error processing show_locks"))
    assert not of_metastore(TApplicationException(TApplicationException.UNKNOWN_METHOD, "Invalid method name: 'show_locks'"))
    assert metastore_client.explained("thrift://n:1", NoSuchObjectException("hive.raw.orders")) is None
