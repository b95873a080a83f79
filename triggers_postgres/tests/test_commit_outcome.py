"""A server that goes while it answers a commit: whether the change is made is found out."""

import socket
import struct
import threading
from contextlib import suppress

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
FIELDS = b"SFATAL\x00VFATAL\x00C57P01\x00Mterminating connection\x00\x00"
GOING = b"E" + struct.pack("!I", len(FIELDS) + 4) + FIELDS


class Proxy:
    """Passes bytes to the server and back, until it is told to do harm.

    Attributes:
        is_armed: whether the next commit is the one to harm.
    """

    def __init__(self, address):
        self.is_armed = threading.Event()
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Break all connections, and take no further one."""
        cut(*self._sockets)

    def ask(self, data, client, server):
        """Deal with what the client sent."""
        server.sendall(data)

    def answer(self, data, client, server):
        """Deal with what the server sent."""
        client.sendall(data)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._address)
                self._sockets += [client, server]
                for source, deal in ((client, self.ask), (server, self.answer)):
                    pair = (source, deal, client, server)
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    @staticmethod
    def _pass(source, deal, client, server):
        with suppress(OSError):
            while data := source.recv(65536):
                deal(data, client, server)
        # Where one of both is gone, the other hears of it, unless it is kept on purpose.
        cut(source)


class GoingServer(Proxy):
    """In place of what follows the commit's answer it says that it goes, and goes, as a server does
    that is shut down just then.

    Args:
        answers: whether the client gets the commit's answer.
    """

    def __init__(self, address, *, answers):
        super().__init__(address)
        self._answers = answers

    def answer(self, data, client, server):
        before, answer, _ = data.partition(COMMITTED)
        if answer and self.is_armed.is_set():
            self.is_armed.clear()
            client.sendall(before + (answer if self._answers else b"") + GOING)
            cut(client)
        else:
            client.sendall(data)


@pytest.fixture(params=["answers", "does not answer"])
def going_server(request, url):
    known = conninfo_to_dict(url)
    address = known.get("host", "127.0.0.1"), int(known.get("port", 5432))
    server = GoingServer(address, answers=request.param == "answers")
    yield server
    server.close()


def test_a_commit_that_is_made_as_the_server_goes_is_no_error(
    going_server, url, make_storage, open_session, storage
):
    through = psycopg.conninfo.make_conninfo(url, host="127.0.0.1", port=going_server.port)
    manager = open_session(make_storage(through))
    manager.fire("before")
    going_server.is_going.set()
    manager.fire("go", {"nr": 1}, event_id="one")

    assert not going_server.is_going.is_set()
    with storage.read("session") as reader:
        assert reader.outcome("one") is not None
        assert reader.latest_kwargs(["go"]) == {"go": {"nr": 1}}
