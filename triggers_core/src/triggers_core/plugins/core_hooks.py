"""What the core itself does at its hooks, as a plugin like any other's."""

from __future__ import annotations

from importlib import import_module

from triggers_core.errors import TaskNotFound
from triggers_core.hookspecs import hookimpl
from triggers_core.manager import TriggerManager
from triggers_core.rules.instance import TaskInstance
from triggers_core.rules.kwargs import Result
from triggers_core.runner import BaseTaskRunner
from triggers_core.task import TaskContext, TriggerTask, as_task


class CoreHooks:
    """What the core itself does at the hooks that return something: last, if nobody else did."""

    @hookimpl(trylast=True)
    def triggers_run(
        self, runner: BaseTaskRunner, manager: TriggerManager, task_instance: TaskInstance
    ) -> bool:
        runner.run(manager=manager, task_instance=task_instance)
        return True

    @hookimpl(trylast=True)
    def triggers_resolve_task(self, target: str) -> TriggerTask:
        module_name, _, attribute = target.rpartition(".")
        try:
            found = getattr(import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise TaskNotFound(
                f"run target {target!r} cannot be imported ({error}); expected the dotted name "
                "of a task, 'package.module.task', that this process can import"
            ) from error
        return as_task(found, target)

    @hookimpl(trylast=True)
    def triggers_execute(self, context: TaskContext, task: TriggerTask) -> Result:
        return task.run(context)


RUN_TASK = CoreHooks.triggers_execute
"""The framework's last step on the way into a task."""
