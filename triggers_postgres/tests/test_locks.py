"""Who waits for whom: one session's changes for each other, and nobody for another session's."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from triggers_core import (
    EventConflict,
    InstanceNotFound,
    MemoryStorage,
    StorageError,
    TransientStorageError,
)
from triggers_core.recovery import recover_once

CONFIGURATION = {
    "t_each": {"after": ["go"], "andEvery": "go", "run": "task"},
    "t_once": {"after": ["go"], "run": "task"},
}
DEADLINE_SECONDS = 60
HOLD_SECONDS = 30
SHORT_MILLISECONDS = 100
THREADS = 8
FIRES = 5


@pytest.fixture
def hold(url, schema):
    """Return a function that locks rows of a table in a transaction, which the connection that it
    returns may end. A test that waits for ever for one fails at last."""
    holders = []
    option = f"-c idle_in_transaction_session_timeout={HOLD_SECONDS}s"

    def lock(table, condition):
        holder = psycopg.connect(url, options=option)
        holders.append(holder)
        query = SQL("SELECT 1 FROM {} WHERE {} FOR UPDATE")
        rows = holder.execute(query.format(Identifier(schema, table), SQL(condition))).fetchall()
        assert rows == [(1,)]
        return holder

    yield lock
    for holder in holders:
        holder.close()


@pytest.fixture
def until_waiting(admin):
    """Return a function that returns once somebody waits for a lock of a connection, or a thread
    that was about to is done."""

    def wait(holder, future):
        query = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        while not future.done():
            if admin.execute(query, (holder.info.backend_pid,)).fetchone():
                return

    return wait


@pytest.mark.parametrize("given", ["timeout", "in the URL"])
def test_a_fire_that_waits_too_long_for_its_session_says_so_and_changes_nothing(
    url, make_storage, storage, open_session, hold, idle_runner, given
):
    for uid in ("session", "other"):
        open_session(storage, uid, CONFIGURATION)
    if given == "timeout":
        impatient = make_storage(timeout=1.0)
    else:
        option = f"-c lock_timeout={SHORT_MILLISECONDS}"
        impatient = make_storage(make_conninfo(url, options=option))
    holder = hold("sessions", "uid = 'session'")

    message = "another transaction holds the session's lock for too long; this change was not made"
    with pytest.raises(StorageError, match=message) as raised:
        open_session(impatient).fire("go")
    assert not isinstance(raised.value, TransientStorageError)
    open_session(impatient, "other").fire("go")
    assert idle_runner.accepted == ["t_each#0", "t_once#0"]
    assert open_session(storage).instances() == []

    holder.rollback()
    open_session(impatient).fire("go")
    assert len(open_session(storage).instances()) == 2


def test_a_fire_waits_for_its_session_while_others_go_on(
    storage, open_session, hold, until_waiting
):
    for uid in ("session", "other"):
        open_session(storage, uid, CONFIGURATION)
    holder = hold("sessions", "uid = 'session'")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(open_session(storage).fire, "go")
        until_waiting(holder, waiting)
        assert not waiting.done()

        open_session(storage, "other").fire("go")
        assert len(open_session(storage, "other").instances()) == 2
        assert open_session(storage).instances() == []
        assert not waiting.done()

        holder.rollback()
        assert waiting.result(DEADLINE_SECONDS).created == ("t_each#0", "t_once#0")


def test_fires_of_many_threads_through_many_storages_equal_a_serial_order(
    make_storage, storage, open_session
):
    """S52 has it of transactions on one storage; these share nothing but the server."""
    open_session(storage, configuration=CONFIGURATION)
    storages = [make_storage() for _ in range(3)]
    all_here = threading.Barrier(THREADS)

    def fire(thread):
        manager = open_session(storages[thread % len(storages)])
        all_here.wait(DEADLINE_SECONDS)
        fired = [{"thread": thread, "nr": nr} for nr in range(FIRES)]
        return [(manager.fire("go", kwargs), kwargs) for kwargs in fired]

    with ThreadPoolExecutor(THREADS) as threads:
        done = [each for fires in threads.map(fire, range(THREADS)) for each in fires]

    def made(item):
        return int(item[0].created[0].removeprefix("t_each#"))

    in_order = open_session(MemoryStorage(), configuration=CONFIGURATION)
    for number, (outcome, kwargs) in enumerate(sorted(done, key=made)):
        assert made((outcome,)) == number
        assert in_order.fire("go", kwargs) == outcome
    assert seen(open_session(storage)) == seen(in_order)


@pytest.mark.parametrize(
    ("table", "condition"),
    [("sessions", "uid = 'session'"), ("instances", "session_id = 1")],
)
def test_a_pass_leaves_out_what_is_locked_and_waits_for_none(
    url, admin, schema, storage, make_storage, open_session, hold, table, condition
):
    configuration = {"t_each": CONFIGURATION["t_each"]}
    for uid in ("session", "other"):
        open_session(storage, uid, configuration).fire("go")
    admin.execute(SQL("UPDATE {} SET recover_at = 1").format(Identifier(schema, "instances")))
    option = f"-c lock_timeout={SHORT_MILLISECONDS}"
    recovering = make_storage(make_conninfo(url, options=option))
    plugins = plugins_of(open_session(recovering))
    holder = hold(table, condition)

    assert recover_once(recovering, plugins=plugins).dispatched == [("other", "t_each#0")]
    holder.rollback()
    assert recover_once(recovering, plugins=plugins).dispatched == [("session", "t_each#0")]


def test_many_that_make_the_tables_at_once_make_them_once(make_storage, schema, admin):
    storages = [make_storage() for _ in range(THREADS)]
    all_here = threading.Barrier(THREADS)

    def use(storage):
        all_here.wait(DEADLINE_SECONDS)
        with storage.transaction("session", "manager") as unit:
            number = unit.latest_kwargs(["go"]).get("go", {"nr": 0})["nr"]
            unit.remember_trigger("go", {"nr": number + 1}, at=0.0)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(use, storages))
    with storages[0].read("session") as reader:
        assert reader.latest_kwargs(["go"]) == {"go": {"nr": THREADS}}
    versions = admin.execute(SQL("SELECT * FROM {}").format(Identifier(schema, "meta"))).fetchall()
    assert len(versions) == 1


def seen(manager):
    """What of a session does not differ from one time and place to the next."""
    with manager.storage.read(manager.session_uid) as reader:
        latest = reader.latest_kwargs(["go"])
    return latest, [
        (each.name, each.status, each.trigger_kwargs, each.waits_for)
        for each in manager.instances()
    ]


def plugins_of(manager):
    manager.plugins.managers.add(type(manager))
    return manager.plugins


def test_a_change_that_a_rule_refuses_costs_no_connection(make_storage, open_session):
    storage = make_storage(pool_size=1)
    manager = open_session(storage)

    def backend():
        with storage.read(manager.session_uid) as reader:
            return reader._connection.info.backend_pid

    manager.fire("x", event_id="one")
    before = backend()

    for _ in range(3):
        with pytest.raises(EventConflict):
            manager.fire("y", event_id="one")
        with pytest.raises(InstanceNotFound):
            manager.abandon_instance("nosuch#0", reason="no")

    assert backend() == before
    manager.fire("z", event_id="one more")
    assert manager.fire("z", event_id="one more").trigger_name == "z"
