"""A commit whose answer is lost: whether the change is made is found out, and if it is not, it is
made again."""

import socket
import struct
import threading
from contextlib import suppress

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from triggers_core import OutcomeUnknown
from triggers_postgres import PostgresStorage
from triggers_postgres import storage as storage_module

CONFIGURATION = {"t_each": {"after": ["go"], "andEvery": "go", "run": "task"}}
NEVER = 1_000_000

COMMIT = b"COMMIT\x00"
QUESTION = b"pg_xact_status"
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
FIELDS = b"SFATAL\x00VFATAL\x00C57P01\x00Mterminating connection\x00\x00"
GOING = b"E" + struct.pack("!I", len(FIELDS) + 4) + FIELDS

UNKNOWN = (
    "the connection was lost in the middle of a commit .*what became of it is {}.*"
    "With an event_id, fire again.*Without one, look at the session first"
)


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


class LosingServer(Proxy):
    """Loses the next commit and the connection that it came on.

    Args:
        arrives: whether the server makes the commit, so that only its answer is lost.
        ends_at_question: the server hears of the loss when it is asked for the so many-th time
            what became of the commit, 0 for at once; until then it has the transaction open.
        is_cut_off: whether nobody reaches the server from then on.
    """

    def __init__(self, address, *, arrives=False, ends_at_question=0, is_cut_off=False):
        super().__init__(address)
        self.questions = 0
        self._arrives = arrives
        self._ends_at_question = ends_at_question
        self._is_cut_off = is_cut_off
        self._left = []

    def ask(self, data, client, server):
        if COMMIT in data and self.is_armed.is_set() and not self._arrives:
            self._lose(client, server)
            return
        if QUESTION in data:
            self.questions += 1
            if self.questions == self._ends_at_question:
                cut(*self._left)
        server.sendall(data)

    def answer(self, data, client, server):
        if COMMITTED in data and self.is_armed.is_set():
            self._lose(client, server)
        else:
            client.sendall(data)

    def _lose(self, client, server):
        self.is_armed.clear()
        if self._is_cut_off:
            self.close()
        elif self._ends_at_question:
            self._left.append(server)
        else:
            cut(server)
        cut(client)


def cut(*sockets):
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@pytest.fixture
def start(url, schema):
    """Return a function (class of proxy, its options) → one that runs, and is closed in the end:
    before the schema is dropped, as a transaction that it keeps open would be waited for."""
    known = conninfo_to_dict(url)
    address = known.get("host", "127.0.0.1"), int(known.get("port", 5432))
    proxies = []

    def make(kind, **options):
        proxies.append(kind(address, **options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def fire_through(url, make_storage, open_session, storage):
    """Return a function that fires through a proxy which does its harm to that very commit."""
    open_session(storage, configuration=CONFIGURATION)

    def fire(proxy, *, event_id=None, **options):
        through = make_storage(make_conninfo(url, host="127.0.0.1", port=proxy.port), **options)
        manager = open_session(through)
        manager.fire("before")
        proxy.is_armed.set()
        try:
            return manager.fire("go", {"nr": 1}, event_id=event_id)
        finally:
            assert not proxy.is_armed.is_set()

    return fire


@pytest.fixture
def is_there_once(storage, open_session):
    """Return a function that asserts that what was fired is in the store, once and whole."""

    def look():
        manager = open_session(storage)
        [instance] = manager.instances()
        assert instance.trigger_kwargs == {"go": {"nr": 1}}
        with storage.read("session") as reader:
            assert reader.latest_kwargs(["go"]) == {"go": {"nr": 1}}

    return look


@pytest.mark.parametrize("answers", [True, False])
def test_a_commit_that_is_made_as_the_server_goes_is_no_error(
    start, fire_through, is_there_once, idle_runner, answers
):
    fire_through(start(GoingServer, answers=answers))
    is_there_once()
    assert idle_runner.accepted == ["t_each#0"]


def test_a_commit_that_is_made_and_not_answered_is_no_error(
    start, fire_through, is_there_once, idle_runner
):
    fire_through(start(LosingServer, arrives=True))
    is_there_once()
    assert idle_runner.accepted == ["t_each#0"]


def test_a_commit_that_does_not_arrive_is_made_again(
    start, fire_through, is_there_once, idle_runner
):
    outcome = fire_through(start(LosingServer))
    assert outcome.created == ("t_each#0",)
    is_there_once()
    assert idle_runner.accepted == ["t_each#0"]


def test_while_a_lost_commit_may_still_be_made_the_server_is_asked_again(
    start, fire_through, is_there_once, idle_runner
):
    server = start(LosingServer, ends_at_question=2)
    fire_through(server)
    assert server.questions >= 2
    is_there_once()
    assert idle_runner.accepted == ["t_each#0"]


@pytest.mark.parametrize("arrives", [True, False])
def test_where_the_server_cannot_be_asked_the_error_says_what_to_do(
    start, fire_through, is_there_once, storage, open_session, arrives
):
    server = start(LosingServer, arrives=arrives, is_cut_off=True)
    with pytest.raises(OutcomeUnknown, match=UNKNOWN.format("not to be had .*refused")):
        fire_through(server, event_id="one", timeout=1.0)

    open_session(storage).fire("go", {"nr": 1}, event_id="one")
    is_there_once()


def test_where_the_server_does_not_know_either_the_error_says_what_to_do(
    start, fire_through, is_there_once, storage, open_session, monkeypatch
):
    pauses = (0.0, 0.0)
    monkeypatch.setattr(storage_module, "ASK_PAUSES_SECONDS", pauses)
    server = start(LosingServer, ends_at_question=NEVER)
    with pytest.raises(OutcomeUnknown, match=UNKNOWN.format("in progress")):
        fire_through(server, event_id="one")
    assert server.questions == len(pauses)

    server.close()
    open_session(storage).fire("go", {"nr": 1}, event_id="one")
    is_there_once()


def test_a_number_that_a_crashed_server_gave_to_another_transaction_too_is_not_believed(
    start, fire_through, storage, open_session, monkeypatch
):
    monkeypatch.setattr(PostgresStorage, "_status_of", lambda *_: "committed")
    uncertain = UNKNOWN.format("not certain: nothing is there that it wrote")
    with pytest.raises(OutcomeUnknown, match=uncertain):
        fire_through(start(LosingServer), event_id="one")

    assert open_session(storage).instances() == []
