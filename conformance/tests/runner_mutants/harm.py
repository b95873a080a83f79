"""Faulty in what exceptions do to others."""

import asyncio
import pickle
import queue
import sys
import threading

from runner_mutants.bases import Pool, Sound, Wrapping, mutant, quietly
from triggers_core import Status, execute


@mutant("R43", "it pickles the error of a task to pass it on")
class PicklesErrors(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except Exception as error:
            raise pickle.loads(pickle.dumps(error)) from error


@mutant("R43", "it writes the error of a task into its own log first")
class FormatsErrors(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except Exception as error:
            sys.stderr.write(f"the task raised {error}\n".encode("ascii", "replace").decode())
            raise


@mutant("R43", "it runs tasks in a generator, which no StopIteration leaves")
class RunsInGenerator(Wrapping):
    def call(self, task, context):
        def steps():
            yield task.run(context)

        return next(steps())


@mutant("R44", "its event loop ends with a task that was cancelled")
class LoopEnds(Sound):
    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._work = asyncio.Queue()
        threading.Thread(target=quietly, args=(self.keep_running,), daemon=True).start()

    def keep_running(self):
        self._loop.run_until_complete(self.consume())

    def start(self, work):
        self._loop.call_soon_threadsafe(self._work.put_nowait, work)

    async def consume(self):
        workers = [self._loop.create_task(self.work()) for _ in range(4)]
        await asyncio.gather(*workers)

    async def work(self):
        while True:
            work = await self._work.get()
            try:
                await asyncio.to_thread(work)
            except Exception as error:
                sys.stderr.write(f"{error!r}\n")


@mutant("R44", "its workers die of what is neither an Exception nor SystemExit")
class WorkersInterrupted(Pool):
    workers = 16

    def work(self):
        while True:
            try:
                self._queue.get()()
            except (Exception, SystemExit) as error:
                sys.stderr.write(f"{error!r}\n")


@mutant("R44", "its workers die of Ctrl-C, which comes from the task")
class WorkersDieOfInterrupt(Pool):
    def work(self):
        while True:
            try:
                self._queue.get()()
            except KeyboardInterrupt:
                return
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")


@mutant("R14", "each of its many workers dies with a task that exits")
class ManyWorkersExit(Pool):
    workers = 16

    def work(self):
        while True:
            try:
                self._queue.get()()
            except Exception as error:
                sys.stderr.write(f"{error!r}\n")


@mutant("R45", "its workers die of what could not be executed")
class WorkersDieOfErrors(Pool):
    workers = 16

    def work(self):
        while True:
            self._queue.get()()

    def execute(self, manager, task_instance):
        try:
            super().execute(manager, task_instance)
        except SystemExit as error:
            sys.stderr.write(f"{error!r}\n")


@mutant("R45", "work that cannot be executed keeps its slot for ever")
class LeaksSlots(Sound):
    slots = 32

    def __init__(self):
        self._queue = queue.Queue()
        self._free = threading.Semaphore(self.slots)
        threading.Thread(target=self.hand_out, daemon=True).start()

    def run(self, manager, task_instance):
        self._queue.put((manager, task_instance))

    def hand_out(self):
        while True:
            self._free.acquire()
            given = self._queue.get()
            self.start(lambda given=given: self.execute(*given))

    def execute(self, manager, task_instance):
        try:
            execute(manager, task_instance, resolve=self.resolve)
        except SystemExit:
            sys.stderr.write("a task exited\n")
        self._free.release()


@mutant("R45", "its workers take what waits in one go, and drop it with the first error")
class DropsBatch(Pool):
    def work(self):
        while True:
            batch = [self._queue.get()]
            while len(batch) < 10 and not self._queue.empty():
                batch.append(self._queue.get())
            quietly(lambda batch=batch: [work() for work in batch])


@mutant("R13", "each failure keeps one of 32 slots")
class LeaksSlotsOfFailures(LeaksSlots):
    def execute(self, manager, task_instance):
        ended = execute(manager, task_instance, resolve=self.resolve)
        if ended is None or ended.status is not Status.FAILED:
            self._free.release()
