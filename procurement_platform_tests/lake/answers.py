"""A metastore of one process that answers as it is told to: for answers that a real one cannot be brought to give."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hive_metastore.ThriftHiveMetastore import Processor
from hive_metastore.ttypes import (
    CheckLockRequest,
    Database,
    EnvironmentContext,
    LockRequest,
    LockResponse,
    LockState,
    NoSuchLockException,
    NoSuchObjectException,
    ShowLocksRequest,
    ShowLocksResponse,
    ShowLocksResponseElement,
    Table,
    UnlockRequest,
)
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TTransportException


class Answers:
    """What it knows: tables by name, and locks in the order in which they were asked for, each with its holder.

    `alter` is called in the place of each change of a table, with what would make it; it may make it, raise, or both.
    """

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.locks: dict[int, str] = {}
        self.alter: Callable[[Callable[[], None]], None] = lambda make: make()
        self.asked = 0
        self._next = 0

    def lock_of(self, holder: object) -> int:
        """A lock that is there before anybody asks."""
        self._next += 1
        self.locks[self._next] = str(holder)
        return self._next

    def create_database(self, database: Database) -> None:
        """There is one for all."""

    def get_table(self, dbname: str, tbl_name: str) -> Table:
        if tbl_name not in self.tables:
            raise NoSuchObjectException(tbl_name)
        return self.tables[tbl_name]

    def create_table(self, tbl: Table) -> None:
        self.tables[tbl.tableName] = tbl

    def alter_table_with_environment_context(
        self,
        dbname: str,
        tbl_name: str,
        new_tbl: Table,
        environment_context: EnvironmentContext,
    ) -> None:
        self.asked += 1
        self.alter(lambda: self.tables.update({tbl_name: new_tbl}))

    def lock(self, request: LockRequest) -> LockResponse:
        return self.check_lock(CheckLockRequest(self.lock_of(request.agentInfo)))

    def check_lock(self, request: CheckLockRequest) -> LockResponse:
        if request.lockid not in self.locks:
            raise NoSuchLockException
        first = request.lockid == next(iter(self.locks))
        return LockResponse(request.lockid, LockState.ACQUIRED if first else LockState.WAITING)

    def unlock(self, request: UnlockRequest) -> None:
        if self.locks.pop(request.lockid, None) is None:
            raise NoSuchLockException

    def show_locks(self, request: ShowLocksRequest) -> ShowLocksResponse:
        held = [
            ShowLocksResponseElement(
                lockid=number, agentInfo=holder, user="", hostname="", state=LockState.WAITING if before else LockState.ACQUIRED
            )
            for before, (number, holder) in enumerate(list(self.locks.items()))
        ]
        return ShowLocksResponse(held)


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """Listens while it lasts; the address."""
    processor: Any = Processor(answers)

    class Client(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            socket = TSocket()
            socket.setHandle(self.request)
            protocol = TBinaryProtocol(TBufferedTransport(socket))
            with suppress(TTransportException, OSError):
                while True:
                    processor.process(protocol, protocol)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Client) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"thrift://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
