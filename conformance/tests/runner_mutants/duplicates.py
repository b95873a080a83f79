"""Faulty in what is dispatched again."""

from runner_mutants.bases import Pool, Sound, mutant
from triggers_core import Status, TaskContext


@mutant("R26", "what has ended already is run again")
class RunsEnded(Sound):
    def execute(self, manager, task_instance):
        if super().execute(manager, task_instance) is None:
            task = self.resolve(manager, task_instance)
            task.run(TaskContext(manager, task_instance, dict(task_instance.trigger_kwargs)))


@mutant("R26", "what was abandoned while its message was under way is run")
class RunsAbandoned(Sound):
    def execute(self, manager, task_instance):
        found = manager.instance(task_instance.name)
        if found.status is Status.ABANDONED and found.scheduled_at is not None:
            task = self.resolve(manager, task_instance)
            task.run(TaskContext(manager, task_instance, dict(task_instance.trigger_kwargs)))
        else:
            super().execute(manager, task_instance)


@mutant("R27", "what is running already is run again")
class RunsRunning(Sound):
    def execute(self, manager, task_instance):
        if manager.instance(task_instance.name).status is Status.RUNNING:
            task = self.resolve(manager, task_instance)
            task.run(TaskContext(manager, task_instance, dict(task_instance.trigger_kwargs)))
        else:
            super().execute(manager, task_instance)


@mutant("R36", "it takes what recovery sends for a message that came twice")
class RemembersForEver(Sound):
    def __init__(self):
        self._seen = set()

    def run(self, manager, task_instance):
        key = (manager.session_uid, task_instance.name, task_instance.attempt)
        if key not in self._seen:
            self._seen.add(key)
            super().run(manager, task_instance)


@mutant("C9", "a worker dies with each duplicate")
class DuplicatesKill(Pool):
    capabilities = frozenset({"remote"})

    def execute(self, manager, task_instance):
        if super().execute(manager, task_instance) is None:
            raise SystemExit("there is nothing to do")

    def work(self):
        while True:
            self._queue.get()()
