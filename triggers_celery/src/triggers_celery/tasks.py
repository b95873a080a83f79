"""The Celery task that runs what is no Celery task: a function made with ``@trigger_task``, a
:class:`~triggers_core.TriggerTask`, or what a plugin resolves.

An app that is to run such tasks has this module in its ``include``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from triggers_celery.lookup import RUN_NAME
from triggers_celery.receiving import receive
from triggers_celery.task import ReferenceTask, message_in
from triggers_core import TaskInstance, TriggerManager, TriggerTask
from triggers_core.task import as_task


@shared_task(name=RUN_NAME, base=ReferenceTask, bind=True)  # type: ignore[untyped-decorator]
def run(self: ReferenceTask, /, *arguments: Any, **more: Any) -> Any:
    """Execute the instance that a message refers to, whatever its ``run`` target is."""
    return receive(self, message_in(arguments, more), _resolve)


def _resolve(manager: TriggerManager, instance: TaskInstance) -> TriggerTask:
    return as_task(manager.resolve(instance), manager.task_config(instance).run)
