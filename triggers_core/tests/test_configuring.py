"""What waits is taken over to another configuration, and tasks are retired: rules 7 and 8 of
docs/concepts.md."""

import pytest

from triggers_core import (
    ConfigurationError,
    ConfigurationOutcome,
    InstanceNotFound,
    InvalidTransition,
    RunnerNotFound,
    Status,
    TaskNotFound,
    hookimpl,
    trigger_task,
)

from .looks import states

SHIP = {"after": ["paid", "packed"], "run": "shop.ship"}
REMIND = {"after": ["ordered", "evening"], "run": "shop.remind"}


@trigger_task
def works(context):
    return {}


@trigger_task
def breaks(context):
    raise RuntimeError("out of stock")


@pytest.fixture
def order(manager, tasks):
    tasks["shop.ship"] = tasks["shop.remind"] = works
    manager.update_configuration({"t_ship": SHIP, "t_remind": REMIND})
    return manager


class TestTakeOver:
    """Rule 7: an unstarted instance is taken over to the present configuration."""

    def test_it_waits_for_what_its_task_names_now_and_it_has_not_taken(self, order, runner):
        order.fire("paid", {"amount": 1})
        order.update_configuration({"t_ship": {**SHIP, "after": ["paid", "weighed", "stamped"]}})

        taken_over = order.update_instance_configuration("t_ship#0")

        assert taken_over == order.instance("t_ship#0")
        assert taken_over.waits_for == {"weighed", "stamped"}
        assert taken_over.trigger_kwargs == {"paid": {"amount": 1}}
        assert order.task_config(taken_over).after == ("paid", "weighed", "stamped")
        assert order.fire("packed").taken == ()
        assert order.fire("weighed").taken == ("t_ship#0",)
        assert order.fire("stamped").scheduled == ("t_ship#0",)
        assert runner.names == ["t_ship#0"]

    def test_it_keeps_what_it_took_of_triggers_that_are_named_no_more(self, order):
        order.fire("paid", {"amount": 1})
        order.update_configuration({"t_ship": {**SHIP, "after": ["invoiced", "packed"]}})

        order.update_instance_configuration("t_ship#0")
        order.update_configuration({"t_ship": SHIP})
        order.fire("paid", {"amount": 2})
        back = order.update_instance_configuration("t_ship#0")

        assert back.trigger_kwargs == {"paid": {"amount": 1}}
        assert back.waits_for == {"packed"}

    def test_f3_of_triggers_that_are_new_to_it_it_takes_the_latest_kwargs(self, order):
        order.fire_many([("weighed", {"kg": 1}), ("paid", {"amount": 1}), ("weighed", {"kg": 2})])
        order.fire("paid", {"amount": 2})
        order.update_configuration({"t_ship": {**SHIP, "after": ["paid", "weighed", "packed"]}})

        taken_over = order.update_instance_configuration(order.instance("t_ship#0"))

        assert taken_over.trigger_kwargs == {"paid": {"amount": 1}, "weighed": {"kg": 2}}
        assert taken_over.waits_for == {"packed"}

    def test_c3_the_latest_of_and_every_too(self, order):
        order.fire("paid")
        order.fire_many([("item", {"no": 1}), ("item", {"no": 2})])
        order.update_configuration({"t_ship": {**SHIP, "andEvery": "item"}})

        assert order.update_instance_configuration("t_ship#0").trigger_kwargs["item"] == {"no": 2}
        assert order.fire("item").created == ("t_ship#1",)

    def test_f4_one_that_misses_nothing_is_scheduled_at_once(self, order, runner, storage):
        order.fire("paid")
        order.update_configuration({"t_ship": {**SHIP, "after": ["paid"]}})
        storage.advance(60)

        taken_over = order.update_instance_configuration("t_ship#0")

        assert (taken_over.status, taken_over.waits_for) == (Status.SCHEDULED, frozenset())
        assert taken_over.changed_at >= taken_over.created_at + 60
        assert runner.names == ["t_ship#0"]
        runner.work()
        assert states(order) == {"t_ship#0": "finished"}

    def test_c4_one_whose_unless_is_complete_is_abandoned_first(self, order, runner):
        order.fire_many([("paid",), ("withdrawn",)])
        order.update_configuration({"t_ship": {**SHIP, "after": ["paid"], "unless": ["withdrawn"]}})

        assert order.update_instance_configuration("t_ship#0").status is Status.ABANDONED
        assert runner.names == []

    def test_it_runs_by_the_new_directives(self, order, runner, tasks):
        received = []
        tasks["shop.new"] = trigger_task(lambda context: received.append(context.trigger_kwargs))
        order.fire("paid")
        order.update_configuration(
            {"t_ship": {**SHIP, "run": "shop.new", "withParams": {"paid": {"by": "card"}}}}
        )

        order.update_instance_configuration("t_ship#0")
        order.fire("packed")
        runner.work()

        assert received == [{"paid": {"by": "card"}, "packed": {}}]

    def test_c5_what_it_took_by_its_earlier_directives_is_received_too(self, order, runner, tasks):
        received = []
        tasks["shop.ship"] = trigger_task(lambda context: received.append(context.trigger_kwargs))
        order.fire("paid", {"amount": 1})
        order.update_configuration({"t_ship": {**SHIP, "after": ["packed"], "unless": ["lost"]}})

        order.update_instance_configuration("t_ship#0")
        order.fire("packed")
        runner.work()

        assert received == [{"paid": {"amount": 1}, "packed": {}}]

    def test_what_still_waits_has_waited_since_it_was_made(self, order, storage):
        order.fire("paid")
        before = order.instance("t_ship#0")
        order.update_configuration({"t_ship": {**SHIP, "after": ["paid", "weighed"]}})
        storage.advance(60)

        assert order.update_instance_configuration("t_ship#0").changed_at == before.changed_at

    def test_one_whose_directives_are_as_they_were_stays_as_it_is(self, order, storage, stored):
        order.fire("paid")
        order.update_configuration({"t_remind": {**REMIND, "after": ["evening"]}})
        before = stored(storage)

        order.update_instance_configuration("t_ship#0")

        assert stored(storage) == before

    def test_only_an_unstarted_one_is(self, order, runner, storage, stored):
        order.fire_many([("paid",), ("packed",)])
        order.update_configuration({"t_ship": {**SHIP, "after": ["weighed"]}})
        before = stored(storage)

        with pytest.raises(InvalidTransition, match="t_ship#0 is scheduled; only an unstarted one"):
            order.update_instance_configuration("t_ship#0")

        assert stored(storage) == before

    def test_one_whose_task_is_retired_cannot_be(self, order, storage, stored):
        order.fire("paid")
        order.update_configuration({}, retire=["t_ship"])
        before = stored(storage)

        with pytest.raises(TaskNotFound, match="has no task 't_ship' any more; abandon_instance"):
            order.update_instance_configuration("t_ship#0")

        assert stored(storage) == before

    def test_one_that_there_is_not(self, order):
        with pytest.raises(InstanceNotFound, match="no instance 't_ship#0'"):
            order.update_instance_configuration("t_ship#0")

    def test_observers_hear_of_it(self, order, plugins):
        seen = []

        class Observer:
            @hookimpl
            def triggers_status_changed(self, task_instance, old_status):
                seen.append((task_instance.name, old_status, task_instance.status))

        order.fire("paid")
        order.update_configuration({"t_ship": {**SHIP, "after": ["paid"]}})
        plugins.register(Observer())

        order.update_instance_configuration("t_ship#0")

        assert seen == [("t_ship#0", Status.UNSTARTED, Status.SCHEDULED)]


class TestRetire:
    """Rule 8: a task that is taken out gets no further instance."""

    def test_by_name(self, order):
        outcome = order.update_configuration({}, retire=["t_remind"])

        assert outcome == ConfigurationOutcome(retired=("t_remind",))
        assert list(order.configuration()) == ["t_ship"]
        assert order.fire("ordered").created == ()

    def test_by_what_takes_the_place_of_all(self, order):
        new = {"t_pack": {"after": ["ordered"], "run": "shop.pack"}, "t_ship": SHIP}

        outcome = order.update_configuration(new, replace=True)

        assert outcome == ConfigurationOutcome(added=("t_pack",), retired=("t_remind",))
        assert list(order.configuration()) == ["t_pack", "t_ship"]

    def test_while_others_are_added_and_replaced(self, order):
        outcome = order.update_configuration(
            {"t_ship": {**SHIP, "run": "shop.new"}, "t_pack": REMIND}, retire=["t_remind"]
        )

        assert outcome == ConfigurationOutcome(("t_pack",), ("t_ship",), ("t_remind",))

    def test_one_that_is_not_there_is_retired_already(self, order):
        order.update_configuration({}, retire=["t_remind"])

        assert not order.update_configuration({}, retire=["t_remind", "t_unheard_of"]).is_change

    def test_its_unstarted_instances_are_kept_unless_they_are_to_be_abandoned(self, order, runner):
        order.fire("ordered")

        outcome = order.update_configuration({}, retire=["t_remind"])

        assert outcome == ConfigurationOutcome(retired=("t_remind",), kept=("t_remind#0",))
        assert order.fire("evening").scheduled == ("t_remind#0",)
        runner.work()
        assert states(order) == {"t_remind#0": "finished"}

    def test_its_unstarted_instances_are_abandoned_with_the_reason(self, order, runner):
        order.fire("ordered")

        outcome = order.update_configuration(
            {}, retire=["t_remind"], abandon_retired=True, reason="nobody reads them", by="Ada"
        )

        assert outcome == ConfigurationOutcome(retired=("t_remind",), abandoned=("t_remind#0",))
        abandoned = order.instance("t_remind#0")
        assert abandoned.status is Status.ABANDONED
        assert abandoned.metadata["reason"] == "nobody reads them"
        assert abandoned.metadata["by"] == "Ada"
        assert order.fire("evening").taken == ()
        assert runner.names == []

    def test_without_a_reason_the_metadata_says_that_the_task_was_taken_out(self, order):
        order.fire("ordered")

        order.update_configuration({"t_ship": SHIP}, replace=True, abandon_retired=True)

        metadata = order.instance("t_remind#0").metadata
        assert metadata["reason"] == "its task was taken out of the configuration"
        assert "by" not in metadata

    def test_what_was_kept_can_be_abandoned_later(self, order):
        order.fire("ordered")
        order.update_configuration({}, retire=["t_remind"])

        outcome = order.update_configuration({}, abandon_retired=True)

        assert outcome == ConfigurationOutcome(abandoned=("t_remind#0",))
        assert not order.update_configuration({}, abandon_retired=True).is_change

    def test_what_is_scheduled_of_it_runs_and_cascades(self, order, runner):
        order.update_configuration({"t_after": {"after": ["t_remind"], "run": "shop.ship"}})
        order.fire_many([("ordered",), ("evening",)])

        outcome = order.update_configuration({}, retire=["t_remind"], abandon_retired=True)
        runner.work()

        assert outcome.abandoned == ()
        assert states(order) == {"t_remind#0": "finished", "t_after#0": "finished"}

    def test_those_that_await_its_end_are_told(self, order):
        after_it = {"after": ["t_remind", "paid"], "run": "shop.ship"}
        order.update_configuration({"t_after": after_it, "t_unless": {**SHIP, "unless": ["x"]}})

        outcome = order.update_configuration({}, retire=["t_remind"])

        assert outcome == ConfigurationOutcome(retired=("t_remind",), stranded=("t_after",))

    def test_what_failed_of_it_is_replayed_by_its_own_directives(self, order, runner, tasks):
        tasks["shop.remind"] = breaks
        order.fire_many([("ordered",), ("evening",)])
        runner.work()
        order.update_configuration({}, retire=["t_remind"])
        tasks["shop.remind"] = works

        clone = order.replay_failed_instance("t_remind#0")
        runner.work()

        assert order.task_config(clone).run == "shop.remind"
        assert states(order) == {"t_remind#0": "replayed", "t_remind#1": "finished"}

    def test_one_that_comes_back_goes_on_counting(self, order):
        order.fire("ordered")
        order.update_configuration({}, retire=["t_remind"], abandon_retired=True)
        order.update_configuration({"t_remind": {**REMIND, "andEvery": "ordered"}})

        assert order.fire("ordered").created == ("t_remind#1",)

    def test_it_is_all_or_nothing(self, order, storage, stored):
        order.fire("ordered")
        before = stored(storage)

        for wrong in ({"t_new": {"after": "a", "run": "x"}}, {"t_new": {**SHIP, "using": "gone"}}):
            with pytest.raises((ConfigurationError, RunnerNotFound)):
                order.update_configuration(wrong, replace=True, abandon_retired=True)

        assert stored(storage) == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"retire": "t_remind"}, "retire: expected a list of task names, not 't_remind'; "),
            ({"retire": None}, "retire: expected a list of task names, not None"),
            ({"retire": [7]}, "retire: expected task names, not 7"),
            ({"retire": ["t_ship"]}, "task 't_ship' is both configured and to be retired"),
            ({"replace": True, "reason": "old"}, "ask for that too, or leave them out"),
            ({"update_instances": True, "by": "Ada"}, "abandon_retired=True"),
        ],
    )
    def test_what_makes_no_sense_changes_nothing(self, arguments, message, order, storage, stored):
        before = stored(storage)

        with pytest.raises(ConfigurationError, match=message):
            order.update_configuration({"t_ship": SHIP}, **arguments)

        assert stored(storage) == before


class TestUpdateInstances:
    """Rule 7, of all that wait at once: with the configuration, what waits is taken over."""

    def test_all_that_wait_by_other_directives_are(self, order, runner):
        order.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})
        order.fire_many([("paid", {"no": 0}), ("paid", {"no": 1}), ("ordered",)])

        outcome = order.update_configuration(
            {"t_ship": {**SHIP, "after": ["paid"], "andEvery": "paid"}}, update_instances=True
        )

        both = ("t_ship#0", "t_ship#1")
        assert outcome == ConfigurationOutcome(replaced=("t_ship",), updated=both, scheduled=both)
        assert runner.names == list(both)
        assert order.instance("t_remind#0").waits_for == {"evening"}

    def test_with_an_unless_that_is_complete_they_are_abandoned(self, order, runner):
        order.fire_many([("withdrawn",), ("paid",)])

        outcome = order.update_configuration(
            {"t_ship": {**SHIP, "unless": ["withdrawn"]}}, update_instances=True
        )

        assert outcome == ConfigurationOutcome(
            replaced=("t_ship",), updated=("t_ship#0",), abandoned=("t_ship#0",)
        )
        assert "reason" not in order.instance("t_ship#0").metadata

    def test_unless_it_is_asked_for_they_go_on_as_before(self, order):
        order.fire("paid")
        order.update_configuration({"t_ship": {**SHIP, "after": ["weighed"]}})

        later = order.update_configuration({}, update_instances=True)

        assert later == ConfigurationOutcome(updated=("t_ship#0",))
        assert order.instance("t_ship#0").waits_for == {"weighed"}

    def test_those_of_no_task_are_kept(self, order):
        order.fire_many([("paid",), ("ordered",)])

        outcome = order.update_configuration(
            {"t_ship": {**SHIP, "run": "shop.new"}}, replace=True, update_instances=True
        )

        assert (outcome.updated, outcome.kept) == (("t_ship#0",), ("t_remind#0",))

    def test_what_has_begun_stays_as_it_is(self, order, runner):
        order.fire_many([("paid",), ("packed",)])

        outcome = order.update_configuration(
            {"t_ship": {**SHIP, "run": "shop.new"}}, update_instances=True
        )

        assert (outcome.updated, outcome.kept) == ((), ())
        assert order.task_config(order.instance("t_ship#0")).run == "shop.ship"


class TestDryRun:
    """What a change would do is told, and nothing is done."""

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"replace": True},
            {"retire": ["t_remind"]},
            {"replace": True, "abandon_retired": True, "reason": "old", "by": "Ada"},
            {"update_instances": True},
            {"replace": True, "abandon_retired": True, "update_instances": True},
        ],
        ids=lambda arguments: ", ".join(arguments) or "plain",
    )
    def test_it_says_what_is_done_then(self, arguments, order, storage, stored, runner):
        new = {"t_ship": {**SHIP, "after": ["paid"], "unless": ["weighed", "gone"]}, "t_new": SHIP}
        order.fire_many([("paid",), ("ordered",), ("weighed",)])
        before = stored(storage)

        told = order.update_configuration(new, **arguments, dry_run=True)

        assert (stored(storage), runner.names) == (before, [])
        done = order.update_configuration(new, **arguments)
        if arguments:
            assert told == done
        assert told.is_change

    def test_it_says_what_goes_on_by_other_directives(self, order):
        order.fire_many([("paid",), ("ordered",)])

        told = order.update_configuration({"t_ship": {**SHIP, "after": ["weighed"]}}, dry_run=True)

        assert told == ConfigurationOutcome(replaced=("t_ship",), kept=("t_ship#0",))

    def test_a_session_that_is_not_there_is_not_made(self, make_manager, storage):
        told = make_manager("new").update_configuration({"t_ship": SHIP}, dry_run=True)

        assert told == ConfigurationOutcome(added=("t_ship",))
        assert list(storage.sessions()) == []

    def test_what_is_wrong_is_said_as_ever(self, order):
        with pytest.raises(ConfigurationError, match="'t_new'"):
            order.update_configuration({"t_new": {"after": "a", "run": "x"}}, dry_run=True)
