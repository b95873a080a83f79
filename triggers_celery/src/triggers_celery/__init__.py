"""The default task runner of triggers: each trigger task is a Celery task.

Celery itself is imported when :class:`CeleryTriggerTask` is first asked for, so that listing the
installed runners costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triggers_celery.requirement import check_celery
from triggers_celery.runner import CeleryTaskRunner

if TYPE_CHECKING:
    from triggers_celery.task import CeleryTriggerTask

__all__ = ["CeleryTaskRunner", "CeleryTriggerTask"]


def __getattr__(name: str) -> Any:
    if name == "CeleryTriggerTask":
        check_celery()
        from triggers_celery.task import CeleryTriggerTask  # noqa: PLC0415 - imports Celery

        return CeleryTriggerTask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
