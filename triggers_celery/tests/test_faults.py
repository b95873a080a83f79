"""What goes wrong between an application, a broker and its workers, and what comes of it."""

import os
import signal
import socket
import sqlite3
import time
from contextlib import closing

import pytest

from triggers_celery import CeleryTaskRunner
from triggers_celery.message import task_id
from triggers_core import DispatchError, Plugins, Reference, TriggerManager
from triggers_core.engine import change
from triggers_core.recovery import recover_once

IMPATIENT_REDIS = {
    "visibility_timeout": 2,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
"""What is not acknowledged after 2 s is delivered again, whether its worker lives or not."""
BUSY_TIMEOUT = 2.0
"""Seconds that a worker waits for the store."""
EXPIRES = 0.1
"""Seconds."""


@pytest.fixture(scope="module")
def open_impatient_shop(open_shop, broker):
    options = IMPATIENT_REDIS if broker.name == "redis" else {}
    return lambda: open_shop(broker, transport_options=options)


@pytest.fixture(scope="module")
def shop(open_impatient_shop):
    shop = open_impatient_shop()
    shop.worker = shop.start_worker(environment={"ORDERS_BUSY_TIMEOUT": str(BUSY_TIMEOUT)})
    return shop


def followed_by_a_note(run):
    return {
        "t_first": {"after": ["go"], "run": run},
        "t_next": {"after": ["t_first"], "run": "orders.note"},
    }


def runner_of(shop):
    return shop.plugins.runner("celery")


def statuses(manager):
    return {instance.name: instance.status for instance in manager.instances()}


@pytest.fixture(scope="module")
def ended(shop, tmp_path_factory, wait_until):
    """What went wrong → a session in which it did, and all has ended since. They take their time
    at the same time."""
    folder = tmp_path_factory.mktemp("killed")
    expiring = followed_by_a_note("orders.retry_as_told")
    expiring["t_first"]["celery"] = {"expires": 3}
    sessions = {
        "over its limit": shop.session(
            followed_by_a_note("orders.hard_limit"), shop.hasty_manager, storage=shop.ledger
        ),
        "longer than expires": shop.session(expiring),
        "longer than visible": shop.session(followed_by_a_note("orders.retry_as_told")),
        "abandoned": shop.session(followed_by_a_note("orders.retry_as_told")),
    }
    sessions["over its limit"].fire("go")
    sessions["longer than expires"].fire("go", {"countdown": 4.0})
    sessions["longer than visible"].fire("go", {"countdown": 4.0})
    sessions["abandoned"].fire("go", {"countdown": 4.0})
    wait_until(lambda: "t_first#1" in statuses(sessions["abandoned"]), "a retry to be asked for")
    sessions["abandoned"].abandon_instance("t_first#1", reason="not needed")
    for name in ("hang_once", "hang_or_fail", "kill_itself"):
        sessions[name] = shop.session(followed_by_a_note(f"orders.{name}"), shop.hasty_manager)
        sessions[name].fire("go", {"pid_file": str(folder / name)})
    for name in ("hang_once", "hang_or_fail"):
        kill_task(folder / name, wait_until)
    shop.recovered = wait_until(
        lambda: recover_once(shop.ledger, plugins=shop.plugins).rerun, "the lease to run out"
    )
    shop.settle()
    shop.settle(shop.ledger)
    return sessions


def kill_task(pid_file, wait_until):
    wait_until(pid_file.exists, "the task to start")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_x6_a_task_whose_process_is_killed_runs_again_and_cascades_once(shop, ended):
    manager = ended["hang_once"]

    assert statuses(manager) == {
        "t_first#0": "replayed",
        "t_first#1": "finished",
        "t_next#0": "finished",
    }
    assert manager.instance("t_first#0").metadata["error"]["type"] == "WorkerLost"
    assert shop.traces_of(manager) == ["t_first#0", "t_first#1", "t_next#0"]


def test_x6_a_task_that_must_not_run_again_fails_when_its_process_is_killed(shop, ended):
    assert statuses(ended["hang_or_fail"]) == {"t_first#0": "failed"}
    assert shop.traces_of(ended["hang_or_fail"]) == ["t_first#0"]


def test_x6_a_task_that_kills_each_process_that_runs_it_does_so_max_retries_times(shop, ended):
    manager = ended["kill_itself"]

    assert statuses(manager) == {"t_first#0": "replayed", "t_first#1": "failed"}
    assert shop.traces_of(manager) == ["t_first#0", "t_first#1"]


def test_x6_a_task_over_its_hard_time_limit_is_for_recovery(shop, ended):
    manager = ended["over its limit"]

    assert shop.recovered == [(manager.session_uid, "t_first#0")]
    assert statuses(manager) == {
        "t_first#0": "replayed",
        "t_first#1": "finished",
        "t_next#0": "finished",
    }


def test_x6_what_a_lost_worker_ran_or_had_fetched_runs_on_another(
    open_impatient_shop, tmp_path, wait_until
):
    shop = open_impatient_shop()
    lost = shop.start_worker("lost", concurrency=1)
    running = shop.session(followed_by_a_note("orders.hang_once"), shop.hasty_manager)
    running.fire("go", {"pid_file": str(tmp_path / "pid")})
    wait_until((tmp_path / "pid").exists, "the task to start")
    fetched = shop.session({"t_note": {"after": ["go"], "run": "orders.note"}})
    fetched.fire("go")
    wait_until(lambda: lost.log().count("received") == 2, "the worker to fetch the second message")
    lost.kill()
    shop.start_worker("other", concurrency=1)
    shop.settle()

    assert statuses(fetched) == {"t_note#0": "finished"}
    assert statuses(running) == {
        "t_first#0": "replayed",
        "t_first#1": "finished",
        "t_next#0": "finished",
    }
    assert shop.traces_of(running) == ["t_first#0", "t_first#1", "t_next#0"]


def test_x1_a_message_delivered_twice_runs_once(shop, tmp_path, wait_until):
    os.mkfifo(tmp_path / "gate")
    manager = shop.session(followed_by_a_note("orders.wait_for_gate"))
    manager.fire("go", {"gate": str(tmp_path / "gate")})
    wait_until(lambda: shop.traces_of(manager), "the task to start")
    runner_of(shop).run(manager, manager.instance("t_first#0"))
    wait_until(lambda: dropped(shop, manager, "t_first#0"), "the worker to drop the second message")
    (tmp_path / "gate").write_text("open")
    shop.settle()

    assert statuses(manager) == {"t_first#0": "finished", "t_next#0": "finished"}
    assert shop.traces_of(manager) == ["t_first#0", "t_next#0"]


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_x1_a_task_that_runs_longer_than_the_visibility_timeout_runs_once(
    shop, tmp_path, wait_until
):
    os.mkfifo(tmp_path / "gate")
    manager = shop.session(followed_by_a_note("orders.wait_for_gate"))
    manager.fire("go", {"gate": str(tmp_path / "gate")})
    wait_until(lambda: dropped(shop, manager, "t_first#0"), "Redis to deliver the message again")
    (tmp_path / "gate").write_text("open")
    shop.settle()

    assert statuses(manager) == {"t_first#0": "finished", "t_next#0": "finished"}
    assert shop.traces_of(manager) == ["t_first#0", "t_next#0"]


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_x4_a_cooldown_longer_than_the_visibility_timeout_runs_once(shop, ended, wait_until):
    manager = ended["longer than visible"]
    message_id = task_id(Reference.to(manager, manager.instance("t_first#1")))
    wait_until(lambda: all_received_ended(shop, message_id), "every message of the clone to end")

    assert statuses(manager) == {
        "t_first#0": "replayed",
        "t_first#1": "finished",
        "t_next#0": "finished",
    }
    assert shop.traces_of(manager) == ["t_first#0", "t_first#1", "t_next#0"]
    assert not dropped(shop, manager, "t_first#1")


def all_received_ended(shop, message_id):
    log = shop.worker.log()
    ended = sum(log.count(f"[{message_id}] {end}") for end in ("ignored", "succeeded"))
    return ended == log.count(f"[{message_id}] received")


def test_x1_a_late_message_of_a_finished_instance_is_dropped(shop, wait_until):
    manager = shop.session(followed_by_a_note("orders.note"))
    manager.fire("go")
    shop.settle()
    before = manager.instances()
    runner_of(shop).run(manager, manager.instance("t_first#0"))
    wait_until(lambda: dropped(shop, manager, "t_first#0"), "the worker to drop the late message")

    assert manager.instances() == before
    assert shop.traces_of(manager) == ["t_first#0", "t_next#0"]


def test_a_message_that_is_queued_for_an_abandoned_instance_is_dropped(
    open_shop, broker, wait_until
):
    shop = open_shop(broker)
    manager = shop.session(followed_by_a_note("orders.note"))
    manager.fire("go")
    manager.abandon_instance("t_first#0", reason="not needed")
    shop.worker = shop.start_worker()
    wait_until(lambda: dropped(shop, manager, "t_first#0"), "the worker to drop the message")

    assert statuses(manager) == {"t_first#0": "abandoned"}
    assert shop.traces_of(manager) == []


def test_what_is_queued_when_its_session_is_cancelled_does_not_run(open_shop, broker, wait_until):
    shop = open_shop(broker)
    manager = shop.session(followed_by_a_note("orders.note"))
    manager.fire("go")
    assert manager.cancel(reason="not needed").abandoned == ("t_first#0",)
    shop.worker = shop.start_worker()
    wait_until(lambda: dropped(shop, manager, "t_first#0"), "the worker to drop the message")

    assert statuses(manager) == {"t_first#0": "abandoned"}
    assert shop.traces_of(manager) == []


def test_a_retry_that_is_abandoned_in_its_cooldown_is_not_made(shop, ended, wait_until):
    manager = ended["abandoned"]
    wait_until(lambda: dropped(shop, manager, "t_first#1"), "the worker to drop the message")

    assert statuses(manager) == {"t_first#0": "replayed", "t_first#1": "abandoned"}
    assert shop.traces_of(manager) == ["t_first#0"]


def test_x4_a_cooldown_longer_than_expires_runs_all_the_same(ended):
    assert statuses(ended["longer than expires"])["t_first#1"] == "finished"


def dropped(shop, manager, instance_name):
    what = f"'{manager.session_uid}': dropped a message for {instance_name}"
    return [line for line in shop.worker.log().splitlines() if what in line and ": INFO/" in line]


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"manager": "gone"}, "no manager 'gone' is registered (registered: hasty, triggers"),
        ({"storage": "gone"}, "; call plugins.add_storage(…) at start-up, or for 'default' set "),
        ({"session": "gone"}, "session 'gone' has no instance 't_note#0'"),
        ({"instance": "t_note#7"}, "has no instance 't_note#7'"),
        ({"instance": "t_note"}, "'t_note' is no instance name"),
        ({"attempt": "first"}, "'attempt' must be an int from 1, not 'first'"),
        ({"kwargs": {}}, "expected a mapping with exactly attempt, instance, manager, session,"),
        (None, "expected a mapping with exactly attempt, instance, manager, session, storage"),
    ],
)
def test_a_message_that_cannot_be_followed_is_rejected_once_with_advice(
    shop, wait_until, change, advice
):
    manager = shop.session({"t_note": {"after": ["go"], "run": "orders.note"}})
    manager.fire("go")
    shop.settle()
    reference = Reference.to(manager, manager.instance("t_note#0")).to_dict()
    message = None if change is None else {**reference, **change}
    sent = shop.app.send_task("orders.note", args=[message])

    line = wait_until(lambda: rejected(shop, sent.id), "the worker to reject the message")[0]
    assert advice in line
    assert_worker_goes_on(shop)
    assert len(rejected(shop, sent.id)) == 1
    assert shop.traces_of(manager) == ["t_note#0"]


def test_a_message_that_went_to_another_task_is_rejected(shop, wait_until):
    manager = shop.session({"t_note": {"after": ["go"], "run": "orders.note"}})
    manager.fire("go")
    shop.settle()
    reference = Reference.to(manager, manager.instance("t_note#0")).to_dict()
    sent = shop.app.send_task("orders.where", args=[reference])

    line = wait_until(lambda: rejected(shop, sent.id), "the worker to reject the message")[0]
    assert "runs 'orders.note', but the message went to 'orders.where'" in line
    assert_worker_goes_on(shop)


def test_a_message_of_a_task_that_the_worker_does_not_have_stops_nothing(shop, wait_until):
    sent = shop.app.send_task("orders.gone", args=[{}])

    wait_until(lambda: sent.id in shop.worker.log(), "the worker to get the message")
    assert "Received unregistered task of type 'orders.gone'" in shop.worker.log()
    assert_worker_goes_on(shop)


def rejected(shop, message_id):
    lines = shop.worker.log().splitlines()
    return [line for line in lines if f"message {message_id} is rejected" in line]


def assert_worker_goes_on(shop):
    manager = shop.session({"t_note": {"after": ["go"], "run": "orders.note"}})
    manager.fire("go")
    shop.settle()
    assert statuses(manager) == {"t_note#0": "finished"}


def test_while_the_store_cannot_be_used_a_message_is_kept(open_shop, broker, wait_until):
    shop = open_shop(broker)
    path = shop.folder / "not-mounted-yet"
    environment = {"TRIGGERS_STORAGE": f"sqlite:///{path / shop.storage.path.name}"}
    worker = shop.start_worker("worker", concurrency=1, environment=environment)
    manager = shop.session(followed_by_a_note("orders.note"))
    manager.fire("go")
    wait_until(lambda: "is tried again in" in worker.log(), "the worker to miss its store")
    path.symlink_to(shop.folder)
    shop.settle()

    assert statuses(manager) == {"t_first#0": "finished", "t_next#0": "finished"}
    assert shop.traces_of(manager) == ["t_first#0", "t_next#0"]


def test_x6_a_task_whose_end_cannot_be_recorded_runs_again(shop, tmp_path, wait_until):
    os.mkfifo(tmp_path / "gate")
    manager = shop.session(followed_by_a_note("orders.wait_for_gate"), shop.hasty_manager)
    manager.fire("go", {"gate": str(tmp_path / "gate")})
    wait_until(lambda: shop.traces_of(manager), "the task to start")
    message_id = task_id(Reference.to(manager, manager.instance("t_first#0")))
    with closing(sqlite3.connect(shop.storage.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (tmp_path / "gate").write_text("open")
        tried_again = f"message {message_id} is tried again in"
        wait_until(lambda: tried_again in shop.worker.log(), "the worker to miss its store")
    wait_until(lambda: len(shop.traces_of(manager)) > 1, "the lease to run out")
    (tmp_path / "gate").write_text("open")
    shop.settle()

    assert statuses(manager) == {
        "t_first#0": "replayed",
        "t_first#1": "finished",
        "t_next#0": "finished",
    }
    assert shop.traces_of(manager) == ["t_first#0", "t_first#1", "t_next#0"]


def test_f7_what_a_broker_refuses_is_recorded_and_recovery_sends_it(
    shop, broker, load_orders, monkeypatch, wait_until
):
    monkeypatch.setattr(change, "DISPATCH_RETRY_SECONDS", 0.0)
    with closing(socket.socket()) as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        host, port = closed_port.getsockname()
        scheme = broker.url.partition(":")[0]
        policy = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1}
        settings = {
            "broker_url": f"{scheme}://{host}:{port}//",
            "broker_connection_timeout": 1,
            "task_publish_retry_policy": policy,
        }
        plugins = Plugins()
        plugins.use_runner(CeleryTaskRunner(load_orders(settings).app))
        manager = TriggerManager("refused", storage=shop.storage, plugins=plugins)
        manager.update_configuration(followed_by_a_note("orders.note"))
        with pytest.raises(DispatchError, match="'recover' will send") as refused:
            manager.fire("go", {"amount": 3}, event_id="payment-1")
    again = manager.fire("go", {"amount": 3}, event_id="payment-1")

    assert refused.value.instance_names == again.scheduled == ("t_first#0",)
    assert statuses(manager) == {"t_first#0": "scheduled"}

    recovered = recover_once(shop.storage, plugins=shop.plugins)
    shop.settle()
    assert recovered.dispatched == [("refused", "t_first#0")]
    assert statuses(manager) == {"t_first#0": "finished", "t_next#0": "finished"}
    assert shop.traces_of(manager) == ["t_first#0", "t_next#0"]


def test_f7_what_a_broker_refuses_of_a_worker_is_logged_and_a_later_dispatch_sends_it(
    open_shop, rabbitmq, wait_until
):
    queue, full = rabbitmq.new_queue(), rabbitmq.new_queue()
    refuses_a_second = {"x-max-length": 1, "x-overflow": "reject-publish"}
    shop = open_shop(
        rabbitmq,
        task_default_queue=queue,
        task_queues={
            queue: {"exchange": queue, "routing_key": queue},
            full: {"exchange": full, "routing_key": full, "queue_arguments": refuses_a_second},
        },
    )
    configuration = followed_by_a_note("orders.note")
    configuration["t_next"]["celery"] = {"queue": full}
    worker = shop.start_worker(concurrency=1)
    first, second = (shop.session(configuration) for _ in range(2))
    first.fire("go")
    wait_until(lambda: len(first.instances()) == 2, "the queue to be full")
    second.fire("go")
    refused = f"session {second.session_uid!r}: t_next#0 did not reach a runner"
    wait_until(lambda: refused in worker.log(), "the worker to tell")

    assert statuses(second) == {"t_first#0": "finished", "t_next#0": "scheduled"}

    shop.take_message(full)
    instance = second.instance("t_next#0")
    runner_of(shop).run(second, instance)
    assert shop.take_message(full).headers["id"] == task_id(Reference.to(second, instance))


def test_what_expires_in_rabbitmq_runs_nothing_and_is_for_recovery(open_shop, rabbitmq, wait_until):
    shop = open_shop(rabbitmq)
    configuration = followed_by_a_note("orders.note")
    configuration["t_first"]["celery"] = {"expires": EXPIRES}
    manager = shop.session(configuration)
    manager.fire("go")
    is_late = time.time() + EXPIRES
    wait_until(lambda: time.time() > is_late, "the message to expire")
    later = shop.session(followed_by_a_note("orders.note"))
    later.fire("go")
    shop.start_worker(concurrency=1)
    wait_until(lambda: len(shop.traces_of(later)) == 2, "the messages after it to be done")

    assert shop.traces_of(manager) == []
    assert statuses(manager) == {"t_first#0": "scheduled"}
