"""The texts are those of Hadoop 3.5 and hdfs-native 0.14."""

import errno
import http.client
import socket

import pytest

from procurement_platform.lake.hdfs_errors import HdfsError, Replaced, as_python, may_pass

PASS = [
    as_python("org.apache.hadoop.ipc.StandbyException", "Operation category READ is not supported in state standby", "/a"),
    as_python(
        "org.apache.hadoop.ipc.RetriableException",
        "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create file/a. Name node is in safe mode.",
        "/a",
    ),
    as_python("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "Cannot delete /a. Name node is in safe mode.", "/a"),
    as_python(
        "java.io.IOException",
        "File /a could only be written to 0 of the 1 minReplication nodes. There are 0 datanode(s) running and 0 node(s) are excluded"
        " in this operation.",
        "/a",
    ),
    as_python("java.io.IOException", "Failed to find datanode, suggest to check cluster health. excludeDatanodes=null", "/a"),
    as_python("java.io.EOFException", 'End of File Exception between local host is: "d/10.0.0.2"; destination host is: "n":9000', "/a"),
    as_python("java.net.ConnectException", "Call From d/10.0.0.2 to n:9000 failed on connection exception", "/a"),
    HdfsError('/a: BlocksNotFound("/a")'),
    HdfsError('/a: DataTransferError("failed to read")'),
    OSError("Connection refused (os error 111)"),
    OSError("RPC listener disconnected"),
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    TimeoutError("timed out"),
    http.client.RemoteDisconnected("Remote end closed connection without response"),
    http.client.IncompleteRead(b"half"),
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
]
STAY = [
    as_python("java.io.FileNotFoundException", "File does not exist: /a", "/a"),
    as_python("org.apache.hadoop.security.AccessControlException", "Permission denied: user=clerk", "/a"),
    as_python("org.apache.hadoop.fs.InvalidPathException", "Invalid path name /a:b", "/a:b"),
    as_python("org.apache.hadoop.fs.ParentNotDirectoryException", "/a (is not a directory)", "/a/b"),
    as_python("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "The DiskSpace quota of /a is exceeded", "/a"),
    as_python(
        "java.io.IOException",
        "File /a could only be written to 0 of the 1 minReplication nodes. There are 1 datanode(s) running and no node(s) are excluded"
        " in this operation.",
        "/a",
    ),
    # what markets name their files says nothing of HDFS
    as_python(
        "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", "The quota of directory /a/timed out is exceeded", "/a/timed out"
    ),
    as_python(
        "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", "The quota of directory /safemode is exceeded", "/safemode/DE.avro"
    ),
    HdfsError("/a/DE__timeout.avro: the quota is exceeded", "/a/DE__timeout.avro"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("failed to lookup address information: Name or service not known"),
    socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    Replaced("/a"),
    ValueError("no path"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("problem", PASS, ids=repr)
def test_these_may_pass(problem: BaseException) -> None:
    assert may_pass(problem)


@pytest.mark.parametrize("problem", STAY, ids=repr)
def test_these_stay(problem: BaseException) -> None:
    assert not may_pass(problem)


@pytest.mark.parametrize(
    ("java", "kind", "number"),
    [
        ("java.io.FileNotFoundException", FileNotFoundError, errno.ENOENT),
        ("org.apache.hadoop.fs.FileAlreadyExistsException", FileExistsError, errno.EEXIST),
        ("org.apache.hadoop.security.AccessControlException", PermissionError, errno.EACCES),
        ("org.apache.hadoop.fs.ParentNotDirectoryException", NotADirectoryError, errno.ENOTDIR),
        ("org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", OSError, errno.ENOTEMPTY),
    ],
)
def test_an_error_is_the_one_that_a_local_file_system_raises(java: str, kind: type[OSError], number: int) -> None:
    problem = as_python(java, "its words\n\tat org.apache.hadoop.X.y(X.java:1)", "/a b")
    assert type(problem) is kind
    assert (problem.errno, problem.filename) == (number, "/a b")
    assert "X.java" not in str(problem)


def test_another_keeps_its_class_and_the_first_line_of_its_words() -> None:
    problem = as_python("org.apache.hadoop.fs.InvalidPathException", "Invalid path name /a:b\n\tat X", "/a:b")
    assert isinstance(problem, HdfsError)
    assert str(problem) == "/a:b: InvalidPathException: Invalid path name /a:b"
