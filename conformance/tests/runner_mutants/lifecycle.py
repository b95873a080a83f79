"""Faulty in forks, exit, and close."""

import os
import queue
import threading

from runner_mutants.bases import IS_LEAVING, Pool, Sound, mutant, quietly


@mutant("R40", "in a fork's child it accepts work for threads that live in the parent")
class WithoutWorkersInChild(Pool):
    pass


@mutant("R40", "in a fork's child it waits for its engine, which lives in the parent")
class WaitsInChild(Pool):
    def start(self, work):
        taken = threading.Event()
        super().start(lambda: (taken.set(), work()))
        taken.wait()


@mutant("R41", "its threads end with the interpreter, whatever they run")
class Daemons(Sound):
    capabilities = frozenset()


@mutant("R41", "its worker waits for more work, and the interpreter for its worker")
class NeverExits(Pool):
    capabilities = frozenset()

    def __init__(self):
        self._queue = queue.Queue()
        for _ in range(self.workers):
            threading.Thread(target=self.work, daemon=not IS_LEAVING).start()


@mutant("R41", "at exit its workers finish what they run, and leave what waits")
class LeavesQueueAtExit(NeverExits):
    def work(self):
        while threading.main_thread().is_alive():
            try:
                work = self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
            quietly(work)


@mutant("R42", "once closed, it accepts work and drops it")
class DropsOnceClosed(Sound):
    is_closed = False

    def close(self):
        self.is_closed = True

    def start(self, work):
        if not self.is_closed:
            super().start(work)


@mutant("R56", "in a fork's child its new threads take what the parent has in its queue")
class ChildTakesQueue(Pool):
    def __init__(self):
        super().__init__()
        os.register_at_fork(after_in_child=self.start_threads)

    def start_threads(self):
        for _ in range(self.workers):
            threading.Thread(target=quietly, args=(self.work,), daemon=True).start()
