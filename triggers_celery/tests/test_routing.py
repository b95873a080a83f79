"""A task runs where the application's own router sends it."""

import pytest


@pytest.fixture(scope="module")
def shop(open_shop, broker):
    front, back = broker.new_queue(), broker.new_queue()
    shop = open_shop(
        broker,
        task_default_queue=front,
        task_routes={"orders.elsewhere": {"queue": back}},
    )
    shop.start_worker("front", queue=front, concurrency=1)
    shop.start_worker("back", queue=back, concurrency=1)
    shop.back = back
    return shop


def test_each_task_runs_where_the_router_sends_it(shop):
    configuration = {
        "t_front": {"after": ["go"], "run": "orders.where"},
        "t_back": {"after": ["go"], "run": "orders.elsewhere"},
        "t_to_back": {"after": ["t_front"], "run": "orders.elsewhere"},
        "t_to_front": {"after": ["t_back"], "run": "orders.where"},
    }
    managers = [shop.session(configuration) for _ in range(5)]
    for manager in managers:
        manager.fire("go")
    shop.settle()

    for manager in managers:
        assert {i.task_name: (worker_of(i), queue_of(i)) for i in manager.instances()} == {
            "t_front": ("front@test", shop.queue),
            "t_back": ("back@test", shop.back),
            "t_to_back": ("back@test", shop.back),
            "t_to_front": ("front@test", shop.queue),
        }


def test_the_directive_goes_before_the_router_and_reaches_the_task(shop):
    options = {"queue": shop.back, "priority": 3, "headers": {"tenant": "a"}, "expires": 600}
    manager = shop.session({"t_first": {"after": ["go"], "run": "orders.where", "celery": options}})
    manager.fire("go")
    shop.settle()

    assert manager.instance("t_first#0").metadata["result"] == {
        "worker": "back@test",
        "queue": shop.back,
        "priority": 3,
        "tenant": "a",
    }


def worker_of(instance):
    return instance.metadata["result"]["worker"]


def queue_of(instance):
    return instance.metadata["result"]["queue"]
