"""X6 and recovery: what loses its message or its worker is set going again, once."""

import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from triggers_core import (
    BaseTaskRunner,
    DispatchError,
    MemoryStorage,
    Plugins,
    SqliteStorage,
    Status,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.lease import KEEPER
from triggers_core.recovery import recover_once, run_forever, take_over
from triggers_core.task import as_task
from triggers_core.work import DISPATCH_RETRY_SECONDS

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
        patch.setattr("triggers_core.execution._fail", lambda context, error: None)
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
    assert names(manager.unresolved_instances()) == [("t_ship#0", "failed")]


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
    assert KEEPER.held() == 0


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


def test_what_cannot_be_helped_keeps_nothing_else_back(storage, plugins, outbox, clock, caplog):
    class Unknown(ShopManager):
        name = "unknown"

    for manager_class in (Unknown, ShopManager):
        manager = manager_class(manager_class.name, storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
    clock["ahead"] = ShopManager.dispatch_timeout + 1

    found = recover_once(storage, plugins=plugins)

    assert found.errors == [("unknown", "t_ship#0")]
    assert found.dispatched == [("shop", "t_ship#0")]
    assert "no manager 'unknown' is registered" in caplog.text


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


def test_sqlite_finds_the_lost_by_an_index(tmp_path):
    storage = SqliteStorage(tmp_path / "store.db")
    storage.take_lost(limit=1, hold_until=0.0)
    connection = sqlite3.connect(storage.path)
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM instances WHERE recover_at <= 1 "
        "ORDER BY recover_at LIMIT 1"
    ).fetchall()
    connection.close()
    storage.close()

    assert "USING COVERING INDEX recoverable_instances" in plan[0][3]
