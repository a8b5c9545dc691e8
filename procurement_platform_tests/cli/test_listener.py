"""The process that listens on a port, as /proc has it."""

import os
import socket
import sys

from procurement_platform.cli.listener import listener


def test_the_process_that_listens_is_found_and_no_other() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert listener(port) is None, "it does not listen yet"
        held.listen()
        found = listener(port)
        assert found is not None
        assert found[0] == os.getpid()
        assert found[1].startswith(sys.executable)
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert listener(client.getsockname()[1]) is None, "a connection's own port is not listened on"
    assert listener(port) is None
