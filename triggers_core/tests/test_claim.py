"""What a message starts, once, and what an attempt is ended by from outside: rules X1 and X5."""

import logging
from dataclasses import replace

import pytest

from triggers_core import InstanceNotFound, Status, cancel, execute

from .looks import states
from .shop import BILL, SHIP, fail


class TestClaim:
    """X1"""

    def test_a_duplicate_message_is_dropped_and_said_so_at_info(
        self, manager, runner, task, caplog
    ):
        runs = []
        task(runs.append)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        (message,) = runner.held
        execute(*message)

        with caplog.at_level(logging.INFO, "triggers_core"):
            again = execute(*message)

        assert (again, len(runs)) == (None, 1)
        (record,) = [record for record in caplog.records if "dropped" in record.message]
        assert record.levelno == logging.INFO
        assert "session 's': dropped a message for t_ship#0, attempt 1" in record.message
        assert "it is finished, attempt 1" in record.message

    def test_while_the_task_runs_a_second_message_is_dropped(self, manager, runner, task):
        runs, second = [], []

        def run(context):
            runs.append(context.instance.name)
            second.append(execute(*message))

        task(run)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        (message,) = runner.held

        assert execute(*message).status is Status.FINISHED
        assert (runs, second) == (["t_ship#0"], [None])

    def test_a_message_of_another_attempt_is_dropped(self, manager, runner, task, caplog):
        runs = []
        task(runs.append)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        ((_, instance),) = runner.held

        with caplog.at_level(logging.INFO, "triggers_core"):
            assert execute(manager, replace(instance, attempt=2)) is None

        assert (runs, states(manager)) == ([], {"t_ship#0": "scheduled"})
        assert "attempt 2: it is scheduled, attempt 1" in caplog.text

    @pytest.mark.parametrize("status", ["unstarted", "abandoned"])
    def test_what_was_never_scheduled_does_not_run(self, status, manager, task, caplog):
        runs = []
        task(runs.append)
        manager.update_configuration({"t_ship": {**SHIP, "unless": ["cancelled", "lost"]}})
        manager.fire("cancelled")
        if status == "abandoned":
            manager.fire("lost")

        with caplog.at_level(logging.INFO, "triggers_core"):
            assert execute(manager, manager.instance("t_ship#0")) is None

        assert (runs, states(manager)) == ([], {"t_ship#0": status})
        assert "dropped a message for t_ship#0" in caplog.text

    def test_an_instance_that_there_is_not_is_an_error(self, manager, make_manager, task, runner):
        task(fail)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        ((_, instance),) = runner.held

        with pytest.raises(InstanceNotFound, match="session 'another' has no instance 't_ship#0'"):
            execute(make_manager("another"), instance)

    def test_it_runs_as_running(self, manager, task, ship):
        seen = []
        task(lambda context: seen.append(manager.instance("t_ship#0").status))

        ship()

        assert seen == [Status.RUNNING]


class TestCancel:
    """X1, X5: an attempt that is ended from outside."""

    @pytest.fixture
    def scheduled(self, manager, task):
        task(lambda context: None)
        manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})
        manager.fire("paid")
        return manager.instance("t_ship#0")

    def test_that_is_scheduled_never_runs(self, manager, runner, scheduled):
        ended = cancel(manager, scheduled, RuntimeError("called off"))
        assert ended.metadata["error"]["message"] == "called off"
        assert runner.work_once() is None
        assert states(manager) == {"t_ship#0": "failed"}

    def test_that_runs_has_no_other_end(self, manager, runner, task, scheduled):
        task(lambda context: cancel(manager, context.instance, RuntimeError("called off")) and None)
        assert runner.work_once() is None
        assert states(manager) == {"t_ship#0": "failed"}
        assert "result" not in manager.instance("t_ship#0").metadata

    def test_that_is_over_stays_as_it_was(self, manager, runner, scheduled):
        runner.work_once()
        before = manager.instances()
        assert cancel(manager, scheduled, RuntimeError("called off")) is None
        assert manager.instances() == before

    def test_of_another_attempt_stays_as_it_was(self, manager, scheduled):
        assert cancel(manager, replace(scheduled, attempt=2), RuntimeError("called off")) is None
        assert manager.instance("t_ship#0") == scheduled

    def test_can_be_replayed(self, manager, runner, scheduled):
        cancel(manager, scheduled, RuntimeError("called off"))
        manager.replay_failed_instance("t_ship#0")
        runner.work_once()
        runner.work_once()
        assert states(manager) == {"t_ship#0": "replayed", "t_ship#1": "finished"} | {
            "t_bill#0": "scheduled"
        }
