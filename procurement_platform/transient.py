"""Which errors of servers may be gone a little later. It is decided here alone; `retry` does the waiting.

Hadoop's sentences are heard from HDFS's own clients and in what Trino quotes of them, those of PostgreSQL from the metastore that works
on it: whoever hears one asks here, so that the same sentence means the same.
"""

import re

_PASSES = re.compile(
    # a NameNode that is not (yet) the active one, or still learns where the blocks are
    r"StandbyException|ObserverRetryOnActiveException|RetriableException|safe ?mode|in startup mode|RpcNoSuchProtocolException"
    # DataNodes that are away for a moment
    r"|NotReplicatedYet|AlreadyBeingCreatedException|LeaseExpiredException|There are 0 datanode|[1-9]\d* node\(s\) are excluded"
    r"|Failed to find datanode|No active nodes contain|no live nodes|all datanodes|Not enough replicas"
    r"|BlocksNotFound|BlockMissingException|DataTransferError|ChecksumError|could not obtain block"
    # connections
    r"|RPC listener disconnected|OperationFailed|EOFException|ConnectException|SocketTimeoutException|SocketException|NoRouteToHost"
    r"|socket is closed|connection (has been |was )?(refused|reset|closed)|broken pipe|timed? ?out|TTransportException"
    r"|failed on (connection|socket) exception|connection exception|failed connecting to hive metastore"
    # a metastore's database
    r"|PSQLException|unable to open a test connection|terminating connection due to administrator command"
    r"|the database system is (starting up|shutting down|in recovery mode)|I/O error occurred while sending to the backend",
    re.IGNORECASE,
)
# A full disk that the NameNode knows of; a name that nobody has; what a database says of a statement. A full disk that a write is the
# first to meet is told in the words of a DataNode that has just died ("1 node(s) are excluded"): it is tried until the patience ends.
_STAYS = re.compile(
    r"There are [1-9]\d* datanode\(s\) running and (no|0) node\(s\) are excluded|failed to lookup address"
    r"|PSQLException: ERROR: (?!terminating|deadlock detected|could not serialize)"
    # and of who connects: a wrong password, no such database or role, no entry for the address
    r"|PSQLException: FATAL: (?!terminating|the database system is|sorry, too many clients|too many connections|remaining connection slots"
    r"|canceling authentication due to timeout)",
    re.IGNORECASE,
)

# https://github.com/trinodb/trino/blob/476/core/trino-spi/src/main/java/io/trino/spi/StandardErrorCode.java
_TRINO_PASSES = {
    "SERVER_STARTING_UP", "SERVER_SHUTTING_DOWN", "QUERY_QUEUE_FULL", "NO_NODES_AVAILABLE", "ABANDONED_TASK", "TOO_MANY_REQUESTS_FAILED",
    "REMOTE_TASK_ERROR", "REMOTE_TASK_MISMATCH", "REMOTE_TASK_FAILED", "REMOTE_HOST_GONE",
    "PAGE_TRANSPORT_ERROR", "PAGE_TRANSPORT_TIMEOUT", "HIVE_METASTORE_TIMEOUT",
}  # fmt: skip
# These are raised for what stays as well as for a server that is away for a moment: the words of their causes tell.
_TRINO_MAY_PASS = {
    "HIVE_METASTORE_ERROR", "HIVE_FILESYSTEM_ERROR", "HIVE_CANNOT_OPEN_SPLIT", "HIVE_CURSOR_ERROR", "HIVE_UNKNOWN_ERROR",
    "HIVE_WRITER_OPEN_ERROR", "HIVE_WRITER_DATA_ERROR", "HIVE_WRITER_CLOSE_ERROR", "GENERIC_INTERNAL_ERROR",
}  # fmt: skip


def words_pass(words: str) -> bool:
    """Whether what a server of Hadoop or a metastore said, Java's class names included, is of something that may pass."""
    return bool(_PASSES.search(words)) and not _STAYS.search(words)


def words_stay(words: str) -> bool:
    """Whether they are known to be of something that does not."""
    return bool(_STAYS.search(words))


def trino_passes(name: str | None, words: str) -> bool:
    """Whether a query's error may pass. `name` is Trino's for it, `words` its message with those of its causes."""
    return name in _TRINO_PASSES or (name in _TRINO_MAY_PASS and words_pass(words))
