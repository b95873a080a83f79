"""Faulty in what tasks start."""

import threading

from runner_mutants.bases import Pool, mutant, quietly


class KnowsWorkers(Pool):
    """Knows whether it is called by a task of its own."""

    def __init__(self):
        self._local = threading.local()
        super().__init__()

    def is_worker(self):
        return getattr(self._local, "is_worker", False)

    def work(self):
        self._local.is_worker = True
        super().work()


@mutant("R48", "what a task starts is run at once, by the same worker")
class RunsNestedAtOnce(KnowsWorkers):
    def start(self, work):
        if self.is_worker():
            quietly(work)
        else:
            super().start(work)


@mutant("R49", "what a task starts is handed on when that task ends")
class KeepsNestedBack(KnowsWorkers):
    def start(self, work):
        if self.is_worker():
            self._local.kept.append(work)
        else:
            super().start(work)

    def execute(self, manager, task_instance):
        self._local.kept = []
        try:
            super().execute(manager, task_instance)
        finally:
            for work in self._local.kept:
                self._queue.put(work)
