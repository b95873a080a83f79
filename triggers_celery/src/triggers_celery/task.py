"""The Celery task that a trigger task is: Celery's message in, an executed instance out.

What Celery's own ways of ending a task do to the instance:

==============================================  ===========================================
in the task                                     the instance
==============================================  ===========================================
``self.retry()``, ``autoretry_for``, ``Retry``  replayed; its clone runs after the countdown
``Ignore``                                      skipped, without a cascade
``Reject(requeue=False)``                       failed; the message is rejected (dead letter)
``Reject(requeue=True)``                        replayed; its clone runs at once
soft time limit, any other exception            failed, with the traceback
hard time limit, worker killed                  its worker is lost: ``on_worker_lost``
==============================================  ===========================================
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NoReturn

from celery import Celery, Task
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.log import get_task_logger

from triggers_celery.runner import plugins_in_use, publish
from triggers_core import (
    DispatchError,
    InvalidReference,
    Reference,
    Status,
    StorageError,
    TaskContext,
    TaskInstance,
    TriggerManager,
    TriggersError,
    TriggerTask,
    execute,
)
from triggers_core.recovery import take_over
from triggers_core.task import OnWorkerLost, Result, RetryRequested, SkipRequested

STORAGE_RETRY_SECONDS = 10.0
"""From a store that could not be used to the next try of the message."""

_logger = get_task_logger(__name__)


class CeleryTriggerTask(Task):  # type: ignore[misc]  # Celery has no types
    """The base of a trigger task: ``@app.task(base=CeleryTriggerTask)`` on a function of one
    argument, the :class:`~triggers_core.TaskContext`; with ``bind=True``, of ``self`` and it.

    It is an ordinary task of an ordinary app: name, routes, queues, limits, annotations and
    monitors apply. ``max_retries`` and ``default_retry_delay`` are the trigger task's
    ``max_retries`` and ``cooldown``.

    Attributes:
        on_worker_lost: see :class:`triggers_core.TriggerTask`.
    """

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    serializer = "json"
    on_worker_lost: OnWorkerLost = "rerun"

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        """Have RabbitMQ confirm what is published, unless the application decided otherwise.

        Without it a message that the broker did not get is lost without a word, until
        ``recover`` finds it missing. Other brokers pay no attention to the option.
        """
        options = dict(app.conf.broker_transport_options or {})
        options.setdefault("confirm_publish", True)
        app.conf.broker_transport_options = options

    def __call__(self, reference: Mapping[str, Any] | TaskContext) -> Any:
        """Execute the instance that a message refers to; given a context, just run the task."""
        if isinstance(reference, TaskContext):
            return self.run(reference)
        manager, instance = self._open(reference)
        seconds = instance.not_before - manager.storage.now()
        if seconds > 0 and not self.request.is_eager:
            self._send_again(manager, instance, seconds)
        return self._execute(manager, instance)

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
        message is sent: ``args``, ``kwargs`` and message options are of no effect here.
        """
        if countdown is None and eta is not None:
            countdown = _seconds_until(eta)
        raise RetryRequested(countdown, max_retries) from exc

    def as_trigger_task(self) -> _Adapter:
        """Return the task as the core sees it, for one execution."""
        return _Adapter(self)

    def _open(self, reference: Mapping[str, Any]) -> tuple[TriggerManager, TaskInstance]:
        """Return what the message refers to; a message that cannot be followed is rejected."""
        try:
            parsed = Reference.from_dict(reference)
            manager, instance = parsed.open(plugins_in_use())
            target = manager.task_config(instance).run
            if target != self.name:
                raise InvalidReference(
                    f"{instance.name} runs {target!r}, but the message went to {self.name!r}"
                )
        except StorageError as error:
            self._send_message_again(error)
        except TriggersError as error:
            _logger.error("message %s is rejected: %s", self.request.id, error)
            raise Reject(str(error), requeue=False) from error
        return manager, instance

    def _execute(self, manager: TriggerManager, instance: TaskInstance) -> Any:
        task = self.as_trigger_task()
        try:
            ended = execute(manager, instance, resolve=lambda *_: task)
        except DispatchError as error:
            _logger.error("%s", error)
            ended = manager.instance(instance.name)
        except StorageError as error:
            self._send_message_again(error)
        if ended is None:
            self._drop(manager, instance)
        if ended.status is Status.FINISHED:
            return ended.metadata["result"]
        if not self.request.is_eager:
            _tell_celery(ended, task)
        return None

    def _drop(self, manager: TriggerManager, instance: TaskInstance) -> NoReturn:
        """Drop a message whose instance another one claimed; but while that one's worker may
        die, come back when its lease runs out."""
        current = manager.instance(instance.name)
        if current.status is Status.RUNNING and current.recover_at is not None:
            seconds = current.recover_at - manager.storage.now()
            if seconds > 0:
                self._send_again(manager, instance, seconds)
            take_over(manager, current)
        raise Ignore

    def _send_again(
        self, manager: TriggerManager, instance: TaskInstance, seconds: float
    ) -> NoReturn:
        publish(self, manager, instance, countdown=seconds)
        raise Ignore

    def _send_message_again(self, error: StorageError) -> NoReturn:
        _logger.error(
            "message %s is tried again in %s s: %s", self.request.id, STORAGE_RETRY_SECONDS, error
        )
        self.signature_from_request(countdown=STORAGE_RETRY_SECONDS).apply_async()
        raise Ignore


class _Adapter(TriggerTask):
    """One execution of a Celery task, with Celery's ways of ending it translated."""

    def __init__(self, task: CeleryTriggerTask) -> None:
        self._task = task
        self.max_retries = sys.maxsize if task.max_retries is None else task.max_retries
        self.cooldown = float(task.default_retry_delay)
        self.on_worker_lost = task.on_worker_lost
        self.error: Exception | None = None

    def run(self, context: TaskContext) -> Result:
        try:
            result: Result = self._task.run(context)
        except Ignore as ignore:
            raise SkipRequested(cascade=False, result=None) from ignore
        except Retry as retry:
            raise RetryRequested(_countdown(retry), None) from retry
        except Reject as reject:
            if reject.requeue:
                raise RetryRequested(0.0, None) from reject
            self.error = reject
            raise
        except Exception as error:
            self.error = error
            raise
        return result


def _tell_celery(ended: TaskInstance, task: _Adapter) -> NoReturn:
    """Leave the Celery task in the state that its monitors know for such an end."""
    error = ended.metadata.get("error", {})
    reason = f"{error.get('type')}: {error.get('message')}"
    if ended.status is Status.FAILED:
        raise task.error or TriggersError(reason)
    if ended.status is Status.REPLAYED:
        raise Retry(f"{ended.name} is replayed", exc=task.error or TriggersError(reason))
    raise Ignore


def _countdown(retry: Retry) -> float | None:
    if isinstance(retry.when, datetime):
        return _seconds_until(retry.when)
    return None if retry.when is None else float(retry.when)


def _seconds_until(eta: datetime) -> float:
    now = datetime.now(eta.tzinfo or timezone.utc)
    return max((eta.replace(tzinfo=now.tzinfo) - now).total_seconds(), 0.0)
