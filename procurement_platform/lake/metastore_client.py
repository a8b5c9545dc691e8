"""Connections to a Hive Metastore: one for each `with`, so that threads and broken ones do not meet; opening waits out a restart."""

import threading
from types import TracebackType
from urllib.parse import urlsplit

from hive_metastore.ThriftHiveMetastore import Client
from hive_metastore.ttypes import MetaException
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TApplicationException, TException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TTransportException

from procurement_platform.errors import ConfigurationError, LakeUnavailable
from procurement_platform.retry import retried
from procurement_platform.texts import shorten
from procurement_platform.transient import words_pass

PORT = 9083


class ConnectionLost(LakeUnavailable):
    """The metastore or its database went away, or did not answer in time, while it was asked."""


def may_pass(problem: Exception) -> bool:
    """Whether an error of asking the metastore may be gone a little later."""
    return isinstance(problem, ConnectionLost)


def explained(uris: str, error: BaseException | None) -> LakeUnavailable | None:
    """An error of the metastore in the platform's words; None where it is an answer that whoever asked has to read."""
    return told(uris, error) if isinstance(error, TTransportException | MetaException | TApplicationException) else None


def told(uris: str, error: TException) -> LakeUnavailable:
    """Any error of the metastore in the platform's words."""
    if isinstance(error, TTransportException):
        return ConnectionLost(f"the Hive Metastore at {uris} did not answer ({error}); mend it, then run again")
    words = str(getattr(error, "message", None) or error).strip()
    line = shorten(words.split("\n", 1)[0], 300)
    # What a metastore of version 3.1 says of a lock whose database does not answer.
    internal = isinstance(error, TApplicationException) and error.type == TApplicationException.INTERNAL_ERROR
    if internal or words_pass(words):
        return ConnectionLost(f"the Hive Metastore at {uris} cannot work ({line}); mend what it needs, then run again")
    return LakeUnavailable(f"the Hive Metastore at {uris} refused: {line}")


class Connections:
    """Connects to the first metastore of `thrift://host:port,thrift://…` that answers.

    `seconds`: how long an answer may take; `patience`: how long a metastore that cannot be reached is tried again.
    """

    def __init__(self, uris: str, seconds: float, patience: float) -> None:
        self._addresses = [_address(uri.strip()) for uri in uris.split(",")]
        self.uris, self._seconds, self._patience = uris, seconds, patience
        self._open = threading.local()

    def __enter__(self) -> Client:
        try:
            transport = retried(self._connect, lambda problem: isinstance(problem, TTransportException), seconds=self._patience)
        except TTransportException as problem:
            raise LakeUnavailable(f"the Hive Metastore at {self.uris} cannot be reached ({problem}): start it, then run again") from problem
        self._transports.append(transport)
        return Client(TBinaryProtocol(transport))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._transports.pop().close()
        told = explained(self.uris, error)
        if told is not None:
            raise told from error

    def impatient(self, seconds: float | None = None) -> "Connections":
        """The same metastore, tried once; `seconds`: how long an answer may take there."""
        return Connections(self.uris, self._seconds if seconds is None else seconds, 0.0)

    def _connect(self) -> TBufferedTransport:
        lost: TException | None = None
        for host, port in self._addresses:
            socket = TSocket(host, port)
            socket.setTimeout(self._seconds * 1000)
            transport = TBufferedTransport(socket)
            try:
                transport.open()
            except TTransportException as problem:
                lost = problem
            else:
                return transport
        raise lost or TTransportException(message="no address")

    @property
    def _transports(self) -> list[TBufferedTransport]:
        if not hasattr(self._open, "transports"):
            self._open.transports = []
        transports: list[TBufferedTransport] = self._open.transports
        return transports


def _address(uri: str) -> tuple[str, int]:
    parts = urlsplit(uri)
    if parts.scheme != "thrift" or not parts.hostname:
        raise ConfigurationError(f"{uri!r} is no address of a Hive Metastore: write one such as thrift://metastore:{PORT}")
    return parts.hostname, parts.port or PORT
