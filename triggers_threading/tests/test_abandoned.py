"""What is abandoned while it is queued, or cools down, does not run when its turn comes."""

import threading

from triggers_core import hookimpl, trigger_task

DEADLINE = 60
COOLDOWN = 0.5
"""Seconds: far more than an abandonment takes, and short enough to wait for."""


def statuses(manager):
    return {instance.name: str(instance.status) for instance in manager.instances()}


def test_what_is_abandoned_in_the_queue_does_not_run(make_session):
    runs, begins, may_end = [], threading.Event(), threading.Event()

    @trigger_task
    def wait(context):
        begins.set()
        assert may_end.wait(DEADLINE)

    manager, runner = make_session(
        {"t_first": {"after": ["go"], "run": "wait"}, "t_next": {"after": ["go"], "run": "note"}},
        {"wait": wait, "note": trigger_task(runs.append)},
        max_workers=1,
    )
    manager.fire("go")
    assert begins.wait(DEADLINE)

    manager.abandon_instance("t_next#0", reason="not needed")
    may_end.set()
    runner.join_all(DEADLINE)

    assert runs == []
    assert statuses(manager) == {"t_first#0": "finished", "t_next#0": "abandoned"}


def test_a_retry_that_is_abandoned_in_its_cooldown_is_not_made(make_session):
    attempts = []

    @trigger_task(cooldown=COOLDOWN)
    def retry(context):
        attempts.append(context.attempt)
        context.retry()

    class Abandons:
        """Gives up the clone as soon as it is dispatched."""

        @hookimpl
        def triggers_replayed(self, manager, clone):
            manager.abandon_instance(clone, reason="not needed")

    manager, runner = make_session({"t": {"after": ["go"], "run": "retry"}}, {"retry": retry})
    manager.plugins.register(Abandons())
    manager.fire("go")
    runner.join_all(DEADLINE)

    assert attempts == [1]
    assert statuses(manager) == {"t#0": "replayed", "t#1": "abandoned"}


def test_what_runs_finds_that_its_session_is_cancelled_and_what_is_queued_does_not_run(
    make_session,
):
    runs, begins = [], threading.Event()

    @trigger_task
    def work_until_cancelled(context):
        begins.set()
        while not context.is_cancelled():
            pass
        return {"stopped": True}

    manager, runner = make_session(
        {
            "t_first": {"after": ["go"], "run": "work"},
            "t_next": {"after": ["go"], "run": "note"},
            "t_last": {"after": ["t_first"], "run": "note"},
        },
        {"work": work_until_cancelled, "note": trigger_task(runs.append)},
        max_workers=1,
    )
    manager.fire("go")
    assert begins.wait(DEADLINE)

    outcome = manager.cancel(reason="not needed")
    runner.join_all(DEADLINE)

    assert (outcome.abandoned, outcome.running) == (("t_next#0",), ("t_first#0",))
    assert runs == []
    assert statuses(manager) == {"t_first#0": "finished", "t_next#0": "abandoned"}
