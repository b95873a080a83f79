"""Faulty in more work than there are workers."""

import threading

from runner_mutants.bases import Pool, mutant, quietly
from runner_mutants.dispatch import DropsWhenFull


@mutant("R35", "while all its workers are busy, whoever fires runs the task")
class CallerRuns(Pool):
    def __init__(self):
        self._free = threading.Semaphore(self.workers)
        super().__init__()

    def start(self, work):
        if self._free.acquire(blocking=False):
            super().start(lambda: (quietly(work), self._free.release()))
        else:
            quietly(work)


@mutant("R39", "a queue of a thousand drops what does not fit")
class DropsBeyondAThousand(DropsWhenFull):
    workers, bound = 4, 1000
