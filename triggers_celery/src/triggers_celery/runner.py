"""The task runner: for each scheduled instance, one message of the Celery task that it runs.

This module imports Celery only when a runner is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from triggers_celery.message import have_messages_confirmed, publish
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
            task = _find_task(target, self._app)
            _check_accepts_json(task.app)
            have_messages_confirmed(task.app)  # it may have been configured after the task was made
            self._tasks[target] = task
        return self._tasks[target]


def _find_task(name: str, app: Celery | None) -> CeleryTriggerTask:
    from triggers_celery.task import CeleryTriggerTask  # noqa: PLC0415 - imports Celery

    apps = [app] if app is not None else _apps()
    if not apps:
        raise TaskNotFound(
            f"Celery task {name!r}: this process has no Celery app; import the module that makes "
            "it before you fire"
        )
    having = [app for app in apps if name in app.tasks]
    having = having or [app for app in apps if _has_once_imported(app, name)]
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


def _has_once_imported(app: Celery, name: str) -> bool:
    try:
        app.loader.import_default_modules()
    except Exception as error:
        raise TaskNotFound(
            f"Celery task {name!r}: the modules that the app {_app_name(app)} includes cannot be "
            f"imported ({type(error).__name__}: {error}); mend its 'include' or 'imports'"
        ) from error
    return name in app.tasks


def _check_accepts_json(app: Celery) -> None:
    if not {"json", "application/json"}.intersection(app.conf.accept_content):
        accepted = ", ".join(app.conf.accept_content)
        raise PluginError(
            f"the Celery app {_app_name(app)} accepts {accepted}, and its "
            "workers would discard a trigger's message, which is JSON; add 'json' to its "
            "accept_content"
        )


def _apps() -> list[Celery]:
    from celery import _state  # noqa: PLC0415 - imports Celery

    # Celery keeps the apps of a process here, and says so nowhere else. The app that it makes
    # up where it finds none as the current one is nobody's.
    return [app for app in _state._get_active_apps() if app.set_as_current or app.main != "default"]


def _app_name(app: Celery) -> str:
    return app.main or "unnamed"
