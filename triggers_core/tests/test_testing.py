"""The toolbox for applications' own tests, used as an application uses it."""

import pytest

from triggers_core import TriggerManager, trigger_task
from triggers_core.testing import (
    TriggerBench,
    assert_abandoned,
    assert_failed,
    assert_finished,
    assert_missing,
    assert_replayed,
    assert_skipped,
    assert_unstarted,
    dump,
)

CONFIGURATION = {
    "t_ship": {"after": ["paid", "packed"], "unless": ["cancelled"], "run": "shop.ship"},
    "t_thank": {"after": ["t_ship"], "run": "shop.thank", "using": "threading"},
}


@trigger_task
def ship(context):
    return {"to": context.trigger_kwargs["packed"]["to"]}


@trigger_task
def thank(context):
    return {"thanked": context.trigger_kwargs["t_ship"]["to"]}


@trigger_task
def break_down(context):
    raise RuntimeError("no van")


@trigger_task
def give_up(context):
    context.skip()


@trigger_task(cooldown=60)
def ship_at_second_try(context):
    if context.attempt == 1:
        context.retry()
    return {"to": "x"}


@pytest.fixture
def manager(trigger_bench, trigger_manager):
    trigger_bench.use_tasks({"shop.ship": ship, "shop.thank": thank})
    trigger_manager.update_configuration(CONFIGURATION)
    return trigger_manager


def fire_all(manager):
    manager.fire("paid", {"amount": 3})
    manager.fire("packed", {"to": "Delft"})


def test_a_join_and_its_cascade_have_finished_once_the_bench_has_settled(trigger_bench, manager):
    fire_all(manager)
    trigger_bench.settle()

    assert_finished(manager, "t_ship#0", kwargs={"paid": {"amount": 3}, "packed": {"to": "Delft"}})
    assert_finished(manager, "t_thank#0", result={"thanked": "Delft"})
    assert_missing(manager, "t_thank#1")


def test_an_instance_waits_for_what_has_not_fired(manager):
    manager.fire("paid", {"amount": 3})

    assert_unstarted(
        manager, "t_ship#0", waits_for=["packed", "cancelled"], kwargs={"paid": {"amount": 3}}
    )


def test_abandoned_and_skipped_instances_are_told_apart(trigger_bench, manager):
    manager.fire("cancelled")
    assert_abandoned(manager, "t_ship#0")

    trigger_bench.use_tasks({"shop.thank": give_up})
    manager.fire("t_ship", {"to": "Delft"})
    trigger_bench.settle()
    assert_skipped(manager, "t_thank#0")


def test_an_expected_failure_is_resolved_by_the_assertion(trigger_bench, manager):
    trigger_bench.use_tasks({"shop.ship": break_down})
    fire_all(manager)
    trigger_bench.settle()

    assert_failed(manager, "t_ship#0", error="RuntimeError")
    trigger_bench.check_resolved()


def test_a_cooldown_ends_when_the_frozen_clock_has_passed_it(trigger_bench, manager):
    trigger_bench.use_tasks({"shop.ship": ship_at_second_try})
    fire_all(manager)
    trigger_bench.advance(59)
    assert_replayed(manager, "t_ship#0", by="t_ship#1")
    assert_missing(manager, "t_thank#0")

    trigger_bench.advance(1)
    assert_finished(manager, "t_ship#1")


def test_a_manager_of_the_applications_own_class_can_be_had(trigger_bench):
    class ShopManager(TriggerManager):
        name = "shop"

    assert isinstance(trigger_bench.manager("other", ShopManager), ShopManager)


def test_an_unexpected_failure_fails_the_test_with_the_session_in_the_message():
    bench = TriggerBench()
    bench.use_tasks({"shop.ship": break_down})
    manager = bench.manager()
    manager.update_configuration(CONFIGURATION)
    fire_all(manager)
    bench.settle()

    with pytest.raises(pytest.fail.Exception, match=r"unresolved: t_ship#0[\s\S]*no van"):
        bench.check_resolved()


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        (lambda manager: assert_finished(manager, "t_ship#0"), "is unstarted; it should be fin"),
        (lambda manager: assert_finished(manager, "t_ship#7"), "there is no t_ship#7"),
        (lambda manager: assert_missing(manager, "t_ship#0"), "exists; it is unstarted"),
        (lambda manager: assert_unstarted(manager, "t_ship#0", waits_for=[]), "not nothing"),
        (lambda manager: assert_unstarted(manager, "t_ship#0", kwargs={}), "not {}"),
    ],
)
def test_a_failed_assertion_shows_the_session(manager, assertion, message):
    manager.fire("paid", {"amount": 3})

    with pytest.raises(AssertionError) as caught:
        assertion(manager)
    assert message in str(caught.value)
    assert dump(manager) in str(caught.value)
