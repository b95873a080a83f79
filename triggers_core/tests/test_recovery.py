"""X6 and recovery: what loses its message or its worker is set going again, once."""

import logging
import threading
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from triggers_core import DispatchError, Status, StorageError, execute, trigger_task
from triggers_core.cli import commands
from triggers_core.engine.change import DISPATCH_RETRY_SECONDS
from triggers_core.recovery import recover_once, run_forever, take_over

from .outbox import CONFIGURATION, ShopManager, plugins_with

DEADLINE_SECONDS = 30


def _nothing(context):
    return None


@pytest.fixture
def plugins(outbox, tasks):
    plugins = plugins_with(outbox)
    plugins.register(tasks)
    return plugins


@pytest.fixture
def manager(storage, plugins, tasks):
    tasks.update(ship=trigger_task(lambda context: {}), thank=trigger_task(_nothing))
    manager = ShopManager("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    return manager


def die_while_running(tasks, outbox):
    """Run what was sent as a worker does that is killed in the middle: its end is never told."""

    class Killed(BaseException):
        """No process can catch its own kill -9; so this must leave no trace in the store."""

    def kill(context):
        raise Killed

    before = tasks["ship"]
    task = trigger_task(kill, max_retries=before.max_retries, on_worker_lost=before.on_worker_lost)
    tasks["ship"] = task
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("triggers_core.worker.execution._fail", lambda context, error: None)
        execute(*outbox.sent.pop())
    tasks["ship"] = before


def names(instances):
    return [(instance.name, str(instance.status)) for instance in instances]


def test_nothing_is_lost_where_nothing_was_lost(manager, storage, plugins):
    manager.fire("paid")

    assert recover_once(storage, plugins=plugins).count == 0


def test_a_scheduled_instance_whose_message_is_lost_is_dispatched_again(
    manager, storage, plugins, outbox
):
    manager.fire("paid")
    outbox.sent.clear()
    storage.ahead = ShopManager.dispatch_timeout + 1

    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#0")]

    (sent,) = outbox.sent
    assert execute(*sent).status is Status.FINISHED


def test_it_is_not_dispatched_a_third_time_before_its_second_message_has_had_its_time(
    manager, storage, plugins
):
    manager.fire("paid")
    storage.ahead = ShopManager.dispatch_timeout + 1
    recover_once(storage, plugins=plugins)

    storage.ahead += ShopManager.dispatch_timeout - 2
    assert recover_once(storage, plugins=plugins).count == 0
    storage.ahead += 3
    assert recover_once(storage, plugins=plugins).count == 1


def test_a_failed_dispatch_is_made_good_soon_and_not_after_the_dispatch_timeout(
    manager, storage, plugins, outbox
):
    outbox.is_down = True
    with pytest.raises(DispatchError):
        manager.fire("paid")
    outbox.is_down = False
    storage.ahead = DISPATCH_RETRY_SECONDS + 1

    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#0")]
    assert len(outbox.sent) == 1


def test_a_runner_that_is_still_down_is_an_error_listed_and_tried_again(
    manager, storage, plugins, outbox, caplog
):
    outbox.is_down = True
    with pytest.raises(DispatchError):
        manager.fire("paid")
    storage.ahead = DISPATCH_RETRY_SECONDS + 1

    assert recover_once(storage, plugins=plugins).errors == [("s", "t_ship#0")]
    assert "connection refused" in caplog.text

    outbox.is_down = False
    storage.ahead += DISPATCH_RETRY_SECONDS + 1
    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#0")]


def test_a_delayed_retry_whose_message_is_lost_is_found_after_its_cooldown(
    manager, storage, plugins, outbox, tasks
):
    tasks["ship"] = trigger_task(lambda context: context.retry(cooldown=1000))
    manager.fire("paid")
    execute(*outbox.sent.pop())
    outbox.sent.clear()

    storage.ahead = 1000
    assert recover_once(storage, plugins=plugins).count == 0
    storage.ahead = 1000 + ShopManager.dispatch_timeout + 1
    assert recover_once(storage, plugins=plugins).dispatched == [("s", "t_ship#1")]


def test_an_instance_whose_worker_is_lost_runs_again_and_cascades_once(
    manager, storage, plugins, outbox, tasks
):
    manager.fire("paid")
    die_while_running(tasks, outbox)
    assert names(manager.instances()) == [("t_ship#0", "running")]
    assert recover_once(storage, plugins=plugins).count == 0
    storage.ahead = ShopManager.lease_duration + 1

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
    manager, storage, plugins, outbox, tasks, caplog
):
    def sleep_through_the_lease(context):
        storage.ahead = ShopManager.lease_duration + 1
        recover_once(storage, plugins=plugins)
        return {}

    tasks["ship"] = trigger_task(sleep_through_the_lease)
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

    tasks["ship"] = trigger_task(renew_in_the_meantime)
    manager.fire("paid")

    assert execute(*outbox.sent.pop()).metadata["result"] == {"taken over": None}


def test_a_task_may_ask_to_fail_when_its_worker_is_lost(manager, storage, plugins, outbox, tasks):
    tasks["ship"] = trigger_task(_nothing, on_worker_lost="fail")
    manager.fire("paid")
    die_while_running(tasks, outbox)
    storage.ahead = ShopManager.lease_duration + 1

    assert recover_once(storage, plugins=plugins).failed == [("s", "t_ship#0")]
    (failed,) = manager.unresolved_instances()
    assert names([failed]) == [("t_ship#0", "failed")]
    assert failed.metadata["error"]["type"] == "WorkerLost"
    assert "attempt 1" in failed.metadata["error"]["message"]
    assert "no further attempt" in failed.metadata["error"]["message"]
    assert outbox.sent == []


def test_a_task_that_kills_every_worker_fails_when_its_retries_are_used_up(
    manager, storage, plugins, outbox, tasks
):
    tasks["ship"] = trigger_task(_nothing, max_retries=1)
    manager.fire("paid")
    for _ in range(2):
        die_while_running(tasks, outbox)
        storage.ahead += ShopManager.lease_duration + 1
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

    tasks["ship"] = trigger_task(watch_the_lease)
    manager.fire("paid")

    assert execute(*outbox.sent.pop()).metadata["result"] == {"renewed": True}


def test_many_recoverers_at_once_take_each_instance_once(storage, plugins, outbox):
    for number in range(30):
        manager = ShopManager(f"s{number}", storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
    outbox.sent.clear()
    storage.ahead = ShopManager.dispatch_timeout + 1
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


def test_one_pass_takes_no_more_than_its_limit_the_longest_lost_first(storage, plugins, outbox):
    for number in range(5):
        manager = ShopManager(f"s{number}", storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
        storage.ahead += 1
    storage.ahead += ShopManager.dispatch_timeout

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
    storage, plugins, outbox, caplog, registered, told
):
    for manager_class in registered:
        plugins.managers.add(manager_class)
    for manager_class in (Gone, ShopManager):
        manager = manager_class(manager_class.name, storage=storage, plugins=plugins)
        manager.update_configuration(CONFIGURATION)
        manager.fire("paid")
    storage.ahead = ShopManager.dispatch_timeout + 1

    found = recover_once(storage, plugins=plugins)

    assert found.errors == [("gone", "t_ship#0")]
    assert found.dispatched == [("shop", "t_ship#0")]
    assert told in caplog.text


def test_run_forever_outlives_a_pass_that_cannot_be_made(
    manager, storage, plugins, outbox, caplog, monkeypatch
):
    manager.fire("paid")
    outbox.sent.clear()
    storage.ahead = ShopManager.dispatch_timeout + 1
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
    (away, network) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the store is away" in away.message
    assert away.exc_info is None
    assert network.exc_info is not None


def test_run_forever_makes_passes_until_it_is_stopped(manager, storage, plugins, outbox):
    manager.fire("paid")
    outbox.sent.clear()
    storage.ahead = ShopManager.dispatch_timeout + 1
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


def test_the_command_says_what_a_pass_did(manager, storage, plugins, outbox, tasks):
    plugins.add_storage(storage)
    manager.fire("paid")
    die_while_running(tasks, outbox)
    other = ShopManager("other", storage=storage, plugins=plugins)
    other.update_configuration(CONFIGURATION)
    other.fire("paid")
    outbox.sent.clear()
    storage.ahead = ShopManager.dispatch_timeout + 1

    for expected in (["rerun s t_ship#0", "dispatched other t_ship#0"], []):
        ran = CliRunner().invoke(commands.build(plugins), ["recover", "--once"])
        assert ran.exit_code == 0, ran.output
        told = [" ".join(line.split()) for line in ran.output.replace("│", " ").splitlines()]
        assert [line for line in told if "#" in line] == sorted(expected)
    assert sorted(instance.name for _, instance in outbox.sent) == ["t_ship#0", "t_ship#1"]


def test_the_command_exits_with_1_where_something_could_not_be_helped(
    manager, storage, plugins, outbox
):
    plugins.add_storage(storage)
    manager.fire("paid")
    plugins.managers.remove(ShopManager.name)
    storage.ahead = ShopManager.dispatch_timeout + 1

    ran = CliRunner().invoke(commands.build(plugins), ["recover", "--once"])
    assert ran.exit_code == 1
    assert "errors" in ran.output
    assert "t_ship#0" in ran.output
