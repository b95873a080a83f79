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


class GoingServer:
    """Passes bytes to the server and back. In place of what follows the next commit's answer it
    says that it goes, and goes, as a server does that is shut down just then.

    Args:
        answers: whether the client gets the commit's answer.
    """

    def __init__(self, address, *, answers):
        self.is_going = threading.Event()
        self._address = address
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._address)
                self._sockets += [client, server]
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _pass(self, client, server):
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    def _answer(self, server, client):
        with suppress(OSError):
            while data := server.recv(65536):
                before, answer, _ = data.partition(COMMITTED)
                if answer and self.is_going.is_set():
                    self.is_going.clear()
                    client.sendall(before + (answer if self._answers else b"") + GOING)
                    client.shutdown(socket.SHUT_RDWR)
                    return
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
