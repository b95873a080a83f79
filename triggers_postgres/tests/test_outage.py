"""A server that is away for longer than the pool has patience, and one that says nothing."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from triggers_core import StorageError
from triggers_postgres import connections

DEADLINE_SECONDS = 60.0
SHORT_SECONDS = 0.5
CONNECT_SECONDS = 2
"""The least that libpq takes."""


class Line:
    """What leads to the server, until it is cut; it can be mended."""

    def __init__(self, address):
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = []
        self._is_cut = False
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self._is_cut = True
        for each in self._sockets:
            end(each)

    def mend(self):
        self._is_cut = False

    def close(self):
        self.cut()
        end(self._listener)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._is_cut:
                    end(client)
                    continue
                server = socket.create_connection(self._address)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    @staticmethod
    def _pass(source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        end(target)


def end(each):
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@pytest.fixture
def line(url):
    known = conninfo_to_dict(url)
    line = Line((known.get("host", "127.0.0.1"), int(known.get("port", 5432))))
    yield line
    line.close()


@pytest.fixture
def at_line(url, line):
    return make_conninfo(url, host="127.0.0.1", port=line.port)


@pytest.fixture
def given_up(monkeypatch):
    """Set when a pool has given up its tries to connect, which it does soon."""
    happened = threading.Event()
    go_on = connections._go_on_for_those_who_wait

    def noted(pool):
        happened.set()
        go_on(pool)

    monkeypatch.setattr(connections, "RECONNECT_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(connections, "_go_on_for_those_who_wait", noted)
    return happened


def test_who_waits_for_a_server_is_served_when_it_is_back_though_the_pool_gave_up(
    line, at_line, make_storage, given_up
):
    storage = make_storage(at_line, timeout=DEADLINE_SECONDS)
    list(storage.sessions())
    line.cut()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(lambda: list(storage.sessions()))
        assert given_up.wait(DEADLINE_SECONDS)
        line.mend()
        assert waiting.result(DEADLINE_SECONDS) == []


def test_who_has_waited_too_long_for_a_server_that_was_away_is_told_so_though_it_is_back(
    line, at_line, make_storage, monkeypatch
):
    storage = make_storage(at_line, timeout=SHORT_SECONDS)
    list(storage.sessions())
    getconn = ConnectionPool.getconn

    def mended_too_late(pool):
        try:
            return getconn(pool)
        except PoolTimeout:
            while not pool.get_stats().get("connections_errors"):
                time.sleep(0.01)
            line.mend()
            raise

    monkeypatch.setattr(ConnectionPool, "getconn", mended_too_late)
    line.cut()
    with pytest.raises(StorageError, match="the server was away meanwhile, and answers again"):
        list(storage.sessions())


def test_who_has_waited_too_long_for_others_is_told_so(make_storage):
    storage = make_storage(pool_size=1, timeout=SHORT_SECONDS)
    with storage.read("session"), ThreadPoolExecutor() as threads:
        waiting = threads.submit(lambda: list(storage.sessions()))
        with pytest.raises(StorageError, match="all 1 of this process are in use"):
            waiting.result(DEADLINE_SECONDS)


@pytest.mark.parametrize("given", ["in the environment", "in the URL"])
def test_a_server_that_says_nothing_is_waited_for_as_long_as_it_was_said_and_once(
    url, make_storage, monkeypatch, given
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        if given == "in the URL":
            options["connect_timeout"] = CONNECT_SECONDS
        else:
            monkeypatch.setenv("PGCONNECT_TIMEOUT", str(CONNECT_SECONDS))
        storage = make_storage(make_conninfo(url, **options))
        with pytest.raises(StorageError, match="timeout"):
            list(storage.sessions())

        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_without_either_a_server_that_says_nothing_is_not_waited_for_for_ever(make_storage):
    storage = make_storage("postgresql://127.0.0.1/db")
    assert conninfo_to_dict(storage._connections._conninfo)["connect_timeout"] == "10"
