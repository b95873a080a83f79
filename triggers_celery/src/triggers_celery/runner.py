"""The task runner: for each scheduled instance, one message of the Celery task that it runs.

This module imports Celery only when a runner is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from triggers_celery.carrier import task_for_any
from triggers_celery.lookup import (
    RUN_NAME,
    app_name,
    apps,
    find_included_tasks,
    find_tasks,
    the_only,
)
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
    from celery import Celery, Task


class CeleryTaskRunner(BaseTaskRunner):
    """Sends each instance to a Celery worker, as a reference and nothing more. Thread-safe.

    A task's ``run`` target is a Celery task's name or dotted path. It is looked up in the given
    app, or else in whichever Celery app of this process has it. What is no Celery task is sent to
    an app that includes the module ``triggers_celery.tasks``.

    Args:
        app: the application's own Celery app; None to find it by the task.
    """

    name: ClassVar[str] = "celery"
    capabilities: ClassVar[frozenset[str]] = frozenset({"cooldown", "remote"})

    def __init__(self, app: Celery | None = None) -> None:
        check_celery()
        self.app = app
        self._carriers: dict[str, Task] = {}

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        """Publish the instance's message.

        Raises:
            TaskNotFound: the target leads nowhere. ConfigurationError: it is a plain Celery task,
                or no Celery task, and the app does not run such. PluginError: more than one app
                has it. And what :func:`~triggers_celery.message.publish` raises.
        """
        publish(self._carrier(manager, task_instance), manager, task_instance)

    def resolve(self, manager: TriggerManager, task_instance: TaskInstance) -> TriggerTask:
        from triggers_celery.task import as_trigger_task  # noqa: PLC0415 - imports Celery

        carrier = self._carrier(manager, task_instance)
        if carrier.name == RUN_NAME:
            return super().resolve(manager, task_instance)
        return as_trigger_task(carrier)

    def _carrier(self, manager: TriggerManager, instance: TaskInstance) -> Task:
        """Return the Celery task whose message makes a worker execute the instance."""
        target = manager.task_config(instance).run
        if target not in self._carriers:
            manager.plugins.check_target(target)
            carrier = self._celery_task(target) or self._task_for_any(manager, instance)
            _check_accepts_json(carrier.app)
            # The app may have been configured after the task was made.
            have_messages_confirmed(carrier.app)
            self._carriers[target] = carrier
        return self._carriers[target]

    def _celery_task(self, target: str) -> Task | None:
        found = find_tasks(target, self.app) or find_included_tasks(target, self.app)
        task = the_only(found, target)
        if task is not None:
            from triggers_celery.task import check_is_trigger_task  # noqa: PLC0415

            check_is_trigger_task(task)
        return task

    def _task_for_any(self, manager: TriggerManager, instance: TaskInstance) -> Task:
        target = manager.task_config(instance).run
        try:
            manager.resolve(instance)
        except TaskNotFound as error:
            if apps(self.app):
                raise
            raise TaskNotFound(
                f"{error}; and this process has no Celery app; import the module that makes it "
                "before you fire"
            ) from error
        return task_for_any(target, self.app)


def _check_accepts_json(app: Celery) -> None:
    if not {"json", "application/json"}.intersection(app.conf.accept_content):
        accepted = ", ".join(app.conf.accept_content)
        raise PluginError(
            f"the Celery app {app_name(app)} accepts {accepted}, and its "
            "workers would discard a trigger's message, which is JSON; add 'json' to its "
            "accept_content"
        )
