"""The Celery task that runs what is no Celery task: which apps have it, and what to do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triggers_celery.lookup import RUN_NAME, app_name, apps, find_tasks, imported, the_only
from triggers_core import ConfigurationError, TriggerTask

if TYPE_CHECKING:
    from celery import Celery, Task

RUN_MODULE = "triggers_celery.tasks"
"""The module that an app includes to have that task."""


def task_for_any(target: str, app: Celery | None = None) -> Task:
    """Return the Celery task whose message makes a worker run a target that is none itself.

    Args:
        app: the only one to look at; None for all apps of this process.

    Raises:
        ConfigurationError: no app includes it; the message says what to write.
        PluginError: several apps do.
    """
    including = _apps_for_any(target, app)
    import triggers_celery.tasks  # noqa: F401, PLC0415 - imports Celery, and registers the task

    found = the_only([each.tasks[RUN_NAME] for each in including], RUN_NAME)
    assert found is not None  # each app that includes the module has it
    return found


def check_celery_runs(target: str) -> None:
    """Raise ConfigurationError for what the Celery runner can never run, as far as that is known
    here: what cannot be imported yet may still come."""
    tasks = find_tasks(target)
    if tasks:
        from triggers_celery.task import check_is_trigger_task  # noqa: PLC0415 - imports Celery

        check_is_trigger_task(tasks[0])
    elif _is_trigger_task(imported(target)):
        _apps_for_any(target, None)


def _apps_for_any(target: str, app: Celery | None) -> list[Celery]:
    """Return the apps that include the task, at least one. Raises ConfigurationError."""
    including = [each for each in apps(app) if RUN_MODULE in each.loader.default_modules]
    if not including:
        names = ", ".join(sorted(map(app_name, apps(app))))
        whose = f"the Celery app ({names})" if names else "the Celery app (import it first)"
        raise ConfigurationError(
            f"run target {target!r} is no Celery task: declare it with "
            f"@app.task(base=CeleryTriggerTask); or add {RUN_MODULE!r} to the 'include' of "
            f"{whose}, whose workers then run such tasks too; or choose another runner with 'using'"
        )
    return including


def _is_trigger_task(found: object) -> bool:
    return isinstance(found, TriggerTask) or (
        isinstance(found, type) and issubclass(found, TriggerTask)
    )
