"""What tests of hostile input share: an alarm where something hangs, and a session to attack."""

import signal
from contextlib import contextmanager

from hypothesis import HealthCheck, settings

from triggers_core import BaseTaskRunner, Plugins, TriggerManager, hookimpl, trigger_task

HANG_SECONDS = 60
"""Far more than any example takes."""

FUZZ = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextmanager
def no_hang():
    def give_up(*_):
        raise AssertionError(f"hangs: no answer within {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Idle(BaseTaskRunner):
    name = "idle"

    def run(self, manager, task_instance):
        """Accept, and do nothing."""


class IdleManager(TriggerManager):
    name = "idle"
    default_task_runner_name = "idle"


class Tasks:
    @hookimpl
    def triggers_resolve_task(self, target):
        return trigger_task(lambda context: {}) if target == "task" else None


CONFIGURATION = {
    "t_each": {"after": ["a"], "andEvery": "each", "run": "task"},
    "t_one": {"after": ["a"], "run": "task", "withParams": {"a": {"x": 1}}},
    "t_two": {"after": ["a", "b"], "unless": ["c"], "run": "task"},
    "t_next": {"after": ["t_one"], "run": "task"},
}


def open_plugins():
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(Idle())
    plugins.managers.add(IdleManager)
    plugins.register(Tasks())
    return plugins


def manager_on(storage, uid="s"):
    return IdleManager(uid, storage=storage, plugins=open_plugins())
