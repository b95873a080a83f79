"""A task that asks for another attempt: rule X4."""

from types import SimpleNamespace

import pytest

from triggers_core import ConfigurationError, Status, TaskInterruption, trigger_task

from .looks import states
from .shop import BILL, SHIP, fail


class TestRetry:
    """X4"""

    def test_the_instance_is_replayed_and_a_clone_is_scheduled(self, manager, runner, task, ship):
        task(lambda context: context.retry() if context.attempt == 1 else {"crate": 7})

        instance = ship({"amount": 3})

        clone = manager.instance("t_ship#1")
        assert instance.status is Status.REPLAYED
        assert (clone.status, clone.attempt, clone.parent) == (Status.SCHEDULED, 2, "t_ship#0")
        assert clone.trigger_kwargs == {"paid": {"amount": 3}}
        assert clone.config_digest == instance.config_digest
        assert "t_bill#0" not in states(manager)

        runner.work_once()

        assert states(manager) == {
            "t_ship#0": "replayed",
            "t_ship#1": "finished",
            "t_bill#0": "scheduled",
        }

    @pytest.mark.parametrize(
        ("settings", "asked", "attempts"),
        [
            ({}, {}, 4),
            ({"max_retries": 0}, {}, 1),
            ({"max_retries": 1}, {}, 2),
            ({"max_retries": 1}, {"max_retries": 2}, 3),
            ({"max_retries": 5}, {"max_retries": 0}, 1),
        ],
    )
    def test_after_max_retries_it_fails(self, settings, asked, attempts, manager, runner, task):
        task(lambda context: context.retry(**asked), **settings)
        manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})
        manager.fire("paid")

        runner.work()

        *replayed, last = manager.instances()
        assert [instance.attempt for instance in (*replayed, last)] == [*range(1, attempts + 1)]
        assert {instance.status for instance in replayed} <= {Status.REPLAYED}
        assert last.status is Status.FAILED
        assert last.metadata["error"]["type"] == "MaxRetriesExceeded"
        assert "'t_ship'" in last.metadata["error"]["message"]

    def test_why_it_was_retried_is_kept_even_when_it_was_the_last_time(self, manager, runner, task):
        def run(context):
            try:
                fail(context)
            except RuntimeError:
                context.retry()

        task(run, max_retries=1)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")

        runner.work()

        first, last = manager.instances()
        assert first.metadata["error"]["message"] == "out of stock"
        assert last.metadata["error"]["type"] == "MaxRetriesExceeded"
        assert "RuntimeError: out of stock" in last.metadata["error"]["traceback"]

    @pytest.mark.parametrize(
        ("settings", "asked", "seconds"),
        [
            ({"cooldown": 60}, {}, 60),
            ({"cooldown": 60}, {"cooldown": 5}, 5),
            ({}, {"cooldown": 2.5}, 2.5),
        ],
    )
    def test_the_clone_is_scheduled_not_before_the_cooldown(
        self, settings, asked, seconds, manager, task, ship, storage
    ):
        task(lambda context: context.retry(**asked), **settings)
        earliest = storage.now() + seconds

        ship()

        clone = manager.instance("t_ship#1")
        assert earliest <= clone.not_before <= storage.now() + seconds
        assert clone.recover_at >= clone.not_before + manager.dispatch_timeout

    def test_without_a_cooldown_it_starts_at_once(self, manager, task, ship):
        task(lambda context: context.retry(cooldown=0), cooldown=60)

        ship()

        assert manager.instance("t_ship#1").not_before == 0.0

    def test_a_runner_that_does_not_wait_for_the_cooldown_does_not_shorten_it(
        self, manager, runner, task, ship, storage, monkeypatch
    ):
        started = []

        def run(context):
            started.append(storage.now())
            context.retry()

        slept = []

        def sleep(seconds):
            slept.append(seconds)
            storage.advance(seconds)

        monkeypatch.setattr("triggers_core.worker.execution.time", SimpleNamespace(sleep=sleep))
        task(run, cooldown=3600, max_retries=1)
        ship()

        runner.work()

        assert started[1] >= manager.instance("t_ship#1").not_before
        assert sum(slept) == pytest.approx(3600, abs=60)

    def test_a_cooldown_is_over_in_threads_too(self, make_manager, threads, tasks):
        started = []

        @trigger_task(cooldown=0.05)
        def run(context):
            started.append(context.manager.storage.now())
            if context.attempt == 1:
                context.retry()

        tasks["shop.ship"] = run
        manager = make_manager()
        manager.update_configuration({"t_ship": {**SHIP, "using": "threading"}})
        manager.fire("paid")
        threads.join_all(30)

        assert states(manager) == {"t_ship#0": "replayed", "t_ship#1": "finished"}
        assert started[1] >= manager.instance("t_ship#1").not_before > started[0]

    def test_a_task_that_catches_every_exception_lets_it_through(self, manager, task, ship):
        def run(context):
            try:
                context.retry()
            except Exception:
                return {"caught": True}

        task(run)

        assert issubclass(TaskInterruption, BaseException)
        assert ship().status is Status.REPLAYED

    @pytest.mark.parametrize(
        "wrong",
        [
            {"cooldown": -1},
            {"cooldown": "5"},
            {"cooldown": True},
            {"cooldown": float("inf")},
            {"cooldown": float("nan")},
            {"cooldown": 10**400},
            {"max_retries": -1},
            {"max_retries": 1.5},
            {"max_retries": True},
            {"max_retries": "3"},
            {"max_retries": 10**20},
        ],
        ids=lambda wrong: "{0[0]}={0[1]!r:.9}".format(*wrong.items()),
    )
    def test_a_number_that_is_none_is_refused_where_it_is_written(self, wrong, task, ship):
        ((setting, _),) = wrong.items()

        with pytest.raises(ConfigurationError, match=f"{setting} must be"):
            trigger_task(**wrong)(fail)
        task(lambda context: context.retry(**wrong))
        error = ship().metadata["error"]

        assert error["type"] == "ConfigurationError"
        assert error["message"].startswith(f"{setting} must be")

    def test_the_clone_of_a_clone_names_its_own_parent(self, manager, runner, task):
        task(lambda context: context.retry(), max_retries=2)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")

        runner.work()

        assert [instance.parent for instance in manager.instances()] == [
            None,
            "t_ship#0",
            "t_ship#1",
        ]

    def test_a_clone_is_no_instance_for_another_trigger_to_make(self, manager, task, ship):
        task(lambda context: context.retry())

        ship(andEvery="paid")
        manager.fire("paid")

        assert states(manager) == {
            "t_ship#0": "replayed",
            "t_ship#1": "scheduled",
            "t_ship#2": "scheduled",
        }
