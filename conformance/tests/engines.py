"""Correct task runners on engines as unlike as they come, to show that the checks pass them."""

import asyncio
import logging
import multiprocessing
import os
import threading
from contextlib import contextmanager
from functools import cache, partial

from triggers_core import BaseTaskRunner, Plugins, Reference, execute

logger = logging.getLogger(__name__)


def execute_and_log(manager, task_instance, resolve):
    """Execute in a worker that is to live on, whatever comes out of it."""
    try:
        execute(manager, task_instance, resolve=resolve)
    except BaseException:
        logger.exception("%s could not be executed to its end", task_instance.name)


@cache
def worker_plugins(runner_class, *arguments):
    """Return the plugins of a worker process, which keep its stores open."""
    plugins = Plugins()
    plugins.use_runner(runner_class(*arguments))
    return plugins


def execute_reference(message, plugins):
    """Execute what a message to another process refers to, if it is still there."""
    try:
        manager, task_instance = Reference.from_dict(message).open(plugins)
    except Exception:
        logger.exception("%s cannot be opened", message)
        return
    execute_and_log(manager, task_instance, None)


class InlineRunner(BaseTaskRunner):
    """Runs the task before ``run`` returns, and so must let Ctrl-C through."""

    name = "inline"
    capabilities = frozenset({"inline"})

    def run(self, manager, task_instance):
        try:
            execute(manager, task_instance, resolve=self.resolve)
        except KeyboardInterrupt:
            raise
        except BaseException:
            logger.exception("%s could not be executed to its end", task_instance.name)


class ThreadRunner(BaseTaskRunner):
    """Starts a thread for each instance, which waits for its cooldown there."""

    name = "thread"
    capabilities = frozenset({"cooldown"})

    def run(self, manager, task_instance):
        call = partial(execute_and_log, manager, task_instance, self.resolve)
        threading.Thread(target=call).start()


class AsyncioRunner(BaseTaskRunner):
    """Has an event loop, with a coroutine for each instance; tasks run in its thread pool."""

    name = "asyncio"
    capabilities = frozenset({"cooldown", "join", "volatile"})

    def __init__(self):
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self):
        self._loop = None
        self._unfinished = 0
        self._changed = threading.Condition()

    def run(self, manager, task_instance):
        with self._changed:
            self._unfinished += 1
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._keep_loop_running, daemon=True)
                self._thread.start()
        asyncio.run_coroutine_threadsafe(self._execute(manager, task_instance), self._loop)

    def _keep_loop_running(self):
        self._loop.run_forever()
        self._loop.close()

    async def _execute(self, manager, task_instance):
        await asyncio.sleep(task_instance.not_before - manager.storage.now())
        await asyncio.to_thread(self._count, manager, task_instance)

    def _count(self, manager, task_instance):
        threading.current_thread().runs_for = self
        execute_and_log(manager, task_instance, self.resolve)
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    def join_all(self, timeout=None):
        if getattr(threading.current_thread(), "runs_for", None) is self:
            raise RuntimeError("a task cannot wait for itself")
        with self._changed:
            if not self._changed.wait_for(lambda: not self._unfinished, timeout):
                raise TimeoutError

    def close(self):
        if self._loop is not None:
            shut_down = self._loop.shutdown_default_executor()
            asyncio.run_coroutine_threadsafe(shut_down, self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = None


class ProcessRunner(BaseTaskRunner):
    """Puts a reference in a queue that a pool of processes takes from."""

    name = "process"
    capabilities = frozenset({"remote"})

    def __init__(self, references=None):
        self._references = references or multiprocessing.get_context("spawn").Queue()
        self._pid = os.getpid()

    def run(self, manager, task_instance):
        if os.getpid() != self._pid:
            raise RuntimeError("the thread that fills the queue is not in a fork's child")
        self._references.put(Reference.to(manager, task_instance).to_dict())

    @contextmanager
    def processes(self, count):
        """Keep the pool running until the body is left."""
        spawn = multiprocessing.get_context("spawn")
        workers = [
            spawn.Process(target=_work, args=(self._references,), daemon=True) for _ in range(count)
        ]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            for _ in workers:
                self._references.put(None)
            for worker in workers:
                worker.join()
            self._references.close()


def _work(references):
    plugins = worker_plugins(ProcessRunner, references)
    while (message := references.get()) is not None:
        execute_reference(message, plugins)
