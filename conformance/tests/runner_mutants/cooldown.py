"""Faulty in retries and their time."""

import threading
import time
from dataclasses import replace
from datetime import datetime

from runner_mutants.bases import Pool, Sound, mutant


@mutant("R16", "it pays no attention to the cooldown")
class NoCooldown(Sound):
    def run(self, manager, task_instance):
        super().run(manager, replace(task_instance, not_before=0.0))


@mutant("C5", "an instance in its cooldown keeps a worker")
class SleepsInWorker(Pool):
    capabilities = frozenset({"cooldown"})


@mutant("R59", "it waits by the clock of its own machine")
class OwnClock(Sound):
    capabilities = frozenset({"cooldown", "volatile"})

    def run(self, manager, task_instance):
        delay = max(task_instance.not_before - time.time(), 0)
        timer = threading.Timer(delay, lambda: super(OwnClock, self).run(manager, task_instance))
        timer.daemon = True
        timer.start()


@mutant("R59", "it takes the storage's time for local time")
class LocalTime(Sound):
    def run(self, manager, task_instance):
        due = datetime.fromtimestamp(task_instance.not_before)
        seconds = (due - datetime.now()).total_seconds()
        super().start(lambda: (time.sleep(max(seconds, 0)), self.execute(manager, task_instance)))
