"""Which Celery task a ``run`` target names: by its Celery name, or by its dotted path.

Nothing of Celery is imported here: a process that has not imported it has no Celery task.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from triggers_core import PluginError, TaskNotFound

if TYPE_CHECKING:
    from celery import Celery, Task

RUN_NAME = "triggers.run"
"""The Celery name of the task that runs what is no Celery task."""


def find_tasks(target: str, app: Celery | None = None) -> list[Task]:
    """Return the registered Celery tasks that a target names, without importing what apps include.

    One or none; or one of each app that has the name, where the path tells nothing either.

    Args:
        app: the only one to look in; None for all apps of this process.
    """
    named = _registered(target, apps(app))
    return named if len(named) == 1 else _at_path(target, app) or named


def find_included_tasks(target: str, app: Celery | None = None) -> list[Task]:
    """Return the same once the apps have imported the modules that they include.

    Raises:
        TaskNotFound: none is found, and an app's modules cannot be imported.
    """
    errors = [error for each in apps(app) if (error := _import_included(each))]
    named = _registered(target, apps(app))
    if errors and not named:
        raise TaskNotFound(f"Celery task {target!r}: {errors[0]}") from errors[0].__cause__
    return named


def the_only(tasks: Sequence[Task], target: str) -> Task | None:
    """Return the one task, or None without any. Raises PluginError where it is to be chosen."""
    if len(tasks) > 1:
        names = " and ".join(sorted(app_name(task.app) for task in tasks))
        raise PluginError(
            f"Celery task {target!r} is in several apps ({names}); choose one with "
            "plugins.use_runner(CeleryTaskRunner(app))"
        )
    return tasks[0] if tasks else None


def imported(target: str) -> Any:
    """Return what is at a dotted path; None where nothing is to be had there."""
    module_name, _, attribute = target.rpartition(".")
    try:
        return getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError):
        return None  # the core says why, once nobody has found the target


def is_celery_task(found: Any) -> bool:
    """Return whether it is a task of Celery's, or a class of such."""
    module = sys.modules.get("celery.app.task")
    if module is None:
        return False
    return isinstance(found, module.Task) or (
        isinstance(found, type) and issubclass(found, module.Task)
    )


def apps(app: Celery | None = None) -> list[Celery]:
    """Return this process's Celery apps; or the given one, where there is one."""
    if app is not None:
        return [app]
    state = sys.modules.get("celery._state")
    if state is None:
        return []
    # Celery keeps the apps of a process here, and says so nowhere else. The app that it makes
    # up where it finds none as the current one is nobody's.
    return [app for app in state._get_active_apps() if app.set_as_current or app.main != "default"]


def app_names() -> str:
    """Return the names of this process's apps, to be read; empty where it has none."""
    return ", ".join(sorted(map(app_name, apps())))


def app_name(app: Celery) -> str:
    """Return an app's name, to be read."""
    return app.main or "unnamed"


def _registered(target: str, apps: Iterable[Celery]) -> list[Task]:
    # An app that nobody has finalized, and that may not be by looking, has no tasks yet.
    ready = [each for each in apps if each.finalized or each.autofinalize]
    return [each.tasks[target] for each in ready if target in each.tasks]


def _at_path(target: str, app: Celery | None) -> list[Task]:
    found = imported(target)
    if not is_celery_task(found):
        return []
    if isinstance(found, type):
        tasks = [task for each in apps(app) for task in each.tasks.values()]
        return [task for task in tasks if type(task) is found]
    return _registered(found.name, [app or found.app])


def _import_included(app: Celery) -> TaskNotFound | None:
    try:
        app.loader.import_default_modules()
    except Exception as error:
        unusable = TaskNotFound(
            f"the modules that the app {app_name(app)} includes cannot be imported "
            f"({type(error).__name__}: {error}); mend its 'include' or 'imports'"
        )
        unusable.__cause__ = error
        return unusable
    return None
