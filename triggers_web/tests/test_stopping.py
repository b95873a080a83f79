"""The command ends when it is told to, whatever its clients or its store keep it waiting for."""

import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE = 60
"""Seconds. Far more than anything here takes."""
STALLED = 50
PAGES_AT_ONCE = 40
"""How many threads the server reads for its pages with."""

TRIGGERS = Path(sys.executable).with_name("triggers")
STALLING_STORE = """
import threading
from triggers_core import MemoryStorage, default_plugins


class StallingStorage(MemoryStorage):
    def sessions(self):
        if threading.current_thread() is threading.main_thread():
            return super().sessions()  # as the command looks whether it can be read at all
        print("a page waits for the store", flush=True)
        threading.Event().wait()


default_plugins().add_storage(StallingStorage())
"""


class Server:
    """``triggers web``, and what it printed."""

    def __init__(self, folder, *arguments):
        self._process = subprocess.Popen(
            [TRIGGERS, "--import", "stalling_store", "web", "--port", "0", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.printed = b""
        self.wait_for(b" until Ctrl-C")
        port = re.search(rb"http://127\.0\.0\.1:(\d+)/", self.printed)[1]
        self._address = ("127.0.0.1", int(port))

    def wait_for(self, text, times=1):
        """Read on until it has printed the text so many times."""
        output = self._process.stdout
        while self.printed.count(text) < times:
            ready, _, _ = select.select([output], [], [], DEADLINE)
            assert ready, f"after {DEADLINE} s, still waiting for {text} in {self.printed}"
            piece = output.read1()
            assert piece, f"it ended, and printed {self.printed}"
            self.printed += piece

    def send(self, request):
        """Send a request, or a part of one; return the connection."""
        connection = socket.create_connection(self._address, timeout=DEADLINE)
        connection.sendall(request.replace(b"\n", b"\r\n"))
        return connection

    def stop(self, number):
        """Tell it to stop; return its exit code."""
        self._process.send_signal(number)
        code = self._process.wait(DEADLINE)
        self.printed += self._process.stdout.read()
        return code

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def serve(tmp_path):
    """Return a function (arguments) → the server, on a store whose pages wait for ever."""
    (tmp_path / "stalling_store.py").write_text(STALLING_STORE)
    servers = []

    def serve(*arguments):
        servers.append(Server(tmp_path, *arguments))
        return servers[-1]

    yield serve
    for server in servers:
        server.kill()


HALF_A_FORM = b"""POST /login HTTP/1.1
Host: localhost
Content-Type: application/x-www-form-urlencoded
Content-Length: 100

token="""
A_PAGE = b"""GET / HTTP/1.1
Host: localhost

"""
LOGIN_PAGE = A_PAGE.replace(b"/ ", b"/login ", 1)


@pytest.fixture
def close_all():
    """Give a list of connections that are closed in the end."""
    connections = []
    yield connections
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_though_clients_do_not_send_on(serve, close_all, number):
    server = serve("--actions")
    close_all += [server.send(HALF_A_FORM) for _ in range(STALLED)]
    close_all.append(server.send(LOGIN_PAGE))
    assert b"200 OK" in close_all[-1].recv(100)  # those before are in

    assert server.stop(number) == 0

    assert b"Traceback" not in server.printed
    assert close_all[0].recv(100).startswith(b"HTTP/1.1 503 ")


def test_it_ends_though_the_store_does_not_answer(serve, close_all):
    server = serve()
    close_all += [server.send(A_PAGE) for _ in range(STALLED)]
    server.wait_for(b"a page waits for the store", times=PAGES_AT_ONCE)

    assert server.stop(signal.SIGTERM) == 0

    assert b"Traceback" not in server.printed
    assert close_all[0].recv(100).startswith(b"HTTP/1.1 503 ")


def test_a_client_that_goes_away_is_no_error(serve, close_all):
    server = serve("--actions")
    for _ in range(3):
        server.send(HALF_A_FORM).close()
    close_all.append(server.send(LOGIN_PAGE))
    assert b"200 OK" in close_all[-1].recv(100)

    assert server.stop(signal.SIGTERM) == 0

    assert server.printed.count(b"\n") == 2  # where it is, and the token
