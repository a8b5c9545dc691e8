"""A TCP proxy before a real server, which can be away, hold answers back, or end connections when it sees a word in a request."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Literal, Self


class Proxy:
    """Listens on a port of its own once it is entered (`listen=False`: refuses until `listen()`).

    A request with `word` in it: `late`: it goes through, and its answer waits until `release`; `lost`: it is not sent, and the
    connection ends; `None`: nothing.
    """

    def __init__(self, host: str, port: int, word: bytes = b"", what: Literal["late", "lost"] | None = None) -> None:
        self._target, self._word, self._what = (host, port), word, what
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.seen, self.release = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def listen(self) -> Self:
        self._listener.listen()
        self._start(self._accept)
        return self

    def _start(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._sockets.append(client)
                server = socket.create_connection(self._target)
                self._sockets.append(server)
                held = threading.Event()
                self._start(partial(self._requests, client, server, held))
                self._start(partial(self._answers, server, client, held))

    def _requests(self, client: socket.socket, server: socket.socket, held: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self._what and self._word in data and not self.seen.is_set():
                    held.set()
                    self.seen.set()
                    if self._what == "lost":
                        client.shutdown(socket.SHUT_RDWR)
                        break
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answers(self, server: socket.socket, client: socket.socket, held: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if held.is_set():
                    self.release.wait()
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
