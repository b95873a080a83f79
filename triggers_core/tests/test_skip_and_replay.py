"""What is skipped, by its task or by hand; what is replayed; whose logs are resolved: rule X5."""

import pytest

from triggers_core import InstanceNotFound, InvalidKwargs, InvalidTransition, Status, trigger_task

from .looks import states
from .shop import SHIP, fail


class TestSkip:
    """X5"""

    def test_a_task_that_skips_does_not_cascade(self, manager, task, ship):
        task(lambda context: context.skip())

        assert ship().status is Status.SKIPPED
        assert states(manager) == {"t_ship#0": "skipped"}

    def test_a_task_that_skips_may_cascade(self, manager, task, ship):
        task(lambda context: context.skip(cascade=True, result={"crate": None}))

        instance = ship()

        assert instance.metadata["result"] == {"crate": None}
        assert manager.instance("t_bill#0").trigger_kwargs == {"t_ship": {"crate": None}}

    def test_a_task_that_skips_with_no_json_fails(self, manager, task, ship):
        task(lambda context: context.skip(cascade=True, result={"crate": object()}))

        error = ship().metadata["error"]

        assert error["message"].startswith("task 't_ship', skip: crate is object")
        assert states(manager) == {"t_ship#0": "failed"}

    def test_a_result_without_a_cascade_is_refused_and_not_lost(self, manager, task, ship):
        task(lambda context: context.skip(result={"crate": 7}))

        error = ship().metadata["error"]

        assert error["type"] == "InvalidKwargs"
        assert error["message"] == "context.skip: a result needs cascade=True to go anywhere"

    def test_a_task_that_skips_says_why(self, task, ship):
        task(lambda context: context.skip(reason="the crate is empty"))

        assert ship().metadata["reason"] == "the crate is empty"

    @pytest.mark.parametrize("reason", ["", "  ", 7, "x" * 1001])
    def test_a_reason_is_a_few_words(self, task, ship, reason):
        task(lambda context: context.skip(reason=reason))

        error = ship().metadata["error"]

        assert error["type"] == "InvalidKwargs"
        assert error["message"].startswith("context.skip, reason: ")

    def test_a_failed_instance_is_skipped_by_hand(self, manager, task, ship):
        task(fail)
        ship()

        skipped = manager.skip_failed_instance("t_ship#0")

        assert skipped == manager.instance("t_ship#0")
        assert skipped.status is Status.SKIPPED
        assert skipped.metadata["error"]["message"] == "out of stock"
        assert states(manager) == {"t_ship#0": "skipped"}

    def test_a_failed_instance_is_skipped_by_hand_as_if_it_had_finished(self, manager, task, ship):
        task(fail)

        manager.skip_failed_instance(ship(), cascade=True, result={"crate": 7})

        assert manager.instance("t_bill#0").trigger_kwargs == {"t_ship": {"crate": 7}}
        assert states(manager) == {"t_ship#0": "skipped", "t_bill#0": "scheduled"}

    def test_a_result_without_a_cascade_to_go_in_is_refused(self, manager, task, ship):
        task(fail)
        ship()

        with pytest.raises(InvalidKwargs, match="needs cascade=True"):
            manager.skip_failed_instance("t_ship#0", result={"crate": 7})

        assert states(manager) == {"t_ship#0": "failed"}


class TestReplay:
    """X5"""

    def test_a_failed_instance_runs_again_as_its_clone(self, manager, runner, task, ship):
        task(fail)
        failed = ship({"amount": 3})
        task(lambda context: context.trigger_kwargs["paid"])

        clone = manager.replay_failed_instance("t_ship#0")
        runner.work()

        assert (clone.status, clone.attempt) == (Status.SCHEDULED, 1)
        assert (clone.name, clone.parent) == ("t_ship#1", failed.name)
        assert manager.instance("t_ship#1").metadata["result"] == {"amount": 3}
        assert states(manager)["t_ship#0"] == "replayed"
        assert states(manager)["t_ship#1"] == "finished"

    def test_replacements_can_be_merged_over_what_was_fired(self, manager, runner, task, ship):
        task(fail)
        ship({"amount": {"net": 1, "tax": 2}, "items": [1, 2]})

        clone = manager.replay_failed_instance(
            "t_ship#0", {"paid": {"amount": {"net": 9}, "items": [3]}}, merge=True
        )

        assert clone.trigger_kwargs == {"paid": {"amount": {"net": 9, "tax": 2}, "items": [3]}}

    def test_replacements_are_in_place_of_what_was_fired(self, manager, runner, task, ship):
        task(fail)
        ship({"amount": 3, "payer": "ada"})

        replacement = {"paid": {"amount": [4]}}
        clone = manager.replay_failed_instance("t_ship#0", replacement)
        replacement["paid"]["amount"].append(5)

        assert clone.trigger_kwargs == {"paid": {"amount": [4]}}
        assert manager.instance("t_ship#1").trigger_kwargs == {"paid": {"amount": [4]}}
        assert manager.instance("t_ship#0").trigger_kwargs["paid"]["amount"] == 3

    def test_only_what_is_named_is_replaced(self, manager, runner, task):
        task(fail)
        manager.update_configuration({"t_ship": {**SHIP, "after": ["paid", "packed"]}})
        manager.fire("paid", {"amount": 3})
        manager.fire("packed", {"crate": 7})
        runner.work()

        clone = manager.replay_failed_instance("t_ship#0", {"packed": {"crate": 8}})

        assert clone.trigger_kwargs == {"paid": {"amount": 3}, "packed": {"crate": 8}}

    def test_it_runs_by_the_present_configuration(self, manager, runner, tasks, task, ship):
        task(fail)
        ship()
        tasks["shop.mended"] = trigger_task(lambda context: {"mended": True})
        manager.update_configuration({"t_ship": {**SHIP, "run": "shop.mended"}})

        manager.replay_failed_instance("t_ship#0")
        runner.work_once()

        assert manager.instance("t_ship#1").metadata["result"] == {"mended": True}

    def test_a_clone_that_fails_may_be_replayed_again(self, manager, runner, task, ship):
        task(fail)
        ship()
        manager.replay_failed_instance("t_ship#0")
        runner.work()

        assert manager.replay_failed_instance("t_ship#1").parent == "t_ship#1"
        assert states(manager) == {
            "t_ship#0": "replayed",
            "t_ship#1": "replayed",
            "t_ship#2": "scheduled",
        }

    def test_it_has_all_its_retries_again(self, manager, runner, task):
        task(lambda context: context.retry(), max_retries=1)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        runner.work()

        manager.replay_failed_instance("t_ship#1")
        runner.work()

        assert [instance.attempt for instance in manager.instances()] == [1, 2, 1, 2]

    def test_an_instance_is_replayed_once(self, manager, runner, task, ship):
        task(fail)
        failed = ship()
        manager.replay_failed_instance(failed)

        with pytest.raises(InvalidTransition, match="t_ship#0 is replayed; only a failed one"):
            manager.replay_failed_instance(failed)

        assert runner.names == ["t_ship#1"]

    @pytest.mark.parametrize("mend", ["replay_failed_instance", "skip_failed_instance"])
    def test_an_instance_of_another_session_is_not_this_sessions(
        self, mend, manager, make_manager, runner, task, storage, stored
    ):
        task(fail)
        another = make_manager("another")
        for each in (manager, another):
            each.update_configuration({"t_ship": SHIP})
            each.fire("paid")
        runner.work()
        before = stored(storage)

        with pytest.raises(InstanceNotFound, match="t_ship#0 is of session 'another', and this"):
            getattr(manager, mend)(another.instance("t_ship#0"))

        assert stored(storage) == before


class TestLogsResolved:
    """X5"""

    def test_a_failed_instance_is_unresolved_until_it_is_marked(self, manager, task, ship):
        task(fail)
        ship()
        assert [i.name for i in manager.unresolved_instances()] == ["t_ship#0"]

        marked = manager.mark_instance_logs_resolved("t_ship#0")

        assert marked == manager.instance("t_ship#0")
        assert (marked.status, marked.is_resolved) == (Status.FAILED, True)
        assert marked.metadata["error"]["message"] == "out of stock"
        assert manager.unresolved_instances() == []

    def test_one_that_finished_with_a_warning_is_unresolved_too(self, manager, task, ship):
        task(lambda context: context.logger.warning("slow"))
        instance = ship()
        assert [i.name for i in manager.unresolved_instances()] == ["t_ship#0"]

        manager.mark_instance_logs_resolved(instance)

        assert manager.unresolved_instances() == []

    def test_one_that_finished_in_silence_needs_nobody(self, manager, task, ship):
        task(lambda context: context.logger.info("fine"))

        ship()

        assert manager.unresolved_instances() == []

    def test_to_mark_twice_changes_nothing(self, manager, task, ship, storage, stored):
        task(fail)
        ship()
        manager.mark_instance_logs_resolved("t_ship#0")
        before = stored(storage)

        manager.mark_instance_logs_resolved("t_ship#0")

        assert stored(storage) == before

    def test_what_is_marked_may_still_be_replayed(self, manager, task, ship):
        task(fail)
        ship()
        manager.mark_instance_logs_resolved("t_ship#0")

        assert manager.replay_failed_instance("t_ship#0").name == "t_ship#1"
