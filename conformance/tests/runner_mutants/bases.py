"""What most faulty runners vary: :class:`Sound`, which is not, and others that stand on it.

``mutant("R3", …)`` names the rule that a runner breaks, and says what is wrong.
"""

import queue
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from triggers_core import BaseTaskRunner, TriggerTask, execute

NAME = "mutant"
IS_LEAVING = sys.argv[0].endswith("dispatch_and_leave.py")
"""Whether this is a process of check R41, where alone a mutant may keep the process from ending."""


@dataclass(frozen=True)
class Mutant:
    number: str
    fault: str
    runner_class: type


MUTANTS = []


def mutant(number, fault):
    def keep(runner_class):
        MUTANTS.append(Mutant(number, fault, runner_class))
        return runner_class

    return keep


class Sound(BaseTaskRunner):
    """A correct runner: a thread for each instance, which ends with the interpreter, so that a
    fault that hangs does not keep the tests from ending."""

    name = NAME
    capabilities = frozenset({"volatile"})
    refuses = False

    def run(self, manager, task_instance):
        self.start(lambda: self.execute(manager, task_instance))

    def start(self, work):
        if self.refuses:
            raise RuntimeError("the engine takes no work")
        threading.Thread(target=quietly, args=(work,), daemon=True).start()

    def execute(self, manager, task_instance):
        return execute(manager, task_instance, resolve=self.resolve)

    @contextmanager
    def refusing(self):
        self.refuses = True
        try:
            yield
        finally:
            self.refuses = False


def quietly(work):
    try:
        work()
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")


class Wrapping(Sound):
    """Has a say before and after the task itself."""

    def resolve(self, manager, task_instance):
        return Wrapped(super().resolve(manager, task_instance), self.call)

    def call(self, task, context):
        return task.run(context)


class Wrapped(TriggerTask):
    def __init__(self, task, call):
        self._task = task
        self._call = call
        self.max_retries = task.max_retries
        self.cooldown = task.cooldown

    def run(self, context):
        return self._call(self._task, context)


class Pool(Sound):
    """A few worker threads and a queue."""

    workers = 4
    bound = 0

    def __init__(self):
        self._queue = queue.Queue(self.bound)
        for _ in range(self.workers):
            threading.Thread(target=quietly, args=(self.work,), daemon=True).start()

    def start(self, work):
        self._queue.put(work)

    def work(self):
        while True:
            quietly(self._queue.get())


class Joinable(Sound):
    """Counts its work, and waits for it."""

    capabilities = frozenset({"join"})

    def __init__(self):
        self._left = 0
        self._changed = threading.Condition()
        self._own = set()

    def start(self, work):
        with self._changed:
            self._left += 1
        super().start(lambda: self._counted(work))

    def _counted(self, work):
        self._own.add(threading.current_thread())
        try:
            work()
        finally:
            with self._changed:
                self._left -= 1
                self._changed.notify_all()

    def join_all(self, timeout=None):
        if threading.current_thread() in self._own:
            raise RuntimeError("a task waits for itself")
        with self._changed:
            if not self._changed.wait_for(lambda: self._left == 0, timeout):
                raise TimeoutError
