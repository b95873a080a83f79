"""What each of Celery's ways of ending a task does to the instance, on a real worker."""

from itertools import pairwise

import pytest

from triggers_celery.message import task_id
from triggers_core import Reference

RUNS = {
    "described": ["finished"],
    "in_context": ["replayed", "finished"],
    "in_context_in_vain": ["replayed", "failed"],
    "retry_before_start": ["finished"],
    "retry_countdown": ["replayed", "replayed", "finished"],
    "retry_eta": ["replayed", "finished"],
    "retry_default_delay": ["replayed", "finished"],
    "retry_exceeded": ["replayed", "failed"],
    "retry_without_end": [*["replayed"] * 5, "finished"],
    "retry_wrongly": ["failed"],
    "autoretry": ["replayed", "replayed", "finished"],
    "raise_retry": ["replayed", "finished"],
    "ignore": ["skipped"],
    "reject": ["failed"],
    "reject_and_requeue": ["replayed", "finished"],
    "soft_limit": ["failed"],
    "fail": ["failed"],
    "leave": ["failed"],
    "bad_result": ["failed"],
}
"""Task → how the instance that was fired, and each clone after it, ended."""

COOLDOWNS = {
    "retry_countdown": [0.5, 0.5],
    "retry_eta": [0.5],
    "retry_default_delay": [0.5],
    "autoretry": [1.0, 2.0],
    "raise_retry": [0.5],
}
"""Task → seconds from the end of each try to the earliest start of the next."""

ERRORS = {
    "in_context": ("ConnectionError", "the bank is closed"),
    "retry_countdown": ("ValueError", "the bank is closed"),
    "retry_default_delay": ("LookupError", "no such account"),
    "retry_exceeded": ("ValueError", "the bank is closed"),
    "retry_wrongly": ("ConfigurationError", "cooldown must be seconds from 0 to "),
    "autoretry": ("ConnectionError", "the bank is closed"),
    "raise_retry": ("ValueError", "the bank is closed"),
    "reject": ("Reject", "('not ours', False)"),
    "reject_and_requeue": ("Reject", "('not now', True)"),
    "soft_limit": ("SoftTimeLimitExceeded", "SoftTimeLimitExceeded()"),
    "fail": ("ZeroDivisionError", "nothing to divide by"),
    "leave": ("SystemExit", "3"),
}
"""Task → type of the error, and how its message begins, that the first instance keeps."""

CELERY_STATES = {"finished": "SUCCESS", "failed": "FAILURE", "replayed": "RETRY"}
TOLD_TO_CELERY = sorted(RUNS.keys() - {"ignore", "leave"})


@pytest.fixture(scope="module")
def shop(open_shop, redis):
    results = {"global_keyprefix": f"{redis.prefix}-"}
    shop = open_shop(redis, result_backend=redis.url, result_backend_transport_options=results)
    shop.start_worker()
    return shop


@pytest.fixture(scope="module")
def sessions(shop):
    """Task → a session in which it was fired, and has ended, and what waits for it as well."""
    sessions = {
        name: shop.session(
            {
                "t_first": {"after": ["go"], "run": f"orders.{name}"},
                "t_next": {"after": ["t_first"], "run": "orders.note"},
            }
        )
        for name in RUNS
    }
    for manager in sessions.values():
        manager.fire("go")
    shop.settle()
    return sessions


@pytest.mark.parametrize("name", RUNS)
def test_x4_an_end_in_celerys_way_is_an_end_of_the_instance(sessions, name):
    found = sessions[name].instances("t_first")

    assert [instance.status for instance in found] == RUNS[name]
    assert [instance.attempt for instance in found] == list(range(1, len(found) + 1))
    parents = [instance.parent for instance in found]
    assert parents == [None, *(instance.name for instance in found[:-1])]


@pytest.mark.parametrize("name", RUNS)
def test_x3_a_cascade_follows_where_the_task_finished_in_the_end(sessions, name):
    last = sessions[name].instances("t_first")[-1]
    found = sessions[name].instances("t_next")

    if last.status == "finished":
        assert [instance.status for instance in found] == ["finished"]
        assert found[0].trigger_kwargs == {"t_first": last.metadata["result"]}
    else:
        assert found == []


@pytest.mark.parametrize("name", COOLDOWNS)
def test_x4_a_clone_runs_no_sooner_than_celerys_countdown(sessions, name):
    found = sessions[name].instances("t_first")
    pairs = list(pairwise(found))

    waits = [clone.not_before - tried.changed_at for tried, clone in pairs]
    assert waits == pytest.approx(COOLDOWNS[name], abs=0.2)
    assert all(clone.changed_at >= clone.not_before for _, clone in pairs)


@pytest.mark.parametrize("name", ERRORS)
def test_x4_the_instance_keeps_the_error(sessions, name):
    error = sessions[name].instance("t_first#0").metadata["error"]

    expected_type, beginning = ERRORS[name]
    assert error["type"] == expected_type
    assert error["message"].startswith(beginning)


def test_x4_a_retry_after_the_last_one_fails_the_instance_for_its_reason(sessions):
    error = sessions["retry_exceeded"].instance("t_first#1").metadata["error"]

    assert error["type"] == "MaxRetriesExceeded"
    assert "ValueError: the bank is closed" in error["traceback"]


def test_x1_a_class_with_a_call_of_its_own_claims_what_it_runs(shop, sessions):
    manager = sessions["in_context"]
    assert manager.instance("t_first#1").metadata["result"] == {"is_in_context": True}
    assert shop.traces_of(manager) == ["t_first#0", "t_first#1", "t_next#0"]


def test_a_class_based_task_runs_as_itself(sessions):
    result = sessions["described"].instance("t_first#0").metadata["result"]

    assert result == {"task": "orders.described", "took": ["go"]}


@pytest.mark.parametrize("name", TOLD_TO_CELERY)
def test_celery_knows_how_each_instance_ended(shop, sessions, name, wait_until):
    for instance in sessions[name].instances("t_first"):
        result = celery_result(shop, sessions[name], instance)
        wait_until(lambda result=result: result.state != "PENDING", "the worker to tell")

        assert result.state == CELERY_STATES[instance.status]
        if result.state == "SUCCESS":
            assert result.result == instance.metadata["result"]
        elif result.state == "FAILURE" and name != "bad_result":
            assert type(result.result).__name__ == instance.metadata["error"]["type"]


@pytest.mark.parametrize("name", ["ignore", "leave"])
def test_celery_keeps_no_state_of_what_is_ignored_or_has_no_process_left(shop, sessions, name):
    (instance,) = sessions[name].instances("t_first")

    assert celery_result(shop, sessions[name], instance).state == "PENDING"


def test_a_rejected_message_goes_to_the_dead_letters(open_shop, rabbitmq, wait_until):
    queue, dead_letters = rabbitmq.new_queue(), rabbitmq.new_queue()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_letters}
    shop = open_shop(
        rabbitmq,
        task_default_queue=queue,
        task_queues={queue: {"exchange": queue, "queue_arguments": arguments}},
    )
    with shop.app.connection_for_write() as connection:
        connection.default_channel.queue_declare(dead_letters, durable=True, auto_delete=False)
    shop.start_worker(concurrency=1)
    manager = shop.session({"t_first": {"after": ["go"], "run": "orders.reject"}})
    manager.fire("go")
    shop.settle()

    message = wait_until(lambda: shop.take_message(dead_letters), "the dead letter")
    assert message.headers["id"] == task_id(Reference.to(manager, manager.instance("t_first#0")))


def celery_result(shop, manager, instance):
    return shop.app.AsyncResult(task_id(Reference.to(manager, instance)))
