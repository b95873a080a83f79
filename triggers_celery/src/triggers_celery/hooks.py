"""What triggers-celery does at the hooks. Celery is imported only where a target is its task."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from triggers_celery.carrier import check_celery_runs
from triggers_celery.directive import triggers_validate_directive
from triggers_celery.lookup import app_name, apps, find_included_tasks, find_tasks, the_only
from triggers_celery.runner import CeleryTaskRunner
from triggers_core import (
    RunnerNotFound,
    TaskConfig,
    TaskNotFound,
    TriggerManager,
    TriggerTask,
    hookimpl,
)

if TYPE_CHECKING:
    from celery import Celery, Task

__all__ = [
    "triggers_check_task",
    "triggers_resolve_included_task",
    "triggers_resolve_task",
    "triggers_validate_directive",
]


@hookimpl
def triggers_resolve_task(manager: TriggerManager, target: str) -> TriggerTask | None:
    """Return the Celery task that the target names, for whichever runner executes it."""
    return _trigger_task(manager, target, find_tasks)


@hookimpl(wrapper=True, specname="triggers_resolve_task")
def triggers_resolve_included_task(
    manager: TriggerManager, target: str
) -> Generator[None, TriggerTask, TriggerTask]:
    """Where nobody knows the target, have the apps import what they include, and look again."""
    try:
        return (yield)
    except TaskNotFound as error:
        if not apps():
            raise
        found = _trigger_task(manager, target, find_included_tasks)
        if found is None:
            names = ", ".join(sorted(map(app_name, apps())))
            raise TaskNotFound(
                f"{error}; and the Celery app ({names}) has no task {target!r}; import the module "
                "that defines it, or add the module to the app's 'include'"
            ) from error
        return found


@hookimpl
def triggers_check_task(task_config: TaskConfig, runner_name: str | None) -> None:
    """Refuse what the Celery runner is known never to run."""
    if runner_name == CeleryTaskRunner.name:
        check_celery_runs(task_config.run)


def _trigger_task(
    manager: TriggerManager, target: str, find: Callable[[str, Celery | None], list[Task]]
) -> TriggerTask | None:
    tasks = find(target, None)
    if len(tasks) > 1:
        tasks = find(target, _chosen_app(manager))
    task = the_only(tasks, target)
    if task is None:
        return None
    from triggers_celery.task import as_trigger_task  # noqa: PLC0415 - imports Celery

    return as_trigger_task(task)


def _chosen_app(manager: TriggerManager) -> Celery | None:
    """Return the app that the Celery runner was given; None where it was given none."""
    try:
        runner = manager.plugins.runner(CeleryTaskRunner.name)
    except RunnerNotFound:
        return None
    return runner.app if isinstance(runner, CeleryTaskRunner) else None
