"""X6 and recovery: what loses its message or its worker is set going again, once."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from triggers_core import (
    BaseTaskRunner,
    DispatchError,
    MemoryStorage,
    Plugins,
    SqliteStorage,
    Status,
    StorageError,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.cli import commands
from triggers_core.engine.change import DISPATCH_RETRY_SECONDS
from triggers_core.recovery import recover_once, run_forever, take_over
from triggers_core.storage.sqlite.storage import _SELECT_LOST
from triggers_core.task import as_task

DEADLINE_SECONDS = 30
CONFIGURATION = {
    "t_ship": {"after": ["paid"], "run": "ship"},
    "t_thank": {"after": ["t_ship"], "run": "thank"},
}


class ShopManager(TriggerManager):
    name = "shop"
    default_task_runner_name = "outbox"
    dispatch_timeout = 300.0
    lease_duration = 60.0


class Outbox(BaseTaskRunner):
    """A broker in a list: a test delivers, loses and doubles its messages by hand."""

    name = "outbox"

    def __init__(self):
        self.sent = []
        self.is_down = False

    def run(self, manager, task_instance):
        if self.is_down:
            raise ConnectionError("connection refused")
        self.sent.append((manager, task_instance))


class Tasks:
    def __init__(self):
        self.by_target = {"ship": trigger_task(lambda context: {}), "thank": trigger_task(_nothing)}

    @hookimpl
    def triggers_resolve_task(self, target):
        return as_task(self.by_target[target], target)


def _nothing(context):
    return None


@pytest.fixture
def outbox():
    return Outbox()


@pytest.fixture
def tasks():
    return Tasks()


@pytest.fixture
def plugins(outbox, tasks):
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(outbox)
    plugins.managers.add(ShopManager)
    plugins.register(tasks)
    return plugins


@pytest.fixture
def clock():
    return {"ahead": 0.0}


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path, clock):
    base = MemoryStorage if request.param == "memory" else SqliteStorage

    class Clocked(base):
        def now(self):
            return super().now() + clock["ahead"]

    made = Clocked() if request.param == "memory" else Clocked(tmp_path / "store.db")
    yield made
    made.close()


@pytest.fixture
def manager(storage, plugins):
    manager = ShopManager("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    return manager


def die_while_running(tasks, outbox):
    """Run what was sent as a worker does that is killed in the middle: its end is never told."""

    class Killed(BaseException):
        """No process can catch its own kill -9; so this must leave no trace in the store."""

    def kill(context):
        raise Killed

    before = tasks.by_target["ship"]
    task = trigger_task(kill, max_retries=before.max_retries, on_worker_lost=before.on_worker_lost)
    tasks.by_target["ship"] = task
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("triggers_core.worker.execution._fail", lambda context, error: None)
        execute(*outbox.sent.pop())
    tasks.by_target["ship"] = before


def names(instances):
    return [(instance.name, str(instance.status)) for instance in instances]


def test_nothing_is_lost_where_nothing_was_lost(manager, storage, plugins):
    manager.fire("paid")

    assert recover_once(storage, plugins=plugins).count == 0


def test_a_scheduled_instance_whose_message_is_lost_is_dispatched_again(
    manager, storage, plugins, outbox, clock
):
    manager.fire("paid")
    outbox.sent.clear()
    clock["ahead"] = ShopManager.dispatch_timeout + 1

    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#0")]

    (sent,) = outbox.sent
    assert execute(*sent).status is Status.FINISHED


def test_it_is_not_dispatched_a_third_time_before_its_second_message_has_had_its_time(
    manager, storage, plugins, clock
):
    manager.fire("paid")
    clock["ahead"] = ShopManager.dispatch_timeout + 1
    recover_once(storage, plugins=plugins)

    clock["ahead"] += ShopManager.dispatch_timeout - 2
    assert recover_once(storage, plugins=plugins).count == 0
    clock["ahead"] += 3
    assert recover_once(storage, plugins=plugins).count == 1


def test_a_failed_dispatch_is_made_good_soon_and_not_after_the_dispatch_timeout(
    manager, storage, plugins, outbox, clock
):
    outbox.is_down = True
    with pytest.raises(DispatchError):
        manager.fire("paid")
    outbox.is_down = False
    clock["ahead"] = DISPATCH_RETRY_SECONDS + 1

    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#0")]
    assert len(outbox.sent) == 1


def test_a_runner_that_is_still_down_is_an_error_listed_and_tried_again(
    manager, storage, plugins, outbox, clock, caplog
):
    outbox.is_down = True
    with pytest.raises(DispatchError):
        manager.fire("paid")
    clock["ahead"] = DISPATCH_RETRY_SECONDS + 1

    assert recover_once(storage, plugins=plugins).errors == [("s", "t_ship#0")]
    assert "connection refused" in caplog.text

    outbox.is_down = False
    clock["ahead"] += DISPATCH_RETRY_SECONDS + 1
    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#0")]


def test_a_delayed_retry_whose_message_is_lost_is_found_after_its_cooldown(
    manager, storage, plugins, outbox, tasks, clock
):
    tasks.by_target["ship"] = trigger_task(lambda context: context.retry(cooldown=1000))
    manager.fire("paid")
    execute(*outbox.sent.pop())
    outbox.sent.clear()

    clock["ahead"] = 1000
    assert recover_once(storage, plugins=plugins).count == 0
    clock["ahead"] = 1000 + ShopManager.dispatch_timeout + 1
    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#1")]


def test_an_instance_whose_worker_is_lost_runs_again_and_cascades_once(
    manager, storage, plugins, outbox, tasks, clock
):
    manager.fire("paid")
    die_while_running(tasks, outbox)
    assert names(manager.instances()) == [("t_ship#0", "running")]
    assert recover_once(storage, plugins=plugins).count == 0
    clock["ahead"] = ShopManager.lease_duration + 1

    assert recover_once(storage, plugins=plugins).rerun == [("s", "t_ship#0")]

    (sent,) = outbox.sent
    outbox.sent.clear()
    execute(*sent)
    assert names(manager.instances()) == [
        ("t_ship#0", "replayed"),
        ("t_ship#1", "finished"),
        ("t_thank#0", "scheduled"),
    ]
    assert manager.instance("t_ship#0").metadata["error"]["type"] == "WorkerLost"


def test_a_worker_that_comes_back_after_it_was_given_up_records_nothing(
    manager, storage, plugins, outbox, tasks, clock, caplog
):
    def sleep_through_the_lease(context):
        clock["ahead"] = ShopManager.lease_duration + 1
        recover_once(storage, plugins=plugins)
        return {}

    tasks.by_target["ship"] = trigger_task(sleep_through_the_lease)
    manager.fire("paid")

    assert execute(*outbox.sent.pop(0)) is None

    assert names(manager.instances()) == [("t_ship#0", "replayed"), ("t_ship#1", "scheduled")]
    assert "this end is not recorded" in caplog.text


def test_a_worker_that_renews_its_lease_before_it_is_given_up_keeps_its_instance(
    manager, storage, outbox, tasks
):
    def renew_in_the_meantime(context):
        taken = manager.instance("t_ship#0")
        with storage.transaction("s", "shop") as unit:
            unit.save(replace(taken, recover_at=taken.recover_at + 60))
        return {"taken over": take_over(manager, taken)}

    tasks.by_target["ship"] = trigger_task(renew_in_the_meantime)
    manager.fire("paid")

    assert execute(*outbox.sent.pop()).metadata["result"] == {"taken over": None}


def test_a_task_may_ask_to_fail_when_its_worker_is_lost(
    manager, storage, plugins, outbox, tasks, clock
):
    tasks.by_target["ship"] = trigger_task(_nothing, on_worker_lost="fail")
    manager.fire("paid")
    die_while_running(tasks, outbox)
    clock["ahead"] = ShopManager.lease_duration + 1

    assert recover_once(storage, plugins=plugins).failed == [("s", "t_ship#0")]
    (failed,) = manager.unresolved_instances()
    assert names([failed]) == [("t_ship#0", "failed")]
    assert failed.metadata["error"]["type"] == "WorkerLost"
    assert "attempt 1" in failed.metadata["error"]["message"]
    assert "no further attempt" in failed.metadata["error"]["message"]
    assert outbox.sent == []


def test_a_task_that_kills_every_worker_fails_when_its_retries_are_used_up(
    manager, storage, plugins, outbox, tasks, clock
):
    tasks.by_target["ship"] = trigger_task(_nothing, max_retries=1)
    manager.fire("paid")
    for _ in range(2):
        die_while_running(tasks, outbox)
        clock["ahead"] += ShopManager.lease_duration + 1
        recover_once(storage, plugins=plugins)

    assert names(manager.instances()) == [("t_ship#0", "replayed"), ("t_ship#1", "failed")]
    first, second = (each.metadata["error"]["message"] for each in manager.instances())
    assert "attempt 1" in first
    assert "no further attempt" not in first
    assert "attempt 2" in second
    assert "the task allows no further attempt" in second
    assert outbox.sent == []


def test_x6_the_lease_is_renewed_while_the_task_runs(storage, plugins, outbox, tasks):
    class Brief(ShopManager):
        name = "brief"
        lease_duration = 0.3

    manager = Brief("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)

    def watch_the_lease(context):
        first = manager.instance("t_ship#0").recover_at
        deadline = time.monotonic() + DEADLINE_SECONDS
        while manager.instance("t_ship#0").recover_at == first:
            assert time.monotonic() < deadline, "the lease was not renewed"
        return {"renewed": True}

    tasks.by_target["ship"] = trigger_task(watch_the_lease)
    manager.fire("paid")

    assert execute(*outbox.sent.pop()).metadata["result"] == {"renewed": True}


def test_many_recoverers_at_once_take_each_instance_once(storage, plugins, outbox, clock):
    for number in range(30):
        manager = ShopManager(f"s{number}", storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
    outbox.sent.clear()
    clock["ahead"] = ShopManager.dispatch_timeout + 1
    start = threading.Barrier(4)

    def recover_all():
        start.wait()
        while recover_once(storage, plugins=plugins, limit=5).count:
            pass

    threads = [threading.Thread(target=recover_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)

    assert sorted(manager.session_uid for manager, _ in outbox.sent) == sorted(
        f"s{number}" for number in range(30)
    )


def test_one_pass_takes_no_more_than_its_limit_the_longest_lost_first(
    storage, plugins, outbox, clock
):
    for number in range(5):
        manager = ShopManager(f"s{number}", storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
        clock["ahead"] += 1
    clock["ahead"] += ShopManager.dispatch_timeout

    found = recover_once(storage, plugins=plugins, limit=2)
    assert sorted(found.dispatched) == [("s0", "t_ship#0"), ("s1", "t_ship#0")]


class Gone(ShopManager):
    """Fires, and is not to be had when its instance is to be recovered."""

    name = "gone"


class Unmade(ShopManager):
    name = "gone"

    def __init__(self, *args, **kwargs):
        raise ConnectionError("no address book")


@pytest.mark.parametrize(
    ("registered", "told"),
    [
        ([], "no manager 'gone' is registered"),
        ([Unmade], "ConnectionError: no address book"),
    ],
    ids=["not registered", "not made"],
)
def test_what_cannot_be_helped_keeps_nothing_else_back(
    storage, plugins, outbox, clock, caplog, registered, told
):
    for manager_class in registered:
        plugins.managers.add(manager_class)
    for manager_class in (Gone, ShopManager):
        manager = manager_class(manager_class.name, storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
    clock["ahead"] = ShopManager.dispatch_timeout + 1

    found = recover_once(storage, plugins=plugins)

    assert found.errors == [("gone", "t_ship#0")]
    assert found.dispatched == [("shop", "t_ship#0")]
    assert told in caplog.text


def test_run_forever_outlives_a_pass_that_cannot_be_made(
    manager, storage, plugins, outbox, clock, caplog, monkeypatch
):
    manager.fire("paid")
    outbox.sent.clear()
    clock["ahead"] = ShopManager.dispatch_timeout + 1
    take_lost = storage.take_lost
    failures = iter([StorageError("the store is away"), ConnectionError("so is the network")])
    stop = threading.Event()

    def fail_at_first(**arguments):
        for error in failures:
            raise error
        stop.set()
        return take_lost(**arguments)

    monkeypatch.setattr(storage, "take_lost", fail_at_first)
    run_forever(storage, plugins=plugins, interval=0.0, stop=stop)

    assert [instance.name for _, instance in outbox.sent] == ["t_ship#0"]
    (away, network) = caplog.records
    assert "the store is away" in away.message
    assert away.exc_info is None
    assert network.exc_info is not None


def test_run_forever_makes_passes_until_it_is_stopped(manager, storage, plugins, outbox, clock):
    manager.fire("paid")
    outbox.sent.clear()
    clock["ahead"] = ShopManager.dispatch_timeout + 1
    stop = threading.Event()
    loop = threading.Thread(
        target=run_forever,
        args=(storage,),
        kwargs={"plugins": plugins, "interval": 0.01, "stop": stop},
    )
    loop.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not outbox.sent:
        assert time.monotonic() < deadline, "no pass was made"
    stop.set()
    loop.join(DEADLINE_SECONDS)

    assert not loop.is_alive()
    assert len(outbox.sent) == 1


@pytest.mark.parametrize("size", [20, 2000])
def test_a_pass_on_sqlite_costs_what_it_takes_up_and_nothing_more(tmp_path, plugins, outbox, size):
    """In instructions of SQLite's machine, with few and with many that are lost, or are not."""
    storage = SqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    manager = ShopManager("s0", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("paid")
    _copy_session(storage.path, size)
    with storage.read("s0") as reader:
        connection = reader._connection
    instructions = []
    connection.set_progress_handler(lambda: instructions.append(1), 1)
    found = recover_once(storage, plugins=plugins, limit=5)
    connection.set_progress_handler(None, 1)
    storage.close()

    assert len(found.dispatched) == 5
    assert 0 < len(instructions) < MOST_INSTRUCTIONS


MOST_INSTRUCTIONS = 3000
"""Of a pass that takes up five; one look at each of 2,000 instances would be more."""


def _copy_session(path, copies):
    """Make copies of the session ``s0``; half of them have an instance that is lost."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE instances SET recover_at = 1e10")
        for number in range(1, copies):
            session_id = connection.execute(
                "INSERT INTO sessions (uid, manager_name, config_digest) "
                "SELECT ?, manager_name, config_digest FROM sessions WHERE uid = 's0'",
                (f"s{number}",),
            ).lastrowid
            row = connection.execute("SELECT * FROM instances WHERE id = 1").fetchone()
            columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(instances)")]
            copy = dict(zip(columns, row, strict=True))
            copy.update(id=None, session_id=session_id, recover_at=number if number % 2 else 1e10)
            marks = ", ".join("?" for _ in copy)
            connection.execute(f"INSERT INTO instances VALUES ({marks})", tuple(copy.values()))


def test_sqlite_finds_the_lost_by_an_index(tmp_path):
    storage = SqliteStorage(tmp_path / "store.db")
    storage.take_lost(limit=1, hold_until=0.0)
    connection = sqlite3.connect(storage.path)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {_SELECT_LOST}", (2.0, 1.0, 10)).fetchall()
    connection.close()
    storage.close()

    assert "SEARCH instances USING INDEX recoverable_instances (recover_at<?)" in plan[0][3]
    assert not any("SCAN" in step for _, _, _, step in plan)


RECOVER = """
import sys
from triggers_core import BaseTaskRunner, Plugins, SqliteStorage, TriggerManager
from triggers_core.recovery import recover_once


class Outbox(BaseTaskRunner):
    name = "outbox"

    is_first = True

    def run(self, manager, task_instance):
        print(manager.session_uid, task_instance.name, flush=True)
        if self.is_first:
            self.is_first = False
            sys.stdin.readline()


class ShopManager(TriggerManager):
    name = "shop"
    default_task_runner_name = "outbox"


plugins = Plugins(load_entry_points=False)
plugins.use_runner(Outbox())
plugins.managers.add(ShopManager)
storage = SqliteStorage(sys.argv[1], synchronous="NORMAL")
while recover_once(storage, plugins=plugins, limit=5).count:
    pass
"""


def test_many_processes_that_recover_at_once_take_each_instance_once(tmp_path, plugins, outbox):
    lost = 100
    storage = SqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    manager = ShopManager("s0", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("paid")
    storage.close()
    _copy_session(storage.path, 2 * lost)

    command = [sys.executable, "-c", RECOVER, str(storage.path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    dispatched = Counter(process.stdout.readline().strip() for process in processes)
    for process in processes:
        process.stdin.write("all are amid a pass\n")
        process.stdin.flush()
    for process in processes:
        dispatched.update(process.communicate(timeout=DEADLINE_SECONDS)[0].splitlines())

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert dispatched == Counter(f"s{number} t_ship#0" for number in range(1, 2 * lost, 2))


def test_the_command_says_what_a_pass_did(manager, storage, plugins, outbox, tasks, clock):
    plugins.add_storage(storage)
    manager.fire("paid")
    die_while_running(tasks, outbox)
    other = ShopManager("other", storage=storage, plugins=plugins)
    other.update_configuration(CONFIGURATION)
    other.fire("paid")
    outbox.sent.clear()
    clock["ahead"] = ShopManager.dispatch_timeout + 1

    for expected in (["rerun s t_ship#0", "dispatched other t_ship#0"], []):
        ran = CliRunner().invoke(commands.build(plugins), ["recover", "--once"])
        assert ran.exit_code == 0, ran.output
        told = [" ".join(line.split()) for line in ran.output.replace("│", " ").splitlines()]
        assert [line for line in told if "#" in line] == sorted(expected)
    assert sorted(instance.name for _, instance in outbox.sent) == ["t_ship#0", "t_ship#1"]


def test_the_command_exits_with_1_where_something_could_not_be_helped(
    manager, storage, plugins, outbox, clock
):
    plugins.add_storage(storage)
    manager.fire("paid")
    plugins.managers.remove(ShopManager.name)
    clock["ahead"] = ShopManager.dispatch_timeout + 1

    ran = CliRunner().invoke(commands.build(plugins), ["recover", "--once"])
    assert ran.exit_code == 1
    assert "errors" in ran.output
    assert "t_ship#0" in ran.output
