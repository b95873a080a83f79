"""Faulty in who may call it, and for how long that one must live."""

import asyncio
import time
import weakref

from runner_mutants.bases import Pool, Sound, mutant, quietly


@mutant("R50", "it gives work to the loop that the caller runs in")
class UsesCallersLoop(Sound):
    def __init__(self):
        self._tasks = set()

    def start(self, work):
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().start(work)
        else:
            task = loop.create_task(self.run_later(work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def run_later(self, work):
        await asyncio.sleep(0)  # until its cooldown is over
        await asyncio.to_thread(quietly, work)


@mutant("R50", "it runs a loop to hand the work over")
class RunsLoop(Sound):
    def start(self, work):
        sending = self.send(work)
        try:
            asyncio.run(sending)
        finally:
            sending.close()

    async def send(self, work):
        super().start(work)


@mutant("R51", "while it starts, other callers find it half started")
class HalfStarted(Pool):
    is_started = False

    def __init__(self):
        pass

    def start(self, work):
        if not self.is_started:
            self.is_started = True
            time.sleep(0.01)  # as a connection takes
            super().__init__()
        super().start(work)


@mutant("R52", "it keeps a weak reference to the manager")
class WeakManager(Pool):
    def run(self, manager, task_instance):
        reference = weakref.ref(manager)
        self._queue.put(lambda: self.execute_if_there(reference(), task_instance))

    def execute_if_there(self, manager, task_instance):
        if manager is not None:
            self.execute(manager, task_instance)


@mutant("R52", "nothing but itself keeps what waits, as with a task of a forgotten future")
class WeakWork(Pool):
    def run(self, manager, task_instance):
        work = Work(self, manager, task_instance)
        reference = weakref.ref(work)
        self._queue.put(lambda: self.call(reference()))

    def call(self, work):
        if work is not None:
            work()


class Work:
    def __init__(self, runner, *given):
        self.runner, self.given, self.own = runner, given, self

    def __call__(self):
        self.runner.execute(*self.given)
