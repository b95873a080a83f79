"""The toolbox for applications' own tests, used as an application uses it."""

import re
import subprocess
import sys
import threading

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


@trigger_task
def ship_late(context):
    context.logger.warning("no van before noon")
    return {"to": "Delft"}


def test_a_warning_is_unresolved_until_the_test_says_that_it_expects_it(trigger_bench, manager):
    trigger_bench.use_tasks({"shop.ship": ship_late})
    fire_all(manager)
    trigger_bench.settle()

    with pytest.raises(pytest.fail.Exception, match=r"unresolved: t_ship#0[\s\S]*WARNING: no van"):
        trigger_bench.check_resolved()
    manager.mark_instance_logs_resolved("t_ship#0")
    trigger_bench.check_resolved()


def test_every_session_of_the_bench_is_checked(trigger_bench):
    trigger_bench.use_tasks({"shop.ship": break_down})
    for name in ("one", "two"):
        trigger_bench.manager(name).update_configuration(CONFIGURATION)
    fire_all(trigger_bench.manager("two"))
    trigger_bench.settle()

    with pytest.raises(pytest.fail.Exception, match="session 'two'"):
        trigger_bench.check_resolved()
    assert_failed(trigger_bench.manager("two"), "t_ship#0")


def test_a_session_opened_without_the_benchs_help_is_checked(trigger_bench):
    trigger_bench.use_tasks({"shop.ship": break_down})
    manager = TriggerManager("own", storage=trigger_bench.storage, plugins=trigger_bench.plugins)
    manager.update_configuration(CONFIGURATION)
    fire_all(manager)
    trigger_bench.settle()

    with pytest.raises(pytest.fail.Exception, match="session 'own'"):
        trigger_bench.check_resolved()
    assert_failed(manager, "t_ship#0")


def test_to_settle_has_an_end(trigger_bench, manager):
    gate = threading.Event()

    @trigger_task
    def hang(context):
        gate.wait()
        return {"to": "Delft"}

    trigger_bench.use_tasks({"shop.ship": hang})
    fire_all(manager)

    with pytest.raises(TimeoutError):
        trigger_bench.settle(timeout=0.01)
    gate.set()


def test_a_cooldown_of_a_year_takes_no_time_and_the_clock_tells_it(trigger_bench, manager):
    @trigger_task(cooldown=365 * 86_400)
    def ship_next_year(context):
        if context.attempt == 1:
            context.retry()
        return {"to": "Delft"}

    trigger_bench.use_tasks({"shop.ship": ship_next_year})
    fire_all(manager)
    trigger_bench.settle()
    began = assert_replayed(manager, "t_ship#0").changed_at
    assert trigger_bench.clock.time == began

    trigger_bench.advance(365 * 86_400)
    assert assert_finished(manager, "t_ship#1").changed_at == began + 365 * 86_400


KWARGS = {"paid": {"amount": 3}, "packed": {"to": "Delft"}}


@pytest.fixture
def ended(trigger_bench):
    """Return a function (task, what fires) → a manager whose t_ship#0 stands where that leads."""

    def ended(task=ship, fire=fire_all):
        trigger_bench.use_tasks({"shop.ship": task, "shop.thank": thank})
        manager = trigger_bench.manager()
        manager.update_configuration(CONFIGURATION)
        fire(manager)
        trigger_bench.settle()
        return manager

    return ended


STANDS = {
    "unstarted": (assert_unstarted, ship, lambda manager: manager.fire("paid", {"amount": 3})),
    "finished": (assert_finished, ship, fire_all),
    "failed": (assert_failed, break_down, fire_all),
    "abandoned": (assert_abandoned, ship, lambda manager: manager.fire("cancelled")),
    "skipped": (assert_skipped, give_up, fire_all),
    "replayed": (assert_replayed, ship_at_second_try, fire_all),
}
TAKEN = {"unstarted": {"paid": {"amount": 3}}, "abandoned": {"cancelled": {}}}


@pytest.mark.parametrize("status", STANDS)
def test_each_assertion_holds_of_one_status_and_no_other(ended, status):
    own, task, fire = STANDS[status]
    manager = ended(task, fire)

    assert own(manager, "t_ship#0").name == "t_ship#0"
    for other, (assertion, *_) in STANDS.items():
        if other != status:
            with pytest.raises(AssertionError, match=f"t_ship#0 is {status}; it should be {other}"):
                assertion(manager, "t_ship#0")
    if status == "failed":
        manager.mark_instance_logs_resolved("t_ship#0")


@pytest.mark.parametrize("status", STANDS)
def test_each_assertion_compares_the_kwargs(ended, status):
    assertion, task, fire = STANDS[status]
    manager = ended(task, fire)
    kwargs = TAKEN.get(status, KWARGS)

    with pytest.raises(AssertionError, match=r"t_ship#0 took .*, not \{'paid': \{\}\}"):
        assertion(manager, "t_ship#0", kwargs={"paid": {}})
    assertion(manager, "t_ship#0", kwargs=kwargs)


@pytest.mark.parametrize("assertion", [assertion for assertion, *_ in STANDS.values()])
def test_each_assertion_fails_of_an_instance_that_is_not_there(ended, assertion):
    with pytest.raises(AssertionError, match="there is no t_ship#7"):
        assertion(ended(), "t_ship#7")


@pytest.mark.parametrize(
    ("status", "arguments", "message"),
    [
        ("unstarted", {"waits_for": ["packed"]}, "waits for cancelled, packed, not packed"),
        ("unstarted", {"waits_for": []}, "waits for cancelled, packed, not nothing"),
        ("finished", {"result": {}}, "returned {'to': 'Delft'}, not {}"),
        ("failed", {"error": "KeyError"}, "failed with RuntimeError, not KeyError"),
        ("replayed", {"by": "t_ship#2"}, "was replayed as t_ship#1, not t_ship#2"),
    ],
)
def test_what_else_an_assertion_compares(ended, status, arguments, message):
    assertion, task, fire = STANDS[status]
    manager = ended(task, fire)

    with pytest.raises(AssertionError, match=re.escape(message)):
        assertion(manager, "t_ship#0", **arguments)
    if status == "failed":
        assert_failed(manager, "t_ship#0", error="RuntimeError")


def test_missing_fails_of_one_that_exists(ended):
    with pytest.raises(AssertionError, match="t_ship#0 exists; it is finished"):
        assert_missing(ended(), "t_ship#0")


def test_a_failed_assertion_shows_the_session(ended):
    manager = ended()

    with pytest.raises(AssertionError) as caught:
        assert_failed(manager, "t_ship#0")
    assert str(caught.value) == f"t_ship#0 is finished; it should be failed\n{dump(manager)}"


def test_the_dump_of_a_session(ended, trigger_bench):
    def fire(manager):
        manager.update_configuration({"t_bill": {"after": ["t_thank", "invoiced"], "run": "x"}})
        fire_all(manager)

    manager = ended(ship_at_second_try, fire)
    trigger_bench.advance(60)

    assert dump(manager) == (
        "session 'test':\n"
        "  t_bill#0: unstarted, attempt 1\n"
        '    took {"t_thank": {"thanked": "x"}}\n'
        "    waits for invoiced\n"
        "  t_ship#0: replayed, attempt 1\n"
        '    took {"paid": {"amount": 3}, "packed": {"to": "Delft"}}\n'
        "  t_ship#1: finished, attempt 2, replays t_ship#0\n"
        '    took {"paid": {"amount": 3}, "packed": {"to": "Delft"}}\n'
        '    returned {"to": "x"}\n'
        "  t_thank#0: finished, attempt 1\n"
        '    took {"t_ship": {"to": "x"}}\n'
        '    returned {"thanked": "x"}'
    )


def test_the_dump_of_an_empty_session(trigger_manager):
    assert dump(trigger_manager) == "session 'test':\n  no instances"


APPLICATION = """
import pytest
from triggers_core import trigger_task
from triggers_core.testing import assert_finished

@trigger_task
def break_down(context):
    raise RuntimeError("no van")

@pytest.fixture
def order(trigger_bench, trigger_manager):
    trigger_bench.use_tasks({"ship": break_down})
    trigger_manager.update_configuration({"t_ship": {"after": ["paid"], "run": "ship"}})
    trigger_manager.fire("paid")
    return trigger_manager

def test_nobody_looks(order):
    pass

def test_somebody_looks(order, trigger_bench):
    trigger_bench.settle()
    assert_finished(order, "t_ship#0")
"""


def test_the_fixture_waits_and_fails_the_test_for_what_nobody_expected(tmp_path):
    (tmp_path / "test_order.py").write_text(APPLICATION)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_order.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 failed, 1 passed, 1 error in" in ran.stdout
    assert "ERROR at teardown of test_nobody_looks" in ran.stdout
    assert "unresolved: t_ship#0\nsession 'test':\n  t_ship#0: failed, attempt 1\n" in ran.stdout
    assert '        raise RuntimeError("no van")\n    RuntimeError: no van\n' in ran.stdout
    # The failure is shown where the test asserts, and the session once.
    assert ">       assert_finished(order" in ran.stdout
    assert "triggers_core/testing.py" not in ran.stdout.replace("\\", "/")
    assert "should be finished" in ran.stdout
