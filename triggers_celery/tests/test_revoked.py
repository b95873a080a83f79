"""A task that is revoked, before it starts or while it runs, fails, and stays so."""

import os

import pytest

from triggers_celery.message import task_id
from triggers_core import Reference
from triggers_core.recovery import recover_once

WAIT = {
    "t_wait": {"after": ["go"], "run": "orders.wait_for_gate"},
    "t_next": {"after": ["t_wait"], "run": "orders.note"},
}


@pytest.fixture
def shop(open_shop, redis):
    exchange = f"{redis.prefix}-control"
    return open_shop(redis, worker_enable_remote_control=True, control_exchange=exchange)


def message_id(manager):
    return task_id(Reference.to(manager, manager.instance("t_wait#0")))


def test_what_is_revoked_fails_and_is_not_sent_again(shop, tmp_path, wait_until):
    os.mkfifo(tmp_path / "gate")
    running, queued = (shop.session(WAIT, shop.hasty_manager) for _ in range(2))
    for manager in (running, queued):
        manager.fire("go", {"gate": str(tmp_path / "gate")})
    worker = shop.start_worker(concurrency=1)
    wait_until(lambda: running.instance("t_wait#0").status == "running", "the first to start")
    wait_until(lambda: worker.log().count("received") == 2, "the second to be received")
    shop.app.control.revoke(message_id(queued))
    wait_until(lambda: "Tasks flagged as revoked" in worker.log(), "the second to be revoked")
    shop.app.control.revoke(message_id(running), terminate=True)
    shop.settle()

    for manager in (running, queued):
        [instance] = manager.instances()
        assert instance.status == "failed"
        assert instance.metadata["error"]["type"] == "TaskRevokedError"
    assert recover_once(shop.storage, plugins=shop.plugins).count == 0


def test_what_is_revoked_and_cannot_be_opened_is_logged(shop, wait_until):
    reference = {
        "manager": "triggers",
        "storage": "attic",
        "session": "s",
        "instance": "t_wait#0",
        "attempt": 1,
    }
    worker = shop.start_worker()
    shop.app.control.revoke("some-id")
    wait_until(lambda: "Tasks flagged as revoked" in worker.log(), "the revocation")
    shop.app.tasks["orders.note"].apply_async([reference], task_id="some-id")
    wait_until(
        lambda: "message some-id ends by TaskRevokedError, but its instance" in worker.log(),
        "the message to be discarded",
    )
    assert "no storage has the alias 'attic'" in worker.log()
