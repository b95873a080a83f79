"""When a session has settled, and that each time is told once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from triggers_core import Status, execute, hookimpl

from .conftest import HeldManager
from .hooked import TARGETS, configuration

DEADLINE_SECONDS = 20.0
"""Until what never happens counts as such."""


class TestSettled:
    def test_a_retry_settles_when_its_clone_has_ended(self, manager, runner, recorder):
        manager.update_configuration(configuration("retry_once"))
        manager.fire("ordered")

        runner.work()

        assert [call.manager for call in recorder.of("settled")] == [manager]
        assert recorder.story[-2:] == [
            ("status_changed", "t_pay#1", Status.RUNNING, Status.FINISHED),
            ("settled",),
        ]

    @pytest.mark.parametrize("run", ["pay", "skip", "fail"])
    def test_every_way_to_end_settles_once(self, run, manager, runner, recorder):
        manager.update_configuration(configuration(run))
        manager.fire("ordered")

        runner.work()

        assert len(recorder.of("settled")) == 1

    def test_a_cascade_settles_with_its_last_task(self, manager, runner, recorder):
        manager.update_configuration(
            {
                **configuration("pay"),
                "t_ship": {"after": ["t_pay"], "run": f"{TARGETS}.pay"},
            }
        )
        manager.fire("ordered")

        runner.work()

        assert len(recorder.of("settled")) == 1
        assert recorder.story[-2:] == [
            ("status_changed", "t_ship#0", Status.RUNNING, Status.FINISHED),
            ("settled",),
        ]

    def test_a_session_settles_anew_each_time(self, manager, runner, recorder):
        manager.update_configuration(configuration("pay", andEvery="ordered"))

        for _ in range(3):
            manager.fire("ordered")
            runner.work()

        assert len(recorder.of("settled")) == 3

    def test_what_starts_nothing_settles_nothing(self, manager, runner, recorder):
        manager.update_configuration(configuration("fail"))
        manager.fire("unknown")
        assert recorder.of("settled") == []
        manager.fire("ordered")
        runner.work()
        recorder.clear()

        manager.skip_failed_instance("t_pay#0")

        assert recorder.of("settled") == []

    def test_of_tasks_that_end_at_once_the_last_one_settles(
        self, storage, plugins, runner, monkeypatch
    ):
        """Whoever looked at the session after its commit would find it settled by the others."""
        tasks = 6
        settled = []

        class Watcher:
            @hookimpl
            def triggers_settled(self, manager):
                settled.append(Counter(str(i.status) for i in manager.instances()))

        plugins.register(Watcher())
        manager = HeldManager("s-1", storage=storage, plugins=plugins)
        manager.update_configuration(
            {
                f"t_{number}": {"after": ["ordered"], "run": f"{TARGETS}.pay"}
                for number in range(tasks)
            }
        )
        manager.fire("ordered")
        monkeypatch.setattr(
            storage, "transaction", meeting_after(storage.transaction, threading.Barrier(tasks))
        )

        with ThreadPoolExecutor(tasks) as workers:
            ended = list(workers.map(lambda held: execute(*held), runner.held))

        assert {instance.status for instance in ended} == {Status.FINISHED}
        assert settled == [Counter(finished=tasks)]


def meeting_after(transaction, barrier):
    """Return ``transaction`` with a wait for all the others after each commit."""

    @contextmanager
    def meet(*arguments):
        with transaction(*arguments) as unit:
            yield unit
        barrier.wait(DEADLINE_SECONDS)

    return meet
