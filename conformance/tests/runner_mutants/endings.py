"""Faulty in how tasks end."""

import json
import sys
from dataclasses import replace

from runner_mutants.bases import Pool, Sound, Wrapping, mutant
from triggers_core import Status, TaskInterruption
from triggers_core.engine.change import change
from triggers_core.worker.execution import _claim


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
