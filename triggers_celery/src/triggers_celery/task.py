"""The base class of a Celery task that is a trigger task, as an application declares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, NoReturn

from celery import Celery, Task
from celery.exceptions import TaskRevokedError
from celery.signals import task_revoked

from triggers_celery.ending import Translated, is_running, retry_requested, seconds_until
from triggers_celery.local import LocalTask, visit_for
from triggers_celery.message import have_messages_confirmed
from triggers_celery.receiving import cancel_message, forget_expired, receive
from triggers_core import (
    ConfigurationError,
    MaxRetriesExceeded,
    TaskContext,
    TaskInstance,
    TriggerManager,
    TriggerTask,
)
from triggers_core.task import OnWorkerLost


class ReferenceTask(Task):  # type: ignore[misc]  # Celery has no types
    """A Celery task whose messages are references to instances."""

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    serializer = "json"

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        """Have RabbitMQ confirm what is published, unless the application decided otherwise."""
        have_messages_confirmed(app)


class CeleryTriggerTask(ReferenceTask):
    """The base of a trigger task: ``@app.task(base=CeleryTriggerTask)`` on a function of one
    argument, the :class:`~triggers_core.TaskContext`; with ``bind=True``, of ``self`` and it.

    It is an ordinary task of an ordinary app: name, routes, queues, limits, annotations and
    monitors apply. ``max_retries`` and ``default_retry_delay`` are the trigger task's
    ``max_retries`` and ``cooldown``. Under another runner than Celery's it runs as well.

    Attributes:
        on_worker_lost: see :class:`triggers_core.TriggerTask`.
    """

    abstract = True
    on_worker_lost: OnWorkerLost = "rerun"

    def __init_subclass__(cls, **options: Any) -> None:
        """Have ``run`` claim what a message refers to, should a class' ``__call__`` go there."""
        super().__init_subclass__(**options)
        if "run" in vars(cls):
            cls.run = _claiming(vars(cls)["run"])

    def __call__(self, /, *arguments: Any, **more: Any) -> Any:
        """Execute the instance that a message refers to; given a context, just run the task.

        Whatever else a message brings is refused as the reference that it is not.
        """
        if _is_context(arguments, more):
            return self.run(*arguments)
        return _follow(self, message_in(arguments, more))

    def __trigger_task__(self) -> TriggerTask:
        """Return this task as the core knows tasks: for whichever runner executes it."""
        return LocalTask(self)

    def retry(  # noqa: PLR0917 - Celery's signature
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Retry as Celery does, by a clone of the instance; it always raises.

        The instance's kwargs stay as they are, and its ``celery`` directive says how the
        message is sent: ``args``, ``kwargs`` and message options are of no effect here. In a
        handler, or in a class' own ``__call__``, it sends the message again, as in Celery.
        """
        if isinstance(exc, MaxRetriesExceeded):
            raise exc  # ``autoretry_for=(Exception,)``, around the end that is recorded already
        if not is_running(self):
            raise super().retry(None, None, exc, True, eta, countdown, max_retries)
        if countdown is None and eta is not None:
            countdown = seconds_until(eta)
        raise retry_requested(countdown, max_retries) from exc


def as_trigger_task(task: Task) -> TriggerTask:
    """Return a Celery task as the core knows tasks.

    Raises:
        ConfigurationError: it is a plain Celery task.
    """
    check_is_trigger_task(task)
    return LocalTask(task)


def check_is_trigger_task(task: Task) -> None:
    """Raise ConfigurationError for a plain Celery task."""
    if not isinstance(task, CeleryTriggerTask):
        raise ConfigurationError(
            f"Celery task {task.name!r} is a plain Celery task; declare it with "
            "@app.task(base=CeleryTriggerTask)"
        )


def message_in(arguments: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    """Return what a message brought: the one argument that it should have, or all there is."""
    return arguments[0] if len(arguments) == 1 and not more else [*arguments, more]


# What follows are no methods of the task: a class-based task has all names to itself.


def _claiming(run: Any) -> Callable[..., Any]:
    """Return a ``run`` that is never given a message, but the context of what it refers to.

    Args:
        run: a function, or what a decorator such as ``staticmethod`` makes of one.
    """

    @wraps(getattr(run, "__func__", run))
    def run_or_follow(self: CeleryTriggerTask, /, *arguments: Any, **more: Any) -> Any:
        if _is_context(arguments, more) or self.request.called_directly:
            return run.__get__(self, type(self))(*arguments, **more)
        return _follow(self, message_in(arguments, more))

    return run_or_follow


def _is_context(arguments: tuple[Any, ...], more: Mapping[str, Any]) -> bool:
    return len(arguments) == 1 and not more and isinstance(arguments[0], TaskContext)


def _follow(task: CeleryTriggerTask, message: Any) -> Any:
    """Run what the message refers to: it is at hand, or comes from a broker."""
    visit = visit_for(message)
    if visit is not None:
        return visit.run()

    def resolve(manager: TriggerManager, instance: TaskInstance) -> TriggerTask:
        manager.plugins.check_target(manager.task_config(instance).run)
        return Translated(task)

    return receive(task, message, resolve)


def _on_revoked(sender: Any, request: Any, expired: bool, **_: Any) -> None:
    if not isinstance(sender, ReferenceTask):
        return
    if expired:
        forget_expired(request.id)
    else:
        # Its message is discarded, now and each time that it is sent again.
        error = TaskRevokedError("revoked by a command to the worker")
        cancel_message(sender, request.id, request.args[0], error)


task_revoked.connect(_on_revoked)
