"""The task runner: for each scheduled instance, one message of the Celery task that it runs.

This module imports Celery only when a runner is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from triggers_celery.message import publish
from triggers_celery.requirement import check_celery
from triggers_core import (
    BaseTaskRunner,
    PluginError,
    TaskInstance,
    TaskNotFound,
    TriggerManager,
    TriggerTask,
)

if TYPE_CHECKING:
    from celery import Celery

    from triggers_celery.task import CeleryTriggerTask


class CeleryTaskRunner(BaseTaskRunner):
    """Sends each instance to a Celery worker, as a reference and nothing more. Thread-safe.

    A task's ``run`` target is its Celery name. It is looked up in the given app, or else in
    whichever Celery app of this process has it.

    Args:
        app: the application's own Celery app; None to find it by the task.
    """

    name: ClassVar[str] = "celery"
    capabilities: ClassVar[frozenset[str]] = frozenset({"cooldown", "remote"})

    def __init__(self, app: Celery | None = None) -> None:
        check_celery()
        self._app = app
        self._tasks: dict[str, CeleryTriggerTask] = {}

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        """Publish the instance's message.

        Raises:
            TaskNotFound: no app has the task; PluginError: more than one has, or it is a plain
                Celery task. And what :func:`~triggers_celery.message.publish` raises.
        """
        publish(self._find(manager, task_instance), manager, task_instance)

    def resolve(self, manager: TriggerManager, task_instance: TaskInstance) -> TriggerTask:
        from triggers_celery.task import as_trigger_task  # noqa: PLC0415 - imports Celery

        return as_trigger_task(self._find(manager, task_instance))

    def _find(self, manager: TriggerManager, instance: TaskInstance) -> CeleryTriggerTask:
        target = manager.task_config(instance).run
        if target not in self._tasks:
            self._tasks[target] = _find_task(target, self._app)
        return self._tasks[target]


def _find_task(name: str, app: Celery | None) -> CeleryTriggerTask:
    from triggers_celery.task import CeleryTriggerTask  # noqa: PLC0415 - imports Celery

    apps = [app] if app is not None else _apps()
    if not apps:
        raise TaskNotFound(
            f"Celery task {name!r}: this process has no Celery app; import the module that makes "
            "it before you fire"
        )
    having = [app for app in apps if _has_task(app, name)]
    if not having:
        names = ", ".join(sorted(_app_name(app) for app in apps))
        raise TaskNotFound(
            f"the Celery app ({names}) has no task {name!r}; import the module that defines it, "
            "or add the module to the app's 'include'"
        )
    if len(having) > 1:
        names = " and ".join(sorted(_app_name(app) for app in having))
        raise PluginError(
            f"Celery task {name!r} is in two apps ({names}); choose one with "
            "plugins.use_runner(CeleryTaskRunner(app))"
        )
    task: Any = having[0].tasks[name]
    if not isinstance(task, CeleryTriggerTask):
        raise PluginError(
            f"Celery task {name!r} is a plain Celery task; declare it with "
            "@app.task(base=CeleryTriggerTask)"
        )
    return task


def _has_task(app: Celery, name: str) -> bool:
    if name not in app.tasks:
        app.loader.import_default_modules()
    return name in app.tasks


def _apps() -> list[Celery]:
    from celery import _state  # noqa: PLC0415 - imports Celery

    # Celery keeps the apps of a process here, and says so nowhere else. The app that it makes
    # up where it finds none as the current one is nobody's.
    return [app for app in _state._get_active_apps() if app.set_as_current or app.main != "default"]


def _app_name(app: Celery) -> str:
    return app.main or "unnamed"
