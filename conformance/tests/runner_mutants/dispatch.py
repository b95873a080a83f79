"""Faulty in how it accepts work."""

import queue
import sys
import threading
import time
from dataclasses import replace

from runner_mutants.bases import Pool, Sound, mutant, quietly
from triggers_core import Plugins


@mutant("R1", "run names its arguments otherwise")
class OtherArgumentNames(Sound):
    def run(self, trigger_manager, instance):
        super().run(trigger_manager, instance)


@mutant("R1", "run takes its arguments in the other order")
class OtherArgumentOrder(Sound):
    def run(self, task_instance, manager):
        super().run(manager, task_instance)


@mutant("R1", "run takes its arguments by keyword only")
class KeywordsOnly(Sound):
    def run(self, *, manager, task_instance):
        super().run(manager, task_instance)


@mutant("R3", "run waits for the thread")
class WaitsForThread(Sound):
    def start(self, work):
        thread = threading.Thread(target=quietly, args=(work,), daemon=True)
        thread.start()
        thread.join()


@mutant("R3", "it is inline, and does not say so")
class InlineUndeclared(Sound):
    def start(self, work):
        quietly(work)


@mutant("R7", "run takes the kwargs out of the instance")
class EmptiesInstance(Sound):
    def run(self, manager, task_instance):
        super().run(manager, replace(task_instance))
        task_instance.trigger_kwargs.clear()


@mutant("R19", "it runs what its tasks start itself, whoever is to run it")
class KeepsCascade(Sound):
    def execute(self, manager, task_instance):
        plugins = Plugins(load_entry_points=False)
        plugins.use_runner(self)
        plugins.runner = lambda *_: self
        own = type(manager)(manager.session_uid, storage=manager.storage, plugins=plugins)
        return super().execute(own, task_instance)


@mutant("R20", "it logs that its engine takes no work, and returns")
class SwallowsRefusal(Sound):
    def start(self, work):
        try:
            super().start(work)
        except RuntimeError:
            sys.stderr.write("refused\n")


@mutant("R23", "a full queue drops what comes")
class DropsWhenFull(Pool):
    workers, bound = 1, 10

    def start(self, work):
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            sys.stderr.write("dropped\n")


@mutant("R24", "it keeps the instance of a call on itself")
class KeepsCurrent(Sound):
    def run(self, manager, task_instance):
        self._current = task_instance
        time.sleep(0.002)  # as long as any work takes that other threads can come between
        super().run(manager, self._current)


@mutant("R25", "run waits while the queue is full, in the only worker too")
class BlocksWhenFull(Pool):
    workers, bound = 1, 10


@mutant("R32", "it takes a replay for a message that came twice")
class DropsReplays(Sound):
    def run(self, manager, task_instance):
        if task_instance.parent is None or task_instance.attempt > 1:
            super().run(manager, task_instance)
