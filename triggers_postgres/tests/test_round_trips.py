"""How often each operation waits for the server: what it costs where the server is a network away.

Counted, not timed: a proxy sees a turn wherever a client sends something after the server did. What
goes out in one pipeline is one.
"""

import socket
import threading
from contextlib import suppress
from functools import partial

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from triggers_core import BaseTaskRunner, Plugins, TriggerManager, execute, trigger_task
from triggers_core.hookspecs import hookimpl

JOIN = {"join": {"after": ["a", "b", "c"], "run": "task"}}
WARM = 8
"""More sessions than psycopg needs to have prepared everything."""


READY_FOR_QUERY, LENGTH_ENDS = b"Z", 5
"""Of the protocol: a message is a letter, its length in four bytes, and the rest."""


class CountingProxy:
    """Passes everything on, and counts turns: each ends with the server saying that it is ready for
    another query. How often either sends is by chance."""

    def __init__(self, address):
        self.turns = 0
        self._counting = threading.Lock()
        self._address = address
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
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for way in ((client, server, lambda _: b""), (server, client, self._count)):
                    threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source, target, look):
        unread = b""
        with suppress(OSError):
            while data := source.recv(65536):
                unread = look(unread + data)
                target.sendall(data)

    def _count(self, messages):
        """Count among the server's messages; return the beginning of one that is not whole."""
        while len(messages) > LENGTH_ENDS:
            end = 1 + int.from_bytes(messages[1:LENGTH_ENDS], "big")
            if len(messages) < end:
                break
            with self._counting:
                self.turns += messages[:1] == READY_FOR_QUERY
            messages = messages[end:]
        return messages


class KeepingRunner(BaseTaskRunner):
    name = "keeping"

    def __init__(self):
        self.kept = []

    def run(self, manager, task_instance):
        self.kept.append((manager, task_instance))


class CountedManager(TriggerManager):
    name = "counted"
    default_task_runner_name = "keeping"


class Tasks:
    @hookimpl
    def triggers_resolve_task(self):
        return trigger_task(lambda context: {})


@pytest.fixture
def proxy(url):
    known = conninfo_to_dict(url)
    proxy = CountingProxy((known.get("host", "127.0.0.1"), int(known.get("port", 5432))))
    yield proxy
    proxy.close()


@pytest.fixture
def runner():
    return KeepingRunner()


@pytest.fixture
def open_counted(url, proxy, make_storage, runner):
    """Return a function (session uid) → its manager, through the proxy; everything is warm."""
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(runner)
    plugins.register(Tasks())
    straight = {"host": "127.0.0.1", "sslmode": "disable", "gssencmode": "disable"}
    storage = make_storage(make_conninfo(url, port=proxy.port, **straight))

    def open_it(uid):
        return CountedManager(uid, storage=storage, plugins=plugins)

    for number in range(WARM):
        live(open_it(f"warm-{number}"), runner)
    return open_it


@pytest.fixture
def turns(proxy):
    """Return a function that does something and returns how many turns that took."""

    def count(do):
        before = proxy.turns
        do()
        return proxy.turns - before

    return count


def live(manager, runner):
    manager.update_configuration(JOIN)
    manager.fire("a", event_id="one")
    manager.fire("b")
    manager.fire("c")
    execute(*runner.kept.pop())
    manager.instance("join#0")
    manager.instances()
    manager.configuration()
    manager.closing()


@pytest.fixture
def manager(open_counted):
    return open_counted("counted")


def test_a_session_is_configured_in_two(manager, turns):
    assert turns(lambda: manager.update_configuration(JOIN)) == 2
    assert turns(lambda: manager.update_configuration(JOIN)) == 2


def test_a_join_of_three_takes_ten(manager, turns, runner):
    """Two each for whatever changes the session: to read it all, and to write it all."""
    manager.update_configuration(JOIN)
    assert [turns(partial(manager.fire, name)) for name in "abc"] == [2, 2, 2]
    assert turns(lambda: execute(*runner.kept.pop())) == 4


def test_a_fire_with_an_event_id_takes_two_the_first_time_and_again(manager, turns):
    manager.update_configuration(JOIN)
    assert turns(lambda: manager.fire("a", event_id="one")) == 2
    assert turns(lambda: manager.fire("a", event_id="one")) == 2


def test_many_firings_take_two(manager, turns, runner):
    manager.update_configuration(JOIN)
    firings = [("a",), ("b", {"n": 1}, "one"), ("c",), ("a",), ("b", {"n": 1}, "one"), ("other",)]
    assert turns(lambda: manager.fire_many(firings)) == 2
    assert len(runner.kept) == 1


def test_the_first_fire_of_a_session_takes_two(manager, turns):
    assert turns(lambda: manager.fire("a")) == 2


def test_a_configuration_that_was_not_foreseen_costs_turns_and_nothing_else(
    open_counted, manager, turns, runner
):
    manager.update_configuration({"other": {"after": ["a"], "run": "task"}})
    open_counted("last").update_configuration(JOIN)

    assert turns(lambda: manager.fire("a")) > 2
    assert [instance.name for _, instance in runner.kept] == ["other#0"]


@pytest.mark.parametrize(
    "look",
    [
        lambda manager: manager.instance("join#0"),
        lambda manager: manager.instances(),
        lambda manager: manager.configuration(),
        lambda manager: manager.closing(),
    ],
)
def test_what_one_statement_answers_is_looked_up_in_one(manager, turns, look):
    manager.update_configuration(JOIN)
    manager.fire("a")
    assert turns(lambda: look(manager)) == 1


def test_a_question_of_two_look_ups_is_answered_by_one_view(manager, storage):
    """It is asked once more, since the second would show what has changed after the first."""
    other = CountedManager("counted", storage=storage, plugins=manager.plugins)
    manager.update_configuration(JOIN)
    manager.fire("a")
    asked = []

    def question(reader):
        instances = reader.instances()
        asked.append(instances)
        if len(asked) == 1:
            other.fire("b")
        return instances, reader.waiting_for("b")

    instances, waiting = manager.storage.look("counted", question)
    assert len(asked) == 2
    assert instances == manager.instances()
    assert waiting == []
