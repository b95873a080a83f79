"""What is on the broker between the application and its workers."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from kombu.transport.native_delayed_delivery import calculate_routing_key

from triggers_celery.directive import LONGEST_EXPIRES
from triggers_celery.message import LONGEST_COUNTDOWN, publish, task_id
from triggers_celery.task import as_trigger_task
from triggers_core import DispatchError, Reference, execute

NOTE = {"t_note": {"after": ["go"], "run": "orders.note"}}


@pytest.fixture(scope="module")
def shop(open_shop, broker):
    return open_shop(broker, task_serializer="pickle", accept_content=["json", "pickle"])


def test_a_message_is_a_json_reference_and_nothing_more(shop):
    manager = shop.session(NOTE)
    manager.fire("go", {"card": "4000-1234"})

    message = shop.take_message()
    args, kwargs, _ = json.loads(message.body)
    assert message.content_type == "application/json"
    assert kwargs == {}
    assert args == [
        {
            "manager": "triggers",
            "storage": "default",
            "session": manager.session_uid,
            "instance": "t_note#0",
            "attempt": 1,
        }
    ]
    assert message.headers["argsrepr"] == f"('{manager.session_uid}', 't_note#0', 1)"
    everything = repr((message.body, message.headers, message.properties))
    assert "4000-1234" not in everything
    assert str(shop.storage.path) not in everything


def test_a_task_id_depends_on_nothing_but_the_instance(shop):
    manager, other = shop.session(NOTE), shop.session(NOTE)
    manager.fire("go")
    other.fire("go")
    instance = manager.instance("t_note#0")
    shop.plugins.runner("celery").run(manager, instance)

    first, of_other, again = (shop.take_message().headers["id"] for _ in range(3))
    assert first == again == task_id(Reference.to(manager, instance))
    assert first != of_other


@pytest.mark.parametrize(("countdown", "sent"), [(0.4, 1.0), (1.4, 1.4)])
def test_x4_where_rabbitmq_delays_for_whole_seconds_no_message_is_refused(
    shop, monkeypatch, countdown, sent
):
    manager = shop.session(NOTE)
    manager.fire("go")
    task = shop.app.tasks["orders.note"]
    countdowns = []

    def apply_async(*, countdown, **_):
        calculate_routing_key(int(countdown), "queue")  # as Celery does for a quorum queue
        countdowns.append(countdown)

    monkeypatch.setattr(task, "apply_async", apply_async)
    publish(task, manager, manager.instance("t_note#0"), countdown=countdown)

    assert countdowns == [sent]
    shop.take_message()


def test_the_directive_says_how_a_message_is_sent(shop, broker):
    queue = broker.new_queue()
    options = {"queue": queue, "priority": 7, "headers": {"tenant": "a"}, "expires": 3600}
    manager = shop.session({"t_note": {**NOTE["t_note"], "celery": options}})
    before = now()
    manager.fire("go")

    message = shop.take_message(queue)
    assert message.properties["priority"] == 7
    assert message.headers["tenant"] == "a"
    assert before <= expires(message) - timedelta(hours=1) <= now()


def test_the_longest_expires_that_the_directive_takes_is_one_that_brokers_take(shop):
    options = {"expires": LONGEST_EXPIRES}
    manager = shop.session({"t_note": {**NOTE["t_note"], "celery": options}})
    manager.fire("go")

    assert expires(shop.take_message()) > now() + timedelta(days=40)


@pytest.mark.parametrize(("cooldown", "held"), [(30.0, 30.0), (86_400.0, LONGEST_COUNTDOWN)])
def test_no_worker_holds_a_message_for_long(shop, cooldown, held):
    before = now()
    message = message_of_retry(shop, cooldown)

    assert before <= eta(message) - timedelta(seconds=held) <= now()
    assert message.headers["retries"] == 1


def test_a_worker_holds_no_message_for_longer_than_half_the_visibility_timeout(open_shop, redis):
    shop = open_shop(redis, transport_options={"visibility_timeout": 20})
    before = now()
    message = message_of_retry(shop, 30.0)

    assert before <= eta(message) - timedelta(seconds=10) <= now()


def test_a_message_expires_some_time_after_it_is_due(shop):
    message = message_of_retry(shop, 30.0, {"expires": 5})

    assert round((expires(message) - eta(message)).total_seconds(), 1) == 5


def test_a_message_that_rabbitmq_refuses_is_a_dispatch_error(open_shop, rabbitmq):
    shop = open_shop(rabbitmq, **queue_of_one(rabbitmq))
    manager = shop.session(NOTE)
    manager.fire("go")

    with pytest.raises(DispatchError, match="t_note#0"):
        shop.session(NOTE).fire("go")


def test_an_application_may_do_without_confirmation(open_shop, rabbitmq):
    shop = open_shop(
        rabbitmq, transport_options={"confirm_publish": False}, **queue_of_one(rabbitmq)
    )
    for _ in range(2):
        shop.session(NOTE).fire("go")

    assert shop.app.conf.broker_transport_options["confirm_publish"] is False


def message_of_retry(shop, cooldown, options=None):
    """Return the message of the clone that a task's retry, executed here, leaves behind."""
    run = "orders.retry_as_told"
    manager = shop.session({"t": {"after": ["go"], "run": run, "celery": options or {}}})
    manager.fire("go", {"countdown": cooldown})
    shop.take_message()
    task = as_trigger_task(shop.app.tasks[run])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_TRACES", str(shop.traces))
        ended = execute(manager, manager.instance("t#0"), resolve=lambda *_: task)
    assert ended.status == "replayed", ended.metadata
    return shop.take_message()


def queue_of_one(broker):
    """Return the settings of an app whose queue refuses a second message."""
    name = broker.new_queue()
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = {"exchange": name, "routing_key": name, "queue_arguments": arguments}
    return {"task_default_queue": name, "task_queues": {name: queue}}


def now():
    return datetime.now(timezone.utc)


def eta(message):
    return datetime.fromisoformat(message.headers["eta"])


def expires(message):
    return datetime.fromisoformat(message.headers["expires"])
