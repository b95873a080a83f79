"""A message that expired is not the end of its instance, which is sent again."""

from triggers_celery.message import task_id
from triggers_core import Reference


def test_a_worker_that_met_an_expired_message_takes_the_one_that_is_sent_again(
    open_shop, redis, wait_until
):
    shop = open_shop(redis)
    options = {"expires": 0.001}
    manager = shop.session({"t_note": {"after": ["go"], "run": "orders.note", "celery": options}})
    manager.fire("go")
    worker = shop.start_worker()
    wait_until(lambda: "Discarding revoked task: orders.note" in worker.log(), "the expiry")
    assert manager.instance("t_note#0").status == "scheduled"

    reference = Reference.to(manager, manager.instance("t_note#0"))
    task = shop.app.tasks["orders.note"]
    task.apply_async([reference.to_dict()], task_id=task_id(reference))
    shop.settle()

    assert manager.instance("t_note#0").status == "finished"
