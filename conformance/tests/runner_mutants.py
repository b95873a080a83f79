"""Faulty task runners: each breaks one rule, as its author might have.

``mutant("R3", …)`` names the rule and says what is wrong. Most vary :class:`Sound`, which is not.
"""

import json
import pickle
import queue
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module

from triggers_core import (
    BaseTaskRunner,
    Plugins,
    Status,
    TaskContext,
    TaskInterruption,
    TaskNotFound,
    TriggerManager,
    TriggerTask,
    execute,
)
from triggers_core.engine.change import change
from triggers_core.rules.kwargs import merge_kwargs
from triggers_core.worker.execution import _claim

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
        threading.Thread(target=_quietly, args=(work,), daemon=True).start()

    def execute(self, manager, task_instance):
        return execute(manager, task_instance, resolve=self.resolve)

    @contextmanager
    def refusing(self):
        self.refuses = True
        try:
            yield
        finally:
            self.refuses = False


def _quietly(work):
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
            threading.Thread(target=_quietly, args=(self.work,), daemon=True).start()

    def start(self, work):
        self._queue.put(work)

    def work(self):
        while True:
            _quietly(self._queue.get())


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


# Name


@mutant("N1", "it has no name")
class Nameless(BaseTaskRunner):
    def run(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("N1", "its name is empty")
class EmptyName(Sound):
    name = ""


@mutant("N1", "its name is bytes")
class BytesName(Sound):
    name = b"mutant"


@mutant("N1", "its name has a space at the end")
class SpacedName(Sound):
    name = "mutant "


@mutant("N2", "its name is a property")
class PropertyName(Sound):
    @property
    def name(self):
        return NAME


@mutant("N2", "its name is set in __init__")
class NameSetLate(BaseTaskRunner):
    def __init__(self):
        self.name = NAME

    def run(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("N3", "it is registered under another name than its own")
class OtherName(Sound):
    name = "another"


@mutant("N5", "every instance has a name of its own")
class NumberedName(Sound):
    def __init__(self):
        self.name = f"{NAME}-{id(self)}"


# Registration


@mutant("G2", "it looks like a runner, and is none")
class DuckRunner:
    name = NAME

    def run(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("G3", "it does not define run")
class WithoutRun(BaseTaskRunner):
    name = NAME

    def start(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("G4", "it wants an argument")
class WantsArgument(Sound):
    def __init__(self, url):
        self.url = url


@mutant("G4", "it connects when it is built")
class ConnectsEarly(Sound):
    def __init__(self):
        raise ConnectionRefusedError("no broker at localhost:1")


@mutant("G4", "it waits for its engine when it is built")
class WaitsWhenBuilt(Sound):
    def __init__(self):
        threading.Event().wait(5)


@mutant("G5", "its capabilities are one str")
class StrCapabilities(Sound):
    capabilities = "join"


@mutant("G5", "a capability is misspelt")
class MisspeltCapability(Sound):
    capabilities = frozenset({"jion"})


@mutant("G5", "it claims to be inline and remote")
class InlineAndRemote(Sound):
    capabilities = frozenset({"inline", "remote"})


# Run


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


@mutant("R2", "run does nothing")
class DoesNothing(Sound):
    def run(self, manager, task_instance):
        pass


@mutant("R2", "it loses every fifth instance")
class LosesSome(Sound):
    def run(self, manager, task_instance):
        if task_instance.number % 5 != 4:
            super().run(manager, task_instance)


@mutant("R2", "it runs each task twice, the second time without a claim")
class RunsTwice(Wrapping):
    def call(self, task, context):
        task.run(context)
        return task.run(context)


@mutant("R3", "run waits for the thread")
class WaitsForThread(Sound):
    def start(self, work):
        thread = threading.Thread(target=_quietly, args=(work,), daemon=True)
        thread.start()
        thread.join()


@mutant("R3", "it is inline, and does not say so")
class InlineUndeclared(Sound):
    def start(self, work):
        _quietly(work)


@mutant("R4", "the context is that of the first instance it ever ran")
class FirstInstance(Wrapping):
    _first = None

    def call(self, task, context):
        own, self._first = context.instance, self._first or context.instance
        context.instance = self._first
        result = task.run(context)
        context.instance = own
        return result


@mutant("R4", "the attempt is counted by the engine, from 0")
class OwnAttempt(Wrapping):
    def call(self, task, context):
        own = context.instance
        context.instance = replace(own, attempt=own.attempt - 1)
        result = task.run(context)
        context.instance = own
        return result


@mutant("R5", "it passes on what was fired, without withParams")
class WithoutParams(Wrapping):
    def call(self, task, context):
        context.trigger_kwargs = dict(context.instance.trigger_kwargs)
        return task.run(context)


@mutant("R5", "withParams wins over what was fired")
class ParamsWin(Wrapping):
    def call(self, task, context):
        defaults = context.manager.task_config(context.instance).with_params
        context.trigger_kwargs = merge_kwargs(context.instance.trigger_kwargs, defaults)
        return task.run(context)


@mutant("R5", "it merges the top level only")
class ShallowMerge(Wrapping):
    def call(self, task, context):
        defaults = context.manager.task_config(context.instance).with_params
        fired = context.instance.trigger_kwargs
        context.trigger_kwargs = {
            key: {**defaults.get(key, {}), **fired.get(key, {})} for key in {*defaults, *fired}
        }
        return task.run(context)


@mutant("R6", "it keeps the kwargs of a task for the next instance")
class SharedKwargs(Wrapping):
    def __init__(self):
        self._kept = {}

    def call(self, task, context):
        key = (context.manager.session_uid, context.instance.task_name)
        context.trigger_kwargs = self._kept.setdefault(key, context.trigger_kwargs)
        return task.run(context)


@mutant("R7", "run takes the kwargs out of the instance")
class EmptiesInstance(Sound):
    def run(self, manager, task_instance):
        super().run(manager, replace(task_instance))
        task_instance.trigger_kwargs.clear()


@mutant("R8", "it finds the task by the task's name")
class TaskByName(Sound):
    def resolve(self, manager, task_instance):
        tasks = import_module("triggers_conformance.tasks")
        return getattr(tasks, task_instance.task_name, None) or super().resolve(
            manager, task_instance
        )


@mutant("R8", "it keeps the first task that it resolved in a session")
class FirstTask(Sound):
    def __init__(self):
        self._tasks = {}

    def resolve(self, manager, task_instance):
        return self._tasks.setdefault(manager.session_uid, super().resolve(manager, task_instance))


@mutant("R9", "it records the end without a cascade")
class NoCascade(Sound):
    def execute(self, manager, task_instance):
        task = self.resolve(manager, task_instance)
        context = _claim(manager, task_instance, task)
        if context is not None:
            result = task.run(context)

            def end(work):
                current = work.find(context.instance.name).with_metadata(result=result)
                work.change_to(current, Status.FINISHED)

            change(manager, end)


@mutant("R9", "it fires the cascade once more")
class CascadesTwice(Sound):
    def execute(self, manager, task_instance):
        ended = super().execute(manager, task_instance)
        if ended is not None and ended.status is Status.FINISHED:
            manager.fire(ended.task_name, ended.metadata["result"])


@mutant("R9", "the cascade has the task's kwargs in place of its result")
class CascadesKwargs(Wrapping):
    def call(self, task, context):
        task.run(context)
        return next(iter(context.trigger_kwargs.values()))


@mutant("R10", "a task that raises counts as finished")
class Swallows(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except Exception:
            return {}


@mutant("R10", "it raises an error of its own in place of the task's")
class ErrorOfItsOwn(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except Exception:
            raise RuntimeError("the task failed") from None


@mutant("R10", "it loses the traceback")
class LosesTraceback(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except Exception as error:
            caught = error
        raise caught.with_traceback(None)


@mutant("R11", "it fires the cascade of a task that failed")
class CascadesFailures(Sound):
    def execute(self, manager, task_instance):
        ended = super().execute(manager, task_instance)
        if ended is not None and ended.status is Status.FAILED:
            manager.fire(ended.task_name, next(iter(ended.trigger_kwargs.values())))


@mutant("R12", "a result that is no kwargs is made some")
class RepairsResult(Wrapping):
    def call(self, task, context):
        return json.loads(json.dumps({"result": task.run(context)}, default=str))


@mutant("R13", "a worker dies with each task that fails")
class WorkersDie(Pool):
    def execute(self, manager, task_instance):
        ended = super().execute(manager, task_instance)
        if ended is not None and ended.status is Status.FAILED:
            raise RuntimeError("tell the engine")

    def work(self):
        while True:
            self._queue.get()()


@mutant("R14", "a worker dies with each task that exits")
class WorkersExit(Pool):
    def work(self):
        while True:
            try:
                self._queue.get()()
            except Exception as error:
                sys.stderr.write(f"{error!r}\n")


@mutant("R14", "a task that exits exits whoever fires")
class ExitsCaller(Sound):
    capabilities = frozenset({"inline"})

    def start(self, work):
        work()


@mutant("R15", "a retry counts as a failure")
class RetryFails(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except TaskInterruption:
            raise RuntimeError("retry") from None


@mutant("R15", "it retries within the execution")
class RetriesItself(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except TaskInterruption:
            own = context.instance
            context.instance = replace(own, attempt=own.attempt + 1)
            result = task.run(context)
            context.instance = own
            return result


@mutant("R16", "it pays no attention to the cooldown")
class NoCooldown(Sound):
    def run(self, manager, task_instance):
        super().run(manager, replace(task_instance, not_before=0.0))


@mutant("R17", "its adapter forgets the task's max_retries")
class ForgetsMaxRetries(Wrapping):
    def resolve(self, manager, task_instance):
        wrapped = super().resolve(manager, task_instance)
        wrapped.max_retries = 50
        return wrapped


@mutant("R18", "a skip counts as a failure")
class SkipFails(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except BaseException as error:
            raise RuntimeError("the task did not return") from error


@mutant("R18", "a skip counts as an end with a cascade")
class SkipCascades(Wrapping):
    def call(self, task, context):
        try:
            return task.run(context)
        except TaskInterruption:
            return {"notes": context.trigger_kwargs["quietly"]["notes"]}


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


@mutant("R21", "it writes kwargs as ASCII")
class AsciiKwargs(Wrapping):
    def call(self, task, context):
        text = json.dumps(context.trigger_kwargs, ensure_ascii=False)
        context.trigger_kwargs = json.loads(text.encode("ascii", "replace"))
        return task.run(context)


@mutant("R21", "it writes numbers as floats")
class FloatKwargs(Wrapping):
    def call(self, task, context):
        text = json.dumps(context.trigger_kwargs)
        context.trigger_kwargs = json.loads(text, parse_int=float)
        return task.run(context)


@mutant("R22", "it cuts long values off at 64 KiB")
class CutsOff(Wrapping):
    def call(self, task, context):
        context.trigger_kwargs = {
            trigger: {
                key: value[:65536] if isinstance(value, str) else value
                for key, value in kwargs.items()
            }
            for trigger, kwargs in context.trigger_kwargs.items()
        }
        return task.run(context)


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


@mutant("R28", "it passes over a task that it does not find")
class PassesOverUnknown(Sound):
    def run(self, manager, task_instance):
        try:
            self.resolve(manager, task_instance)
        except TaskNotFound:
            return
        super().run(manager, task_instance)


@mutant("R29", "it looks for a private attribute of the manager")
class UsesPrivate(Sound):
    def run(self, manager, task_instance):
        getattr(manager, "_engine", None)
        super().run(manager, task_instance)


@mutant("R30", "it keeps the first manager that it is given")
class FirstManager(Sound):
    _manager = None

    def run(self, manager, task_instance):
        self._manager = self._manager or manager
        super().run(self._manager, task_instance)


@mutant("R31", "it executes with plugins of its own")
class OwnPlugins(Sound):
    def execute(self, manager, task_instance):
        plugins = Plugins(load_entry_points=False)
        plugins.use_runner(self)
        own = type(manager)(manager.session_uid, storage=manager.storage, plugins=plugins)
        return super().execute(own, task_instance)


@mutant("R32", "it takes a replay for a message that came twice")
class DropsReplays(Sound):
    def run(self, manager, task_instance):
        if task_instance.parent is None or task_instance.attempt > 1:
            super().run(manager, task_instance)


class Lenient:
    def __init__(self, manager):
        self._manager = manager

    def fire(self, trigger_name, kwargs):
        self._manager.fire(trigger_name, json.loads(json.dumps(kwargs, default=str)))


@mutant("R33", "what its tasks fire is made JSON, whatever it is")
class RepairsKwargs(Wrapping):
    def call(self, task, context):
        own = context.manager
        context.manager = Lenient(own)
        try:
            return task.run(context)
        finally:
            context.manager = own


@mutant("R34", "it imports by itself what a task runs")
class ImportsByItself(Sound):
    def execute(self, manager, task_instance):
        return execute(manager, task_instance, resolve=self.imported)

    def imported(self, manager, task_instance):
        module, _, name = manager.task_config(task_instance).run.rpartition(".")
        return getattr(import_module(module), name)


@mutant("R34", "its resolve returns a stand-in, and it runs the real task")
class ResolvesStandIn(Sound):
    def resolve(self, manager, task_instance):
        return Wrapped(super().resolve(manager, task_instance), lambda task, context: None)

    def execute(self, manager, task_instance):
        return execute(manager, task_instance)


@mutant("R35", "while all its workers are busy, whoever fires runs the task")
class CallerRuns(Pool):
    def __init__(self):
        self._free = threading.Semaphore(self.workers)
        super().__init__()

    def start(self, work):
        if self._free.acquire(blocking=False):
            super().start(lambda: (_quietly(work), self._free.release()))
        else:
            _quietly(work)


@mutant("R36", "it takes what recovery sends for a message that came twice")
class RemembersForEver(Sound):
    def __init__(self):
        self._seen = set()

    def run(self, manager, task_instance):
        key = (manager.session_uid, task_instance.name, task_instance.attempt)
        if key not in self._seen:
            self._seen.add(key)
            super().run(manager, task_instance)


@mutant("R37", "it makes the manager anew, as the base class")
class BaseManager(Sound):
    def execute(self, manager, task_instance):
        own = TriggerManager(manager.session_uid, storage=manager.storage, plugins=manager.plugins)
        return super().execute(own, task_instance)


@mutant("R38", "it keeps the first storage that it sees")
class FirstStorage(Sound):
    _storage = None

    def run(self, manager, task_instance):
        self._storage = self._storage or manager.storage
        own = type(manager)(manager.session_uid, storage=self._storage, plugins=manager.plugins)
        super().run(own, task_instance)


@mutant("R38", "its class keeps the first plugins that it sees")
class FirstPlugins(Sound):
    _plugins = None

    def run(self, manager, task_instance):
        plugins = FirstPlugins._plugins = FirstPlugins._plugins or manager.plugins
        own = type(manager)(manager.session_uid, storage=manager.storage, plugins=plugins)
        super().run(own, task_instance)


@mutant("R39", "a queue of a thousand drops what does not fit")
class DropsBeyondAThousand(DropsWhenFull):
    workers, bound = 4, 1000


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
            _quietly(work)


@mutant("R42", "once closed, it accepts work and drops it")
class DropsOnceClosed(Sound):
    is_closed = False

    def close(self):
        self.is_closed = True

    def start(self, work):
        if not self.is_closed:
            super().start(work)


# Capabilities


@mutant("C1", "join_all returns at once")
class JoinsNothing(Joinable):
    def join_all(self, timeout=None):
        pass


@mutant("C1", "join_all waits for what runs at the call, and not for its cascade")
class JoinsThreads(Sound):
    capabilities = frozenset({"join"})

    def __init__(self):
        self._threads = []

    def start(self, work):
        thread = threading.Thread(target=_quietly, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join_all(self, timeout=None):
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(timeout)


@mutant("C2", "join_all returns at its timeout as if all were done")
class JoinsSilently(Joinable):
    def join_all(self, timeout=None):
        try:
            super().join_all(timeout)
        except TimeoutError:
            return


@mutant("C2", "join_all pays no attention to its timeout")
class JoinsForEver(Joinable):
    def join_all(self, timeout=None):
        super().join_all()


@mutant("C3", "join_all in a task waits for that task")
class JoinsItself(Joinable):
    def join_all(self, timeout=None):
        self._own.clear()
        super().join_all(timeout)


@mutant("C4", "join_all waits for an end that was seen before")
class JoinsOnce(Joinable):
    def join_all(self, timeout=None):
        with self._changed:
            if not self._changed.wait(timeout):
                raise TimeoutError


@mutant("C5", "an instance in its cooldown keeps a worker")
class SleepsInWorker(Pool):
    capabilities = frozenset({"cooldown"})


@mutant("C6", "it calls itself remote and runs here")
class RemoteHere(Sound):
    capabilities = frozenset({"remote"})


@mutant("C7", "it sends the instance itself")
class SendsInstance(Sound):
    capabilities = frozenset({"remote"})

    def run(self, manager, task_instance):
        super().run(manager, pickle.loads(pickle.dumps(task_instance)))


@mutant("C7", "it sends the kwargs along")
class SendsKwargs(Sound):
    capabilities = frozenset({"remote"})

    def run(self, manager, task_instance):
        json.dumps({name: dict(kw) for name, kw in task_instance.trigger_kwargs.items()})
        super().run(manager, manager.instance(task_instance.name))


@mutant("C8", "it calls itself inline and returns before the end")
class InlineElsewhere(Sound):
    capabilities = frozenset({"inline"})

    def start(self, work):
        super().start(lambda: (time.sleep(0.05), work()))


@mutant("C9", "a worker dies with each duplicate")
class DuplicatesKill(Pool):
    capabilities = frozenset({"remote"})

    def execute(self, manager, task_instance):
        if super().execute(manager, task_instance) is None:
            raise SystemExit("there is nothing to do")

    def work(self):
        while True:
            self._queue.get()()


# Model


@mutant("M1", "it loses the retries of what awaited two triggers")
class LosesSomeRetries(Sound):
    def run(self, manager, task_instance):
        if task_instance.attempt == 1 or len(task_instance.trigger_kwargs) == 1:
            super().run(manager, task_instance)
