"""What a person mends, on PostgreSQL: rules 5 to 8 of docs/concepts.md."""

import threading

import pytest

from triggers_core import ConfigurationOutcome, InvalidTransition, Status, execute, trigger_task
from triggers_core.recovery import recover_once

DEADLINE_SECONDS = 30.0
ROUNDS = 10
SHIP = {"after": ["paid", "packed"], "run": "shop.ship"}
REMIND = {"after": ["ordered", "evening"], "run": "shop.remind"}


@pytest.fixture
def order(storage, open_session):
    return open_session(storage, configuration={"t_ship": SHIP, "t_remind": REMIND})


def everything(schema, admin):
    """Return all that the store holds."""
    admin.execute(f'SET search_path TO "{schema}"')
    tables = ("sessions", "configurations", "instances", "waiting", "triggers")
    return [admin.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]


def test_what_is_abandoned_takes_nothing_more_and_is_not_recovered(order, storage, idle_runner):
    order.fire("paid")
    order.update_configuration({"t_next": {"after": ["paid"], "run": "shop.next"}})
    order.fire("paid")
    assert idle_runner.accepted == ["t_next#0"]

    for name in ("t_ship#0", "t_next#0"):
        abandoned = order.abandon_instance(name, reason="the shop has closed", by="Ada")
        assert abandoned == order.instance(name)
        assert abandoned.status is Status.ABANDONED
        assert (abandoned.metadata["reason"], abandoned.metadata["by"]) == (
            "the shop has closed",
            "Ada",
        )

    assert order.fire("packed").taken == ()
    assert recover_once(storage, plugins=order.plugins).count == 0


def test_of_a_claim_and_an_abandonment_at_once_one_happens(make_storage, open_session):
    runs, abandoned = [], []
    here, there = make_storage(), make_storage()
    for number in range(ROUNDS):
        manager, worker = (open_session(each, f"s{number}") for each in (here, there))
        manager.update_configuration({"t_ship": {**SHIP, "after": ["paid"]}})
        manager.fire("paid")
        message = manager.instance("t_ship#0")
        start = threading.Barrier(2)

        def give_up(manager=manager, start=start):
            start.wait(DEADLINE_SECONDS)
            try:
                manager.abandon_instance("t_ship#0", reason="closed")
            except InvalidTransition:
                return
            abandoned.append(manager.session_uid)

        def work(worker=worker, message=message, start=start):
            start.wait(DEADLINE_SECONDS)
            execute(worker, message, resolve=lambda *_: trigger_task(runs.append))

        both = [threading.Thread(target=each) for each in (give_up, work)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()
        was_given_up = manager.session_uid in abandoned
        wanted = Status.ABANDONED if was_given_up else Status.FINISHED
        assert manager.instance("t_ship#0").status is wanted

    assert len(runs) + len(abandoned) == ROUNDS


def test_what_waits_is_taken_over_and_found_by_what_it_waits_for_now(order, idle_runner):
    order.fire_many([("weighed", {"kg": 2}), ("paid", {"amount": 1})])
    order.update_configuration({"t_ship": {**SHIP, "after": ["paid", "weighed", "stamped"]}})

    taken_over = order.update_instance_configuration("t_ship#0")

    assert taken_over == order.instance("t_ship#0")
    assert taken_over.waits_for == {"stamped"}
    assert taken_over.trigger_kwargs == {"paid": {"amount": 1}, "weighed": {"kg": 2}}
    assert order.fire("packed").taken == ()
    assert order.fire("stamped").scheduled == ("t_ship#0",)
    assert idle_runner.accepted == ["t_ship#0"]


def test_a_step_is_retired_and_what_waits_is_dealt_with_in_one_go(
    order, idle_runner, admin, schema
):
    order.fire_many([("ordered",), ("paid",)])
    change = {
        "configuration": {"t_ship": {**SHIP, "after": ["paid"]}},
        "replace": True,
        "abandon_retired": True,
        "update_instances": True,
    }
    before = everything(schema, admin)

    told = order.update_configuration(**change, dry_run=True)
    assert everything(schema, admin) == before
    done = order.update_configuration(**change)

    assert told == done
    assert done == ConfigurationOutcome(
        replaced=("t_ship",),
        retired=("t_remind",),
        updated=("t_ship#0",),
        scheduled=("t_ship#0",),
        abandoned=("t_remind#0",),
    )
    assert idle_runner.accepted == ["t_ship#0"]
    assert order.fire("evening").taken == ()
    assert not order.update_configuration(**change).is_change
