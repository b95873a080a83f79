"""Faulty in what it executes, and with what."""

import json
from dataclasses import replace
from importlib import import_module

from runner_mutants.bases import Sound, Wrapped, Wrapping, mutant
from triggers_core import Plugins, TaskNotFound, execute
from triggers_core.rules.kwargs import merge_kwargs


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
