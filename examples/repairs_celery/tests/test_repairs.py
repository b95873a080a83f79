"""The shop's joins and its Celery tasks, tried without a broker and without a worker.

The fixtures ``trigger_manager`` and ``trigger_bench`` come with triggers-core; Celery tasks run
under them as they do on a worker.
"""

import pytest
import repairs

from triggers_core.testing import (
    assert_abandoned,
    assert_failed,
    assert_finished,
    assert_replayed,
    assert_skipped,
    assert_unstarted,
)

BROUGHT = {"complaint": "chain and brake", "phone": "+31 20 1234567"}


@pytest.fixture
def bicycle(trigger_manager):
    repairs.alarms.clear()
    trigger_manager.update_configuration(repairs.STEPS)
    return trigger_manager


@pytest.fixture
def answers(monkeypatch):
    """What happens at each call: the test says so in advance."""
    answers = []
    monkeypatch.setattr(repairs.telephone, "call", lambda *_: answers.pop(0))
    return answers


def test_a_bicycle_goes_through_the_shop(bicycle, trigger_bench):
    bicycle.fire("brought", BROUGHT)
    trigger_bench.settle()
    assert_finished(bicycle, "diagnose#0", result={"parts": ["chain", "brake"]})
    assert_finished(bicycle, "order#0", result={"number": "W-2"})
    assert_unstarted(bicycle, "mend#0", waits_for={"delivered", "collected"})
    assert_unstarted(bicycle, "bill#0", waits_for={"mend"})

    bicycle.fire("delivered")
    trigger_bench.settle()
    assert_finished(bicycle, "mend#0", result={"hours": 3})
    assert_finished(bicycle, "bill#0", result={"euros": 132})
    assert_finished(bicycle, "call#0", result={"calls": 1})


def test_what_needs_no_part_is_not_ordered_and_goes_on(bicycle, trigger_bench):
    bicycle.fire_many([("brought", {**BROUGHT, "complaint": "it squeaks"}), ("delivered",)])
    trigger_bench.settle()

    assert_skipped(bicycle, "order#0")
    assert_finished(bicycle, "bill#0", result={"euros": 25})


def test_a_bicycle_that_is_collected_is_not_mended(bicycle, trigger_bench):
    bicycle.fire("brought", BROUGHT)
    bicycle.fire("collected")
    trigger_bench.settle()

    assert_abandoned(bicycle, "mend#0")


def test_a_busy_warehouse_is_asked_again_after_one_minute_then_two(
    bicycle, trigger_bench, monkeypatch
):
    answers = [ConnectionError("busy"), ConnectionError("busy"), "W-17"]

    def order(parts):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(repairs.warehouse, "order", order)
    bicycle.fire("brought", BROUGHT)
    trigger_bench.advance(seconds=59)
    assert_replayed(bicycle, "order#0", by="order#1")
    assert len(answers) == 2

    trigger_bench.advance(seconds=1)
    assert_replayed(bicycle, "order#1", by="order#2")
    trigger_bench.advance(seconds=120)
    assert_finished(bicycle, "order#2", result={"number": "W-17"})
    assert repairs.alarms == []


def test_a_warehouse_that_never_answers_raises_the_alarm(bicycle, trigger_bench, monkeypatch):
    def order(parts):
        raise ConnectionError("busy")

    monkeypatch.setattr(repairs.warehouse, "order", order)
    bicycle.fire("brought", BROUGHT)
    for seconds in (60, 120, 240):
        trigger_bench.advance(seconds)

    assert_failed(bicycle, "order#3", error="MaxRetriesExceeded")
    assert len(repairs.alarms) == 1
    assert repairs.alarms[0].startswith("repairs.order: ")


def test_a_customer_is_called_three_times_an_hour_apart(bicycle, trigger_bench, answers):
    answers += [False, False, True]
    bicycle.fire_many([("brought", BROUGHT), ("delivered",)])
    for _ in range(2):
        trigger_bench.advance(seconds=repairs.AN_HOUR)

    assert_finished(bicycle, "call#2", result={"calls": 3})


def test_a_customer_who_never_answers_is_for_a_person(bicycle, trigger_bench, answers):
    answers += [False, False, False]
    bicycle.fire_many([("brought", BROUGHT), ("delivered",)])
    for _ in range(2):
        trigger_bench.advance(seconds=repairs.AN_HOUR)

    assert_failed(bicycle, "call#2", error="MaxRetriesExceeded")


def test_the_till_is_open_for_the_bill_alone(bicycle, trigger_bench):
    bicycle.fire_many([("brought", BROUGHT), ("delivered",)])
    trigger_bench.settle()

    assert_finished(bicycle, "bill#0")
    assert not repairs.till_is_open.get()


def test_a_step_can_be_tried_apart_from_the_others(trigger_bench, bicycle):
    """Others stand in for the steps before it: Celery tasks, or any."""

    @repairs.app.task(base=repairs.AlarmedTask, shared=False)
    def cheap(context):
        return {"parts": ["tube"]}

    trigger_bench.use_tasks({"repairs.diagnose": cheap})
    bicycle.fire_many([("brought", BROUGHT), ("delivered",)])
    trigger_bench.settle()

    assert_finished(bicycle, "bill#0", result={"euros": 9 + 2 * 25})


def test_each_session_is_a_bicycle_of_its_own(trigger_bench):
    bicycles = [trigger_bench.manager(f"bicycle {number}") for number in range(5)]
    for bicycle in bicycles:
        bicycle.update_configuration(repairs.STEPS)
        bicycle.fire_many([("brought", BROUGHT), ("delivered",)])
    trigger_bench.settle()

    for bicycle in bicycles:
        assert_finished(bicycle, "call#0")
